//! Docker's engine on a directory of its own, with an image of a static busybox.

use bollard::{API_DEFAULT_VERSION, Docker, body_full, query_parameters::CreateImageOptions};
use futures::TryStreamExt;
use journeyman::workspace::EngineAddress;
use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

pub(crate) const IMAGE: &str = "journeyman-bench:latest";
const START_PATIENCE: Duration = Duration::from_secs(60);

/// Ends with its directory when it is dropped, or when this process ends.
pub(crate) struct Engine {
    dir: PathBuf,
    running: Child,
    client: Docker,
}

impl Engine {
    pub(crate) async fn start() -> Self {
        let dockerd = ["/usr/sbin/dockerd", "/usr/bin/dockerd", "/usr/local/bin/dockerd"].map(Path::new);
        let dockerd =
            dockerd.into_iter().find(|path| path.exists()).expect("there is no dockerd: scripts/setup.sh --tests");
        let dir = tempfile::Builder::new().prefix("jm-bench-").tempdir().unwrap().keep();
        let script = "\"$1\" --host \"unix://$0/docker.sock\" --data-root \"$0/data\" --exec-root \"$0/exec\" \
                --pidfile \"$0/pid\" --bridge none --iptables=false >\"$0/log\" 2>&1 &
            read -r line; kill $!; wait $!; rm -rf \"$0\"";
        let mut command = Command::new("sh");
        command.args(["-c", script]).arg(&dir).arg(dockerd);
        let running = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let socket = dir.join("docker.sock");
        let begun = Instant::now();
        let client = loop {
            if let Ok(client) = Docker::connect_with_unix(socket.to_str().unwrap(), 60, API_DEFAULT_VERSION)
                && let Ok(client) = client.negotiate_version().await
            {
                break client;
            }
            assert!(begun.elapsed() < START_PATIENCE, "the engine does not start");
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        let engine = Self { dir, running, client };
        engine.import().await;
        engine
    }

    /// What `docker run --rm` of the image takes that ends at once, in milliseconds.
    pub(crate) async fn bare_run(&self) -> f64 {
        let host = format!("unix://{}", self.dir.join("docker.sock").display());
        let mut command = tokio::process::Command::new("docker");
        command.args(["--host", &host, "run", "--rm", "--network", "none", IMAGE, "/bin/true"]);
        let since = Instant::now();
        let ran = command.stdin(Stdio::null()).output().await;
        let ran = ran.expect("there is no docker client (Debian: apt-get install docker-cli, before 13 in docker.io)");
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        since.elapsed().as_secs_f64() * 1e3
    }

    pub(crate) fn address(&self) -> EngineAddress {
        EngineAddress::Unix(self.dir.join("docker.sock"))
    }

    async fn import(&self) {
        let script = "set -e; mkdir -p bin tmp proc sys dev etc var/tmp home workspace; chmod 1777 tmp var/tmp
            cp /bin/busybox bin/busybox; for name in sh true echo cat; do ln -s busybox bin/$name; done; tar -cf - .";
        let root = self.dir.join("image");
        std::fs::create_dir(&root).unwrap();
        let packed = Command::new("sh").args(["-c", script]).current_dir(&root).output().unwrap();
        assert!(packed.status.success(), "there is no /bin/busybox: scripts/setup.sh --tests");
        let (repo, tag) = IMAGE.split_once(':').unwrap();
        let options = CreateImageOptions {
            from_src: Some("-".to_owned()),
            repo: Some(repo.to_owned()),
            tag: Some(tag.to_owned()),
            ..CreateImageOptions::default()
        };
        let body = body_full(packed.stdout.into());
        self.client.create_image(Some(options), Some(body), None).try_collect::<Vec<_>>().await.unwrap();
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        drop(self.running.stdin.take());
        let _ = self.running.wait();
    }
}
