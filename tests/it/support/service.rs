//! A whole service for a test: API and workers on a database and data directory of their own, the
//! scripted model in a process of its own, a real git repository.

use super::database;
use journeyman::{
    app::{Role, Server},
    config::{Environment, Settings},
    runner::Failpoint,
    shutdown::Shutdown,
};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;

/// The longest that anything here may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const KEY: &str = "jm_test-key-of-the-first-admin-0123456789";

/// `journeyman model` in a process of its own.
pub(crate) struct ScriptedModel {
    child: Child,
    /// Base URL, `…/v1`.
    pub(crate) url: String,
    _script: TempDir,
}

impl ScriptedModel {
    pub(crate) fn start(script: &Value) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("script.json");
        std::fs::write(&path, script.to_string()).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_journeyman"))
            .args(["model", "--listen", "127.0.0.1:0", "--script"])
            .arg(&path)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line
            .split_whitespace()
            .find(|word| word.starts_with("http://"))
            .unwrap_or_else(|| panic!("no URL in {line:?}"));
        Self { url: url.trim_end_matches('/').to_owned(), child, _script: dir }
    }

    /// Bodies of the requests that arrived, oldest first.
    pub(crate) async fn requests(&self) -> Vec<Value> {
        let root = self.url.trim_end_matches("/v1");
        let answer: Value = reqwest::get(format!("{root}/requests")).await.unwrap().json().await.unwrap();
        let rows = &answer["data"];
        rows.as_array().unwrap_or_else(|| panic!("{rows}")).clone()
    }

    /// Lets the server forget them.
    pub(crate) async fn forget(&self) {
        let root = self.url.trim_end_matches("/v1");
        reqwest::Client::new().delete(format!("{root}/requests")).send().await.unwrap().error_for_status().unwrap();
    }
}

impl Drop for ScriptedModel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A directory of repositories under which `file://` is allowed.
pub(crate) struct Repositories(TempDir);

impl Repositories {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        // The service's git may run as another user than the test.
        std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        Self(dir)
    }

    /// A repository with one commit of these files; its URL.
    pub(crate) fn make(&self, name: &str, files: &[(&str, &str)]) -> String {
        let path = self.0.path().join(name);
        std::fs::create_dir(&path).unwrap();
        for (file, content) in files {
            let file = path.join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, content).unwrap();
        }
        git(&path, &["init", "--quiet", "--initial-branch=main"]);
        git(&path, &["add", "--all"]);
        git(
            &path,
            &["-c", "user.name=Test", "-c", "user.email=test@example.com", "commit", "--quiet", "--message", "first"],
        );
        format!("file://{}", path.display())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

pub(crate) fn git(directory: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git").arg("-C").arg(directory).args(arguments).output().unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What a service is started on; outlives its processes.
pub(crate) struct Ground {
    pub(crate) data: TempDir,
    pub(crate) database: String,
    pub(crate) repositories: Repositories,
    pub(crate) model: ScriptedModel,
    pub(crate) wire: &'static str,
    pub(crate) variables: Vec<(String, String)>,
    /// Of the model; absent: the default.
    pub(crate) window_tokens: Option<u64>,
}

impl Ground {
    pub(crate) async fn new(script: &Value) -> Self {
        let data = tempfile::tempdir().unwrap();
        std::fs::set_permissions(data.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711)).unwrap();
        Self {
            data,
            database: database().await,
            repositories: Repositories::new(),
            model: ScriptedModel::start(script),
            wire: "responses",
            variables: Vec::new(),
            window_tokens: None,
        }
    }

    pub(crate) fn settings(&self, data_dir: &Path) -> Settings {
        self.settings_with(data_dir, &[])
    }

    fn settings_with(&self, data_dir: &Path, more: &[(String, String)]) -> Settings {
        let path = std::env::var("PATH").unwrap();
        let mut variables = vec![
            ("PATH".to_owned(), path),
            ("DATABASE_URL".to_owned(), self.database.clone()),
            ("JOURNEYMAN_DATA_DIR".to_owned(), data_dir.display().to_string()),
            ("JOURNEYMAN_LISTEN".to_owned(), "127.0.0.1:0".to_owned()),
            ("JOURNEYMAN_BOOTSTRAP_KEY".to_owned(), KEY.to_owned()),
            ("JOURNEYMAN_MODEL".to_owned(), "scripted".to_owned()),
            ("JOURNEYMAN_MODEL_API".to_owned(), self.wire.to_owned()),
            ("JOURNEYMAN_MODEL_URL".to_owned(), self.model.url.clone()),
            ("JOURNEYMAN_ALLOW_LOCAL_REPOS".to_owned(), self.repositories.path().display().to_string()),
        ];
        variables.extend(self.variables.iter().chain(more).cloned());
        let root = Environment::of_process().unwrap().is_root();
        let mut settings = Settings::load(None, &Environment::new(variables).as_root(root)).unwrap();
        if let Some(window_tokens) = self.window_tokens {
            settings.models.all[0].model.window_tokens = window_tokens;
        }
        settings
    }

    /// Starts a service on the ground's own data directory.
    pub(crate) async fn start(&self) -> TestService {
        self.start_with(self.data.path(), None).await
    }

    pub(crate) async fn start_with(&self, data_dir: &Path, failpoint: Option<Failpoint>) -> TestService {
        self.start_as(Role::All, data_dir, failpoint).await
    }

    /// A replica; one that only works has no address.
    pub(crate) async fn start_as(&self, role: Role, data_dir: &Path, failpoint: Option<Failpoint>) -> TestService {
        self.start_of(&self.settings(data_dir), role, failpoint).await
    }

    /// A replica with other settings than the ground's: later variables replace earlier ones.
    pub(crate) async fn start_other(
        &self,
        role: Role,
        data_dir: &Path,
        failpoint: Option<Failpoint>,
        more: &[(String, String)],
    ) -> TestService {
        self.start_of(&self.settings_with(data_dir, more), role, failpoint).await
    }

    async fn start_of(&self, settings: &Settings, role: Role, failpoint: Option<Failpoint>) -> TestService {
        let server = Server::start(settings, role, false, Shutdown::new(), failpoint).await.unwrap();
        let base = server.address.map(|address| format!("http://{address}")).unwrap_or_default();
        TestService { base, server, key: KEY.to_owned() }
    }
}

/// A running service with its first admin's key.
pub(crate) struct TestService {
    server: Server,
    pub(crate) base: String,
    pub(crate) key: String,
}

impl TestService {
    pub(crate) async fn stop(self) {
        self.server.shutdown.drain();
        self.server.finished().await.unwrap();
    }

    pub(crate) fn api(&self) -> Api {
        Api { base: self.base.clone(), key: self.key.clone(), http: reqwest::Client::new() }
    }
}

/// A caller.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) base: String,
    pub(crate) key: String,
    pub(crate) http: reqwest::Client,
}

impl Api {
    pub(crate) async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let answer =
            self.http.post(format!("{}{path}", self.base)).bearer_auth(&self.key).json(body).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap_or_default())
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        let text = self.text(path).await;
        (text.0, serde_json::from_str(&text.1).unwrap_or_default())
    }

    pub(crate) async fn text(&self, path: &str) -> (u16, String) {
        let answer = self.http.get(format!("{}{path}", self.base)).bearer_auth(&self.key).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// Makes a task; its id.
    pub(crate) async fn create(&self, body: &Value) -> String {
        let (status, task) = self.post("/v1/tasks", body).await;
        assert_eq!(status, 201, "{task}");
        task["id"].as_str().unwrap().to_owned()
    }

    /// Waits until the task has ended or waits; the task.
    pub(crate) async fn rest(&self, task: &str) -> Value {
        self.until(task, |task| !matches!(task["status"].as_str(), Some("queued" | "running"))).await
    }

    /// Waits until the task is as wanted.
    pub(crate) async fn until(&self, task: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let waiting = async {
            loop {
                let answer = self
                    .http
                    .get(format!("{}/v1/tasks/{task}", self.base))
                    .bearer_auth(&self.key)
                    .send()
                    .await
                    .unwrap();
                let etag = answer.headers().get("etag").cloned();
                let found: Value = answer.json().await.unwrap();
                if wanted(&found) {
                    return found;
                }
                let mut held = self
                    .http
                    .get(format!("{}/v1/tasks/{task}?until=change", self.base))
                    .bearer_auth(&self.key)
                    .header("prefer", "wait=2");
                if let Some(etag) = etag {
                    held = held.header("if-none-match", etag);
                }
                held.send().await.unwrap();
            }
        };
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(task) => task,
            Err(_) => panic!(
                "the task did not get there: {:#}\n{:#?}",
                self.get(&format!("/v1/tasks/{task}")).await.1,
                self.events(task).await
            ),
        }
    }

    /// Waits until what is at a path is as wanted; what was there.
    pub(crate) async fn until_at(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let begun = std::time::Instant::now();
        loop {
            let (_, found) = self.get(path).await;
            if wanted(&found) {
                return found;
            }
            assert!(begun.elapsed() < PATIENCE, "{path} did not get there: {found:#}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until the model has answered a task so often.
    pub(crate) async fn answered(&self, task: &str, turns: u64) {
        let asking = async {
            while self.get(&format!("/v1/tasks/{task}")).await.1["usage"]["turns"].as_u64().unwrap() < turns {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("{task} has no {turns} turns"));
    }

    /// Waits until a task's log has `count` events of a kind.
    pub(crate) async fn met(&self, task: &str, kind: &str, count: usize) {
        let asking = async {
            while self.events(task).await.iter().filter(|e| e["kind"] == kind).count() < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, asking).await.is_err() {
            panic!("{kind} was not met: {:#?}", self.events(task).await);
        }
    }

    /// The whole log of a task.
    pub(crate) async fn events(&self, task: &str) -> Vec<Value> {
        let mut events: Vec<Value> = Vec::new();
        loop {
            let after = events.last().map_or(0, |e| e["seq"].as_i64().unwrap());
            let (status, page) = self.get(&format!("/v1/tasks/{task}/events?after={after}&limit=100")).await;
            assert_eq!(status, 200, "{page}");
            let rows = page["data"].as_array().unwrap();
            if rows.is_empty() {
                return events;
            }
            events.extend(rows.iter().cloned());
        }
    }
}

/// A reply of the scripted model that calls one tool.
pub(crate) fn call(tool: &str, arguments: Value) -> Value {
    json!({ "calls": [{ "tool": tool, "arguments": arguments }] })
}

/// A reply in words.
pub(crate) fn say(text: &str) -> Value {
    json!({ "text": text })
}

/// A plan of one step.
pub(crate) fn plan() -> Value {
    call("update_plan", json!({ "plan": [{ "step": "mend it", "status": "in_progress" }] }))
}

/// Where the test's data directory for a second replica is.
pub(crate) fn second_data_dir() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711)).unwrap();
    let path = dir.path().to_owned();
    (dir, path)
}
