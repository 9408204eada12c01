//! A container engine for tests: Docker's own, on a data directory and a socket of their own, with
//! images made from files of this machine.
//!
//! A small watching process holds the other end of a pipe: however the tests end, it stops the
//! engine and takes the directory away.

use super::{images, sandbox};
use bollard::{
    API_DEFAULT_VERSION, Docker, body_full,
    models::{ContainerCreateBody, HostConfig},
    query_parameters::{
        BuildImageOptions, CreateContainerOptions, CreateImageOptions, LogsOptions, StartContainerOptions,
    },
};
use futures::TryStreamExt;
use journeyman::workspace::{BackendSettings, DockerSettings, EngineAddress, SandboxSettings};
use rustix::thread::LinkNameSpaceType;
use std::{
    io::Write,
    net::{TcpListener, TcpStream},
    os::{fd::AsFd, unix::fs::PermissionsExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::sync::OnceCell;

/// A static busybox and a shell, nothing else.
pub(crate) const BUSYBOX: &str = "journeyman-test/busybox:latest";
/// git, Python, bash and what they need, from this machine.
pub(crate) const HOST: &str = "journeyman-test/host:latest";
/// No shell.
pub(crate) const EMPTY: &str = "journeyman-test/empty:latest";

/// gVisor's name as a runtime of [`with_gvisor`]'s engine.
pub(crate) const RUNSC: &str = "runsc";

const START_PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Engine {
    dir: PathBuf,
    running: Option<Child>,
    place: Place,
}

/// Where an engine runs.
enum Place {
    /// As any process of this machine, without a network.
    Here,
    /// One that does not see a directory of this machine: something of its own is there.
    Apart(PathBuf),
    /// In a network of its own, where its containers have networks and this machine has no part.
    Networked,
    /// With these words more on its command line.
    With(Vec<String>),
    /// One that gives users of containers other numbers.
    Mapping,
    /// Another engine: Podman, by its socket that speaks as Docker's does.
    Podman,
}

/// The one of this process.
pub(crate) async fn shared() -> &'static Engine {
    static ENGINE: OnceCell<Engine> = OnceCell::const_new();
    ENGINE.get_or_init(Engine::new).await
}

/// Podman, for the tests of this process.
pub(crate) async fn podman() -> &'static Engine {
    static ENGINE: OnceCell<Engine> = OnceCell::const_new();
    ENGINE.get_or_init(|| async { Engine::started(Place::Podman).await.with_images().await }).await
}

/// One that also knows gVisor, as the runtime [`RUNSC`].
pub(crate) async fn with_gvisor() -> &'static Engine {
    static ENGINE: OnceCell<Engine> = OnceCell::const_new();
    let start = || async {
        let runsc = Path::new("/usr/bin/runsc");
        assert!(runsc.exists(), "there is no runsc: run scripts/setup.sh --tests (Debian: apt-get install runsc)");
        // As a runtime on a machine without virtualisation, whose cgroups it does not know.
        let wrapper = tempfile::Builder::new().prefix("jm-engine-").tempdir().unwrap().keep().join("runsc");
        let script = "#!/bin/sh\nexec /usr/bin/runsc --ignore-cgroups --network none --platform=ptrace \"$@\"\n";
        std::fs::write(&wrapper, script).unwrap();
        std::fs::set_permissions(&wrapper, std::fs::Permissions::from_mode(0o755)).unwrap();
        Engine::with(vec!["--add-runtime".to_owned(), format!("{RUNSC}={}", wrapper.display())]).await
    };
    ENGINE.get_or_init(start).await
}

impl Engine {
    /// A fresh one with all images.
    pub(crate) async fn new() -> Self {
        Self::started(Place::Here).await.with_images().await
    }

    /// One that does not share a directory with this machine, as one elsewhere would not.
    pub(crate) async fn apart(hidden: PathBuf) -> Self {
        Self::started(Place::Apart(hidden)).await.with_images().await
    }

    /// One without images, whose containers may have networks; [`Engine::reach`] reaches their ports.
    pub(crate) async fn networked() -> Self {
        Self::started(Place::Networked).await
    }

    /// One without images that maps users.
    pub(crate) async fn mapping() -> Self {
        Self::started(Place::Mapping).await
    }

    /// A fresh one that is started with these words more.
    pub(crate) async fn with(words: Vec<String>) -> Self {
        Self::started(Place::With(words)).await.with_images().await
    }

    async fn started(place: Place) -> Self {
        let dir = tempfile::Builder::new().prefix("jm-engine-").tempdir().unwrap().keep();
        let mut engine = Self { dir, running: None, place };
        engine.start().await;
        engine
    }

    async fn with_images(self) -> Self {
        for (name, tar) in [(BUSYBOX, images::busybox()), (HOST, images::host()), (EMPTY, images::empty())] {
            self.import(name, &tar).await;
        }
        self
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.join("docker.sock")
    }

    pub(crate) fn client(&self) -> Docker {
        Docker::connect_with_unix(self.socket().to_str().unwrap(), 60, API_DEFAULT_VERSION).unwrap()
    }

    pub(crate) async fn versioned_client(&self) -> Docker {
        self.client().negotiate_version().await.unwrap()
    }

    /// Starts it on what it had before.
    pub(crate) async fn start(&mut self) {
        if matches!(self.place, Place::Podman) {
            return self.start_podman().await;
        }
        let dockerd = ["/usr/sbin/dockerd", "/usr/bin/dockerd", "/usr/local/bin/dockerd"].map(Path::new);
        let dockerd = dockerd.into_iter().find(|path| path.exists());
        let dockerd =
            dockerd.expect("there is no dockerd: run scripts/setup.sh (Debian: apt-get install docker.io iptables)");
        assert!(rustix::process::geteuid().is_root(), "the tests of containers start an engine, which takes root");
        let script = "dockerd=$1
            shift
            \"$dockerd\" --host \"unix://$0/docker.sock\" --data-root \"$0/data\" --exec-root \"$0/exec\" \
                --pidfile \"$0/pid\" \"$@\" >>\"$0/log\" 2>&1 &
            read -r line
            kill $!
            wait $!
            [ \"$line\" = keep ] || rm -rf \"$0\"";
        let before = match &self.place {
            Place::Here | Place::With(_) | Place::Podman => String::new(),
            Place::Apart(hidden) => format!("mount -t tmpfs none '{}' || exit 1\n", hidden.display()),
            Place::Mapping => "printf 'nobody:300000:65536\\nnogroup:300000:65536\\n' >\"$0/numbers\"
                mount --bind \"$0/numbers\" /etc/subuid && mount --bind \"$0/numbers\" /etc/subgid || exit 1\n"
                .to_owned(),
            Place::Networked => "ip link set lo up || exit 1\n".to_owned(),
        };
        let mut command = Command::new("unshare");
        let propagation = if matches!(self.place, Place::Apart(_) | Place::Mapping) { "private" } else { "unchanged" };
        command.args(["--mount", "--propagation", propagation]);
        command.args(matches!(self.place, Place::Networked).then_some("--net"));
        command.args(["sh", "-c", &format!("{before}{script}")]).arg(&self.dir).arg(dockerd);
        if !matches!(self.place, Place::Networked) {
            command.args(["--bridge", "none", "--iptables=false"]);
        }
        match &self.place {
            Place::With(words) => drop(command.args(words)),
            Place::Mapping => drop(command.args(["--userns-remap", "nobody:nogroup"])),
            _ => {}
        }
        self.run(command).await;
    }

    /// Podman's containers outlive its service: whoever ends it ends them.
    async fn start_podman(&mut self) {
        let podman = Path::new("/usr/bin/podman");
        assert!(
            podman.exists(),
            "there is no podman: run scripts/setup.sh --tests (Debian: apt-get install podman runc)"
        );
        let settings = "[containers]\ndefault_ulimits = [\"nofile=4096:4096\", \"nproc=4096:4096\"]\n\
            [engine]\nruntime = \"runc\"\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\n";
        std::fs::write(self.dir.join("containers.conf"), settings).unwrap();
        let script = "export CONTAINERS_CONF=\"$0/containers.conf\"
            set -- \"$1\" --root \"$0/data\" --runroot \"$0/exec\" --tmpdir \"$0/tmp\"
            \"$@\" system service --time 0 \"unix://$0/docker.sock\" >>\"$0/log\" 2>&1 &
            read -r line
            kill $!
            wait $!
            \"$@\" rm --all --force --time 0 >>\"$0/log\" 2>&1
            # Who watched what was attached to waits for minutes, and is for nothing by now.
            for process in /proc/[0-9]*; do
                case $(tr '\\0' ' ' <\"$process/cmdline\" 2>/dev/null) in
                    /usr/bin/conmon*\"$0\"*) kill -9 \"${process#/proc/}\" ;;
                esac
            done
            rm -rf \"$0\"";
        let mut command = Command::new("sh");
        command.args(["-c", script]).arg(&self.dir).arg(podman);
        self.run(command).await;
    }

    async fn run(&mut self, mut command: Command) {
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        self.running = Some(command.spawn().unwrap());
        let begun = Instant::now();
        while !self.answers().await {
            let log = std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
            assert!(begun.elapsed() < START_PATIENCE, "the engine does not start: {log}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn answers(&self) -> bool {
        self.socket().exists() && self.client().ping().await.is_ok()
    }

    /// Stops it; what it has stays.
    pub(crate) async fn stop(&mut self) {
        let mut child = self.running.take().unwrap();
        child.stdin.take().unwrap().write_all(b"keep\n").unwrap();
        tokio::task::spawn_blocking(move || child.wait().unwrap()).await.unwrap();
    }

    /// Makes an image of an archive's files.
    pub(crate) async fn import(&self, name: &str, tar: &Path) {
        self.import_with(name, tar, &[]).await;
    }

    /// With lines of a Dockerfile.
    pub(crate) async fn import_with(&self, name: &str, tar: &Path, changes: &[String]) {
        let (repository, tag) = name.rsplit_once(':').unwrap();
        let options = CreateImageOptions {
            from_src: Some("-".to_owned()),
            repo: Some(repository.to_owned()),
            tag: Some(tag.to_owned()),
            changes: changes.to_vec(),
            ..CreateImageOptions::default()
        };
        let body = body_full(std::fs::read(tar).unwrap().into());
        let client = self.versioned_client().await;
        client.create_image(Some(options), Some(body), None).try_collect::<Vec<_>>().await.unwrap();
    }

    /// Builds an image from a directory with its Dockerfile, by the engine's older builder, without a network.
    pub(crate) async fn build(&self, name: &str, context: &Path) {
        let tar = Command::new("tar").arg("-C").arg(context).args(["-cf", "-", "."]).output().unwrap();
        assert!(tar.status.success());
        let options = BuildImageOptions {
            dockerfile: "Dockerfile".to_owned(),
            t: Some(name.to_owned()),
            networkmode: Some("none".to_owned()),
            rm: true,
            ..BuildImageOptions::default()
        };
        let client = self.versioned_client().await;
        let told = client.build_image(options, None, Some(body_full(tar.stdout.into()))).try_collect::<Vec<_>>().await;
        assert!(told.is_ok(), "{name} is not built: {told:?}");
    }

    /// What a command says in a container of its own, without a network and with these options of security.
    pub(crate) async fn say(&self, image: &str, command: &[&str], security: &[&str]) -> String {
        let owned = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect());
        let body = ContainerCreateBody {
            image: Some(image.to_owned()),
            cmd: owned(command),
            host_config: Some(HostConfig {
                network_mode: Some("none".to_owned()),
                security_opt: owned(security),
                cap_drop: owned(&["ALL"]),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let client = self.versioned_client().await;
        let id = client.create_container(None::<CreateContainerOptions>, body).await.unwrap().id;
        client.start_container(&id, None::<StartContainerOptions>).await.unwrap();
        let options = LogsOptions { follow: true, stdout: true, stderr: true, ..LogsOptions::default() };
        let said: Vec<_> = client.logs(&id, Some(options)).try_collect().await.unwrap();
        self.delete(&id).await;
        said.iter().map(ToString::to_string).collect()
    }

    /// A port of this machine's loopback by which a port of the engine's own is reached.
    pub(crate) fn reach(&self, port: u16) -> u16 {
        let namespace = format!("/proc/{}/ns/net", self.running.as_ref().unwrap().id());
        let namespace = std::fs::File::open(namespace).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let here = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            // This thread's alone, and those that it starts.
            rustix::thread::move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            for client in listener.incoming().flatten() {
                // Who comes too early is cut off.
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                for (mut from, mut to) in [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)]
                {
                    std::thread::spawn(move || {
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(std::net::Shutdown::Write);
                    });
                }
            }
        });
        here
    }

    pub(crate) fn docker(&self, image: &str) -> DockerSettings {
        DockerSettings::new(EngineAddress::Unix(self.socket()), image)
    }

    /// Of workspaces by this engine.
    pub(crate) fn settings(&self, data_dir: &Path, image: &str) -> SandboxSettings {
        SandboxSettings {
            execd: sandbox::static_execd().to_owned(),
            backend: BackendSettings::Docker(self.docker(image)),
            ..sandbox::settings(data_dir)
        }
    }

    /// What a service needs to be told.
    pub(crate) fn variables(&self, image: &str) -> Vec<(String, String)> {
        [
            ("JOURNEYMAN_WORKSPACE", "docker"),
            ("JOURNEYMAN_DOCKER_HOST", &format!("unix://{}", self.socket().display())),
            ("JOURNEYMAN_DOCKER_IMAGE", image),
            ("JOURNEYMAN_DOCKER_PULL", "never"),
            // Containers are told by their task's label, which one that was ready has not.
            ("JOURNEYMAN_READY_SANDBOXES", "0"),
            ("JOURNEYMAN_EXECD", sandbox::static_execd().to_str().unwrap()),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }

    /// Names of the containers there are, running or not, of this task.
    pub(crate) async fn containers(&self, task: &str) -> Vec<String> {
        let filters = [("label".to_owned(), vec![format!("journeyman.task={task}")])].into();
        let options = bollard::query_parameters::ListContainersOptions {
            all: true,
            filters: Some(filters),
            ..Default::default()
        };
        let listed = self.versioned_client().await.list_containers(Some(options)).await.unwrap();
        let names = listed.into_iter().flat_map(|one| one.names.unwrap_or_default());
        names.map(|name| name.trim_start_matches('/').to_owned()).collect()
    }

    /// Deletes a container, whatever runs in it.
    pub(crate) async fn delete(&self, name: &str) {
        let options = bollard::query_parameters::RemoveContainerOptions { force: true, ..Default::default() };
        self.versioned_client().await.remove_container(name, Some(options)).await.unwrap();
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(mut child) = self.running.take() {
            drop(child.stdin.take());
            let _ = child.wait();
        }
    }
}

/// A directory that everybody may pass, as data directories are.
pub(crate) fn data_dir() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o711)).unwrap();
    dir
}
