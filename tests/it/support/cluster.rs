//! A Kubernetes cluster for tests: etcd, API server, controller manager, scheduler, and a kubelet that drives Docker's
//! engine, all of this machine and of directories of their own. `scripts/test-kubernetes.sh` builds them.
//!
//! A shell holds them together at the other end of a pipe: however the tests end, it stops all and takes the directory
//! away. Pods' network is a bridge that is down, which is what a network plugin makes of a policy that lets nothing
//! through; [`Cluster::open_network`] puts it up.

use super::{images, sandbox};
use bollard::{
    API_DEFAULT_VERSION, Docker, body_full,
    query_parameters::{CreateImageOptions, ListContainersOptions},
};
use futures::TryStreamExt;
use journeyman::workspace::{BackendSettings, ImagePull, KubernetesSettings, SandboxSettings};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tokio::sync::OnceCell;

pub(crate) const BUSYBOX: &str = "journeyman-test/busybox:latest";
pub(crate) const HOST: &str = "journeyman-test/host:latest";
pub(crate) const EXECD: &str = "journeyman-test/execd:latest";
const PAUSE: &str = "journeyman-test/pause:latest";
pub(crate) const NAMESPACE: &str = "journeyman-workspaces";
const START_PATIENCE: Duration = Duration::from_secs(90);
/// Of the cluster's administrator, on this machine alone.
const ADMIN: &str = "administrator-of-a-test";

/// What runs in a mount namespace of its own. `$0`: directory, `$1`: programs, `$2`: the bridge, `$3`: its address, then
/// ports of API server, kubelet, etcd and etcd's peers.
const SCRIPT: &str = r#"
cd "$0"
bridge=$2
stop() {
    kill $pids 2>/dev/null
    # The engine gives each container ten seconds, and ends those that are left then.
    (sleep 25; kill -KILL $pids $(cat docker.pid exec/containerd/containerd.pid 2>/dev/null)) >/dev/null 2>&1 &
    late=$!
    wait $pids
    kill $late
    ip link del "$bridge" 2>/dev/null
    cd /
    awk -v dir="$0/" 'index($2, dir) == 1 { print $2 }' /proc/self/mounts | sort -r | xargs -r umount -l
    rm -rf "$0"
}
ip link add "$2" type bridge && ip addr add "$3" dev "$2" || exit 1
cat > runc <<'EOF'
#!/bin/sh
# Not every machine may lower a score of the OOM killer's, as the kubelet asks for its own containers.
for argument; do
    [ "$previous" != --bundle ] || sed -i 's/"oomScoreAdj":-[0-9]*/"oomScoreAdj":0/' "$argument/config.json"
    previous=$argument
done
exec runc "$@"
EOF
chmod +x runc
dockerd --host "unix://$0/docker.sock" --data-root "$0/data" --exec-root "$0/exec" --pidfile "$0/docker.pid" --bridge "$2" \
    --iptables=false --ip-forward=false --ip-masq=false --userland-proxy=false --shutdown-timeout 2 \
    --add-runtime "here=$0/runc" --default-runtime here >docker.log 2>&1 &
pids=$!
etcd --data-dir etcd --unsafe-no-fsync --listen-client-urls "http://127.0.0.1:$6" --advertise-client-urls "http://127.0.0.1:$6" \
    --listen-peer-urls "http://127.0.0.1:$7" --initial-advertise-peer-urls "http://127.0.0.1:$7" \
    --initial-cluster "default=http://127.0.0.1:$7" >etcd.log 2>&1 &
pids="$pids $!"
openssl genrsa -out account.key 2048 2>/dev/null
mkdir cert
openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=test-authority -days 30 -keyout cert/ca.key -out cert/ca.crt 2>/dev/null
openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout cert/apiserver.key -out cert/apiserver.csr 2>/dev/null
printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n' > cert/extensions
openssl x509 -req -in cert/apiserver.csr -CA cert/ca.crt -CAkey cert/ca.key -CAcreateserial -days 30 \
    -extfile cert/extensions -out cert/apiserver.crt 2>/dev/null
"$1/kube-apiserver" --etcd-servers "http://127.0.0.1:$6" --tls-cert-file cert/apiserver.crt --tls-private-key-file cert/apiserver.key --secure-port "$4" --bind-address 127.0.0.1 \
    --service-account-issuer https://journeyman.test --service-account-signing-key-file account.key \
    --service-account-key-file account.key --token-auth-file tokens --authorization-mode Node,RBAC \
    --service-cluster-ip-range 10.96.0.0/24 --endpoint-reconciler-type none \
    --kubelet-preferred-address-types Hostname >api.log 2>&1 &
pids="$pids $!"
i=0
until curl -sk "https://127.0.0.1:$4/readyz" | grep -q '^ok'; do
    i=$((i + 1)); [ $i -lt 300 ] || { stop; exit 1; }
    sleep 0.2
done
"$1/kube-controller-manager" --kubeconfig admin --service-account-private-key-file account.key --leader-elect=false \
    --port 0 --secure-port 0 >controllers.log 2>&1 &
pids="$pids $!"
"$1/kube-scheduler" --kubeconfig admin --leader-elect=false --port 0 --secure-port 0 >scheduler.log 2>&1 &
pids="$pids $!"
"$1/kubelet" --config kubelet --kubeconfig admin --root-dir "$0/kubelet-root" --cert-dir kubelet-cert \
    --docker-endpoint "unix://$0/docker.sock" --experimental-dockershim-root-directory "$0/dockershim" \
    --hostname-override localhost --pod-infra-container-image journeyman-test/pause:latest \
    --volume-plugin-dir "$0/plugins" >kubelet.log 2>&1 &
pids="$pids $!"
read -r line
stop
"#;

pub(crate) struct Cluster {
    dir: PathBuf,
    bridge: String,
    url: String,
    _running: Child,
}

/// The one of this process, without a Pod. For the beginning of a test.
pub(crate) async fn shared() -> &'static Cluster {
    static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
    let cluster = CLUSTER.get_or_init(Cluster::start).await;
    // What an earlier test has left open ends with its server in time, but the one node is small.
    let all = format!("/api/v1/namespaces/{NAMESPACE}/pods?gracePeriodSeconds=0");
    cluster.send("DELETE", &all, &Value::Null).await.unwrap();
    cluster
}

impl Cluster {
    async fn start() -> Self {
        assert!(rustix::process::geteuid().is_root(), "a cluster takes root");
        let bin = sandbox::target().join("kubernetes/bin");
        for name in ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "pause"] {
            assert!(bin.join(name).exists(), "there is no {name} in {}: run scripts/test-kubernetes.sh", bin.display());
        }
        let dir = tempfile::Builder::new().prefix("jm-cluster-").tempdir().unwrap().keep();
        let pid = std::process::id();
        let (bridge, address) = (format!("jmk{}", pid % 1_000_000), format!("198.18.{}.1/24", pid % 250));
        let ports = [(); 4].map(|()| free_port().to_string());
        let url = format!("https://localhost:{}", ports[0]);
        std::fs::write(dir.join("tokens"), format!("{ADMIN},admin,admin,system:masters\n")).unwrap();
        let this = |token: &str| kubeconfig(&url, &dir, token);
        std::fs::write(dir.join("admin"), this(ADMIN)).unwrap();
        std::fs::write(dir.join("kubelet"), kubelet(&ports[1])).unwrap();
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", SCRIPT]).arg(&dir).arg(&bin);
        command.args([&bridge, &address]).args(&ports);
        let log = std::fs::File::create(dir.join("log")).unwrap();
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log);
        let running = command.spawn().unwrap();
        let log = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap_or_default();
        let begun = Instant::now();
        loop {
            let error = match client(&dir.join("admin")).await {
                Ok(client) => match client.apiserver_version().await {
                    Ok(_) => break,
                    Err(error) => format!("{error:?}"),
                },
                Err(error) => error.to_string(),
            };
            assert!(begun.elapsed() < START_PATIENCE, "no API server: {error} {} {}", log("log"), log("api.log"));
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let cluster = Self { dir, bridge, url, _running: running };
        cluster.import_images(&bin).await;
        cluster.prepare().await;
        // The engine has put it up.
        cluster.open_network(false);
        cluster
    }

    async fn import_images(&self, bin: &Path) {
        let pause = images::of(&[(&bin.join("pause"), "pause")]);
        let execd = images::of(&[(sandbox::static_execd(), "usr/local/bin/execd")]);
        self.import(PAUSE, &pause, r#"ENTRYPOINT ["/pause"]"#).await;
        self.import(EXECD, &execd, "").await;
        self.import(BUSYBOX, &images::busybox(), "ENV FROM_IMAGE=yes PATH=/bin HOME=/root").await;
        self.import(HOST, &images::host(), "").await;
    }

    async fn import(&self, name: &str, tar: &Path, change: &str) {
        let options = CreateImageOptions {
            from_src: Some("-".to_owned()),
            repo: Some(name.trim_end_matches(":latest").to_owned()),
            tag: Some("latest".to_owned()),
            changes: Some(change.to_owned()).filter(|change| !change.is_empty()).into_iter().collect(),
            ..CreateImageOptions::default()
        };
        let body = body_full(std::fs::read(tar).unwrap().into());
        let engine = self.engine().await;
        engine.create_image(Some(options), Some(body), None).try_collect::<Vec<_>>().await.unwrap();
    }

    pub(crate) async fn engine(&self) -> Docker {
        let socket = self.dir.join("docker.sock");
        let docker = Docker::connect_with_unix(socket.to_str().unwrap(), 60, API_DEFAULT_VERSION).unwrap();
        docker.negotiate_version().await.unwrap()
    }

    /// Makes what `deploy/base` asks for, and a kubeconfig of the service's account, which has that account's rights and no more.
    async fn prepare(&self) {
        for object in manifests() {
            // The service itself runs in the tests' process.
            if !matches!(
                object["kind"].as_str(),
                Some("Deployment" | "Service" | "PersistentVolumeClaim" | "ConfigMap")
            ) {
                self.make(&object, "").await;
            }
        }
        let begun = Instant::now();
        let is_ready = |condition: &Value| condition["type"] == "Ready" && condition["status"] == "True";
        loop {
            let node = self.get("/api/v1/nodes/localhost").await;
            let conditions = node["status"]["conditions"].as_array().cloned().unwrap_or_default();
            let account = self.get(&format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts/default")).await;
            if conditions.iter().any(is_ready)
                && node["spec"]["taints"].is_null()
                && account["kind"] == "ServiceAccount"
            {
                break;
            }
            let log = std::fs::read_to_string(self.dir.join("kubelet.log")).unwrap_or_default();
            assert!(begun.elapsed() < START_PATIENCE, "no node is ready: {node:#} {log}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let wanted = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": { "audiences": [], "expirationSeconds": 36_000 } });
        let path = "/api/v1/namespaces/journeyman/serviceaccounts/journeyman/token";
        let answer = self.send("POST", path, &wanted).await.unwrap();
        let token = answer["status"]["token"].as_str().unwrap();
        std::fs::write(self.dir.join("service"), kubeconfig(&self.url, &self.dir, token)).unwrap();
    }

    /// A kubeconfig of the service's account.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.dir.join("service")
    }

    /// Host and port of the API server, who vouches for it, and the token of the service's account.
    pub(crate) fn address(&self) -> &str {
        self.url.trim_start_matches("https://")
    }

    pub(crate) fn authority(&self) -> PathBuf {
        self.dir.join("cert/ca.crt")
    }

    pub(crate) fn token(&self) -> String {
        let config: Value = serde_json::from_slice(&std::fs::read(self.kubeconfig()).unwrap()).unwrap();
        config["users"][0]["user"]["token"].as_str().unwrap().to_owned()
    }

    /// One of somebody else at the same API server.
    pub(crate) fn kubeconfig_of(&self, token: &str) -> PathBuf {
        let path = self.dir.join(format!("of-{token}"));
        std::fs::write(&path, kubeconfig(&self.url, &self.dir, token)).unwrap();
        path
    }

    pub(crate) fn kubernetes(&self, data_dir: &Path, image: &str) -> KubernetesSettings {
        // As each data directory has one.
        let instance =
            journeyman::domain::BlobHash::of(data_dir.as_os_str().as_encoded_bytes()).as_str()[..12].to_owned();
        let mut settings = KubernetesSettings::new(NAMESPACE, image, EXECD, instance);
        settings.kubeconfig = Some(self.kubeconfig());
        settings.pull = ImagePull::Never;
        settings.start_time = Duration::from_secs(60);
        settings
    }

    /// Of workspaces in this cluster.
    pub(crate) fn settings(&self, data_dir: &Path, image: &str) -> SandboxSettings {
        SandboxSettings {
            backend: BackendSettings::Kubernetes(self.kubernetes(data_dir, image)),
            ..sandbox::settings(data_dir)
        }
    }

    /// What a service needs to be told.
    pub(crate) fn variables(&self, image: &str) -> Vec<(String, String)> {
        [
            ("JOURNEYMAN_WORKSPACE", "kubernetes"),
            ("JOURNEYMAN_KUBERNETES_CONFIG", self.kubeconfig().to_str().unwrap()),
            ("JOURNEYMAN_KUBERNETES_IMAGE", image),
            ("JOURNEYMAN_KUBERNETES_EXECD_IMAGE", EXECD),
            ("JOURNEYMAN_KUBERNETES_PULL", "never"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }

    /// Names of the Pods there are of this task.
    pub(crate) async fn pods(&self, task: &str) -> Vec<String> {
        let listed =
            self.get(&format!("/api/v1/namespaces/{NAMESPACE}/pods?labelSelector=journeyman-task%3D{task}")).await;
        let items = listed["items"].as_array().cloned().unwrap_or_default();
        items.iter().map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned()).collect()
    }

    /// Deletes a Pod, whatever runs in it.
    pub(crate) async fn delete(&self, name: &str) {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{name}?gracePeriodSeconds=0");
        self.send("DELETE", &path, &Value::Null).await.unwrap();
    }

    /// The container of a Pod's workspace, by the node's engine.
    pub(crate) async fn container(&self, pod: &str) -> String {
        let listed = self.engine().await.list_containers(None::<ListContainersOptions>).await.unwrap();
        let ours = |names: &[String]| names.iter().any(|known| known.contains(&format!("k8s_workspace_{pod}")));
        listed.into_iter().find(|one| one.names.as_deref().is_some_and(ours)).unwrap().id.unwrap()
    }

    /// As a network plugin does that holds no policy.
    pub(crate) fn open_network(&self, open: bool) {
        let state = if open { "up" } else { "down" };
        assert!(Command::new("ip").args(["link", "set", &self.bridge, state]).status().unwrap().success());
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.send("GET", path, &Value::Null).await.unwrap_or_else(|error| json!({ "error": error.to_string() }))
    }

    /// As the administrator.
    pub(crate) async fn send(&self, method: &str, path: &str, body: &Value) -> Result<Value, kube::Error> {
        let body = if body.is_null() { Vec::new() } else { serde_json::to_vec(body).unwrap() };
        let request = http::Request::builder().method(method).uri(path).header("content-type", "application/json");
        // A client lives as long as the runtime of the test that has made it.
        client(&self.dir.join("admin")).await.unwrap().request(request.body(body).unwrap()).await
    }

    /// Makes an object where its kind belongs.
    pub(crate) async fn make(&self, object: &Value, query: &str) {
        let group = object["apiVersion"].as_str().unwrap();
        let prefix = if group.contains('/') { "apis" } else { "api" };
        let kind = object["kind"].as_str().unwrap();
        let plural = match kind {
            "NetworkPolicy" => "networkpolicies".to_owned(),
            kind => format!("{}s", kind.to_lowercase()),
        };
        let namespace =
            object["metadata"]["namespace"].as_str().map_or_else(String::new, |name| format!("namespaces/{name}/"));
        let path = format!("/{prefix}/{group}/{namespace}{plural}{query}");
        self.send("POST", &path, object).await.unwrap_or_else(|error| panic!("{kind}: {error}: {object:#}"));
    }
}

/// Every object of `deploy/base`.
pub(crate) fn manifests() -> Vec<Value> {
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/base");
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    let list: Value = serde_saphyr::from_str(&read(&base.join("kustomization.yaml"))).unwrap();
    let files = list["resources"].as_array().unwrap().iter().map(|name| base.join(name.as_str().unwrap()));
    let documents = files.map(|path| read(&path).split("\n---\n").map(str::to_owned).collect::<Vec<_>>());
    documents.flatten().map(|text| serde_saphyr::from_str(&text).unwrap()).collect()
}

fn kubeconfig(url: &str, dir: &Path, token: &str) -> String {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "test", "cluster": { "server": url, "certificate-authority": dir.join("cert/ca.crt") } }],
        "users": [{ "name": "test", "user": { "token": token } }],
        "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test" } }],
        "current-context": "test",
    })
    .to_string()
}

fn kubelet(port: &str) -> String {
    let port: u16 = port.parse().unwrap();
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": "127.0.0.1",
        "port": port,
        "healthzPort": 0,
        "authentication": { "anonymous": { "enabled": true }, "webhook": { "enabled": false } },
        "authorization": { "mode": "AlwaysAllow" },
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": false,
        "enforceNodeAllocatable": [],
        "failSwapOn": false,
        "evictionHard": { "memory.available": "1Mi" },
        "nodeStatusUpdateFrequency": "2s",
        "volumeStatsAggPeriod": "5s",
    })
    .to_string()
}

async fn client(kubeconfig: &Path) -> Result<kube::Client, Box<dyn std::error::Error>> {
    let read = kube::config::Kubeconfig::read_from(kubeconfig)?;
    let config = kube::Config::from_custom_kubeconfig(read, &kube::config::KubeConfigOptions::default()).await?;
    Ok(kube::Client::try_from(config)?)
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
