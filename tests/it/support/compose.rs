//! The service as `docker compose` starts it: the repository's own files, on an engine and images made for tests.
//!
//! Nothing can be fetched where tests run, so the images that the files begin with are made of this machine's programs,
//! with a `cargo` that finds everything built. The service's own image is built from them by the repository's Dockerfile.

use super::{
    calculator,
    engine::Engine,
    images, sandbox,
    service::{Api, KEY, Repositories},
};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// The port of the service on the engine's own network; nothing else is there.
const PORT: u16 = 8080;
const PATIENCE: Duration = Duration::from_secs(90);

/// Postgres, the service and a scripted model, each in a container.
pub(crate) struct Stack {
    pub(crate) engine: Engine,
    pub(crate) api: Api,
    /// What the service finds at `/repositories`.
    pub(crate) repositories: Repositories,
    dir: TempDir,
}

impl Stack {
    /// Starts it; `script` is the model's.
    pub(crate) async fn start(script: &Value) -> Self {
        let engine = Engine::networked().await;
        engine.import("debian:12-slim", &images::debian()).await;
        build_postgres(&engine).await;
        build_rust(&engine).await;
        let repositories = Repositories::new();
        repositories.make("calc", &[("calc.py", calculator::BROKEN), ("test_calc.py", calculator::TESTS)]);
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("script.json"), script.to_string()).unwrap();
        std::fs::write(dir.path().join("env"), environment()).unwrap();
        std::fs::write(dir.path().join("more.yml"), more(dir.path(), &repositories).to_string()).unwrap();
        let base = format!("http://127.0.0.1:{}", engine.reach(PORT));
        let api = Api { base, key: KEY.to_owned(), http: reqwest::Client::new() };
        let stack = Self { engine, api, repositories, dir };
        stack.compose(&["up", "--detach", "--build"]).await;
        stack.answers().await;
        stack
    }

    /// Runs `docker compose` on the repository's files; what it says. It must succeed.
    pub(crate) async fn compose(&self, arguments: &[&str]) -> String {
        let output = self.try_compose(arguments).await;
        let said = text(&output);
        assert!(output.status.success(), "compose {arguments:?}: {said}");
        said
    }

    pub(crate) async fn try_compose(&self, arguments: &[&str]) -> Output {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut command = client();
        command.env("DOCKER_HOST", format!("unix://{}", self.engine.socket().display()));
        command.arg("--project-name").arg("jm").arg("--project-directory").arg(root);
        command.arg("--env-file").arg(self.dir.path().join("env"));
        command.arg("--file").arg(root.join("docker-compose.yml")).arg("--file").arg(self.dir.path().join("more.yml"));
        command.args(arguments);
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    /// Waits until the service answers.
    pub(crate) async fn answers(&self) {
        let begun = Instant::now();
        loop {
            let answer = self.api.http.get(format!("{}/readyz", self.api.base)).send().await;
            if answer.is_ok_and(|answer| answer.status() == 200) {
                return;
            }
            if begun.elapsed() > PATIENCE {
                let log = self.try_compose(&["logs", "--no-color"]).await;
                let state = self.try_compose(&["ps", "--all"]).await;
                panic!("the service does not answer: {} {}", text(&state), text(&log));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

pub(crate) fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

/// `docker compose`, version 2 or later: the earlier one does not know what the file says.
fn client() -> Command {
    let kept = std::env::current_exe().unwrap().ancestors().nth(3).unwrap().join("test-tools/docker-compose");
    let candidates: [&[&str]; 3] = [&["docker", "compose"], &["docker-compose"], &[kept.to_str().unwrap()]];
    for words in candidates {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]);
        let version = command.args(["version", "--short"]).output();
        let known = version.is_ok_and(|output| {
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            let major =
                said.trim().trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u32>().ok());
            output.status.success() && major.is_some_and(|major| major >= 2)
        });
        if known {
            let mut command = Command::new(words[0]);
            command.args(&words[1..]);
            return command;
        }
    }
    panic!("there is no docker compose of version 2 or later: run scripts/setup.sh --tests");
}

fn environment() -> String {
    format!(
        "POSTGRES_PASSWORD=a-password-of-the-test\nJOURNEYMAN_PORT={PORT}\nJOURNEYMAN_BOOTSTRAP_KEY={KEY}\n\
        JOURNEYMAN_MODEL=scripted\nJOURNEYMAN_MODEL_API=responses\nJOURNEYMAN_MODEL_URL=http://model:9000/v1\n\
        JOURNEYMAN_CONTAINER_MEMORY=4g\nJOURNEYMAN_SANDBOX_MEMORY_MIB=1024\n"
    )
}

/// What the test has besides: a model, and repositories that need no network.
fn more(dir: &Path, repositories: &Repositories) -> Value {
    let mount = |host: PathBuf, inside: &str| json!(format!("{}:{inside}:ro", host.display()));
    json!({ "services": {
        "postgres": { "pull_policy": "never" },
        "journeyman": {
            "pull_policy": "never",
            "depends_on": { "model": { "condition": "service_started" } },
            "environment": { "JOURNEYMAN_ALLOW_LOCAL_REPOS": "/repositories" },
            "volumes": [mount(repositories.path().to_owned(), "/repositories")],
        },
        "model": {
            "image": "journeyman",
            "pull_policy": "never",
            "command": ["model", "--listen", "0.0.0.0:9000", "--script", "/script.json"],
            "healthcheck": { "disable": true },
            "volumes": [mount(dir.join("script.json"), "/script.json")],
            "stop_grace_period": "1s",
        },
    } })
}

async fn build_postgres(engine: &Engine) {
    engine.import("journeyman-test/postgres:latest", &images::postgres()).await;
    let context = tempfile::tempdir().unwrap();
    let dockerfile = "FROM journeyman-test/postgres\nENV PATH=/usr/local/bin:/usr/bin:/bin:/postgresql\n\
        VOLUME /var/lib/postgresql/data\nSTOPSIGNAL SIGINT\nEXPOSE 5432\n\
        ENTRYPOINT [\"docker-entrypoint.sh\"]\nCMD [\"postgres\"]\n";
    std::fs::write(context.path().join("Dockerfile"), dockerfile).unwrap();
    engine.build("postgres:17-bookworm", context.path()).await;
}

/// What the Dockerfile compiles in, with programs that are compiled already.
async fn build_rust(engine: &Engine) {
    let context = tempfile::tempdir().unwrap();
    let at = |name: &str| context.path().join(name);
    std::fs::write(at("cargo"), CARGO).unwrap();
    std::fs::write(at("rustc"), "#!/bin/sh\necho \"host: $(uname -m)-unknown-linux-gnu\"\n").unwrap();
    for name in ["cargo", "rustc"] {
        std::fs::set_permissions(at(name), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    std::fs::copy(sandbox::static_execd(), at("execd")).unwrap();
    // With what debuggers want it is twice as large.
    let mut strip = Command::new("strip");
    let stripped = strip.arg("-o").arg(at("journeyman")).arg(env!("CARGO_BIN_EXE_journeyman")).status();
    assert!(stripped.unwrap().success());
    let dockerfile = "FROM debian:12-slim\nCOPY cargo rustc /usr/local/bin/\nCOPY journeyman execd /built/\n";
    std::fs::write(at("Dockerfile"), dockerfile).unwrap();
    engine.build("rust:1-bookworm", context.path()).await;
}

/// Builds nothing, but misses what the real one would.
const CARGO: &str = r#"#!/bin/sh
set -eu
for needed in Cargo.toml Cargo.lock src/main.rs execd/Cargo.toml parsers/Cargo.toml migrations openapi.yaml; do
    [ -e "$needed" ] || { echo "cargo: there is no $needed" >&2; exit 101; }
done
host=$(uname -m)-unknown-linux-gnu
case "$*" in
    "build --locked --release --bin journeyman"*) mkdir -p target/release; cp /built/journeyman target/release/ ;;
    "build --locked --release --package execd --bin execd --target $host") mkdir -p "target/$host/release"; cp /built/execd "target/$host/release/" ;;
    *) echo "cargo: what is $*?" >&2; exit 101 ;;
esac
"#;
