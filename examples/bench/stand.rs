//! The service and the scripted model as processes, and a caller.

use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};
use tempfile::TempDir;

const KEY: &str = "jm_bench-key-of-the-first-admin-0123456789";
/// Turns of the long task.
pub(crate) const LONG: usize = 310;
/// Turns of the task with large outputs.
pub(crate) const LARGE: usize = 500;

pub(crate) struct Stand {
    pub(crate) base: String,
    pub(crate) model: String,
    pub(crate) http: reqwest::Client,
    serve: Child,
    scripted: Child,
    command: Command,
    dir: TempDir,
}

impl Stand {
    pub(crate) fn start(database_url: &str) -> Self {
        Self::start_as(database_url, "all")
    }

    /// With the service in a role: `all`, or `api`, which works on no task.
    pub(crate) fn start_as(database_url: &str, role: &str) -> Self {
        Self::start_with(database_url, role, &[])
    }

    /// With these variables besides.
    pub(crate) fn start_with(database_url: &str, role: &str, variables: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        make_repository(&dir.path().join("small"), 12);
        make_repository(&dir.path().join("large"), 2_000);
        make_repository(&dir.path().join("larger"), 5_000);
        let script = dir.path().join("script.json");
        std::fs::write(&script, script_of_echoes().to_string()).unwrap();
        let mut scripted = Command::new(program())
            .args(["model", "--listen", "127.0.0.1:0", "--script"])
            .arg(&script)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(scripted.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let model =
            line.split_whitespace().find(|word| word.starts_with("http://")).unwrap().trim_end_matches('/').to_owned();
        // A window that the largest conversation does not fill.
        let settings = dir.path().join("settings.toml");
        let entry =
            format!("[[models]]\nname = \"scripted\"\nurl = \"{model}\"\napi = \"responses\"\nwindow = 1000000\n");
        std::fs::write(&settings, entry).unwrap();
        let mut command = Command::new(program());
        command
            .args(["serve", "--role", role])
            .env("DATABASE_URL", database_url)
            .env("JOURNEYMAN_DATA_DIR", dir.path().join("data"))
            .env("JOURNEYMAN_LISTEN", "127.0.0.1:0")
            .env("JOURNEYMAN_BOOTSTRAP_KEY", KEY)
            .env("JOURNEYMAN_RATE_KEY", "off")
            .env("JOURNEYMAN_CONFIG", &settings)
            .env("JOURNEYMAN_ALLOW_LOCAL_REPOS", dir.path())
            .envs(variables.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let (serve, base) = serving(&mut command);
        Self { base, model, http: reqwest::Client::new(), serve, scripted, command, dir }
    }

    /// SIGKILL, and the same service again.
    pub(crate) fn kill_and_start(&mut self) {
        self.serve.kill().unwrap();
        self.serve.wait().unwrap();
        (self.serve, self.base) = serving(&mut self.command);
    }

    pub(crate) fn repository(&self, name: &str) -> String {
        format!("file://{}", self.dir.path().join(name).display())
    }

    /// One more commit in a repository: one file differs.
    pub(crate) fn commit(&self, repository: &str) {
        let path = self.dir.path().join(repository);
        let file = path.join("package_00/module_0000.py");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, format!("{text}\n\ndef another():\n    return {}\n", text.len())).unwrap();
        git(&path, &["commit", "--quiet", "--all", "--message", "another"]);
    }

    pub(crate) fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base)).bearer_auth(KEY)
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.request(reqwest::Method::GET, path).send().await.unwrap().json().await.unwrap()
    }

    pub(crate) async fn create(&self, scenario: &str, repository: &str) -> String {
        let body = json!({
            "request": format!("[scenario: {scenario}] go on"),
            "mode": "answer",
            "repository": { "url": self.repository(repository) },
            "limits": { "turns": 1_000, "tokens": 1_000_000_000_u64 },
        });
        let answer = self.request(reqwest::Method::POST, "/v1/tasks").json(&body).send().await.unwrap();
        assert_eq!(answer.status(), 201, "{}", answer.text().await.unwrap());
        let task: Value = answer.json().await.unwrap();
        task["id"].as_str().unwrap().to_owned()
    }

    /// Waits for the end of a task; it must have succeeded.
    pub(crate) async fn end(&self, task: &str) -> Value {
        loop {
            let answer = self
                .request(reqwest::Method::GET, &format!("/v1/tasks/{task}?until=end"))
                .header("prefer", "wait=30")
                .send()
                .await
                .unwrap();
            let found: Value = answer.json().await.unwrap();
            match found["status"].as_str().unwrap() {
                "succeeded" => return found,
                "queued" | "running" => {}
                other => panic!("a task ended as {other}: {found:#}"),
            }
        }
    }

    /// What the model was asked since it was last told to forget.
    pub(crate) async fn asked(&self) -> Vec<Value> {
        let root = self.model.trim_end_matches("/v1");
        let mut all: Vec<Value> = Vec::new();
        loop {
            let after = all.last().map_or(0, |r| r["n"].as_u64().unwrap());
            let url = format!("{root}/requests?after={after}&limit=1000&bodies=false");
            let page: Value = self.http.get(url).send().await.unwrap().json().await.unwrap();
            let rows = page["data"].as_array().unwrap();
            if rows.is_empty() {
                return all;
            }
            all.extend(rows.iter().cloned());
        }
    }

    pub(crate) async fn forget(&self) {
        let root = self.model.trim_end_matches("/v1");
        self.http.delete(format!("{root}/requests")).send().await.unwrap();
    }

    /// Seconds of processor time that the service has used, without its sandboxes.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.serve.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        // utime and stime, in hundredths of a second.
        (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
    }

    /// Resident memory of the service, in MiB.
    pub(crate) fn memory_mib(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.serve.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1_024.0
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        for child in [&mut self.serve, &mut self.scripted] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

pub(crate) fn now_us() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64() * 1e6
}

/// `journeyman` beside this program (`target/release/examples/..`).
fn program() -> PathBuf {
    std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().join("journeyman")
}

/// Starts the service; its process and address.
fn serving(command: &mut Command) -> (Child, String) {
    let mut serve = command.spawn().unwrap();
    let mut lines = BufReader::new(serve.stderr.take().unwrap()).lines();
    let base = loop {
        let line = lines.next().expect("the service says where it listens").unwrap();
        if let Some((_, address)) = line.split_once("listening on ") {
            let address = address.split_whitespace().next().unwrap();
            break address.trim_end_matches(|c: char| !c.is_ascii_digit()).to_owned();
        }
    };
    std::thread::spawn(move || lines.for_each(drop));
    (serve, base)
}

fn script_of_echoes() -> Value {
    let echo =
        |turn: usize| json!({ "calls": [{ "tool": "shell", "arguments": { "command": format!("echo {turn}") } }] });
    // Outputs that differ, as those of work do.
    let large = (1..LARGE)
        .map(|turn| format!("echo {turn}; head -c 4096 /dev/zero | tr '\\0' x"))
        .map(|command| json!({ "calls": [{ "tool": "shell", "arguments": { "command": command } }] }))
        .chain([json!({ "text": "done" })])
        .collect::<Vec<_>>();
    let turns = |count: usize| (1..count).map(echo).chain([json!({ "text": "done" })]).collect::<Vec<_>>();
    json!({ "scenarios": {
        "five": { "sequence": turns(5) },
        "ten": { "sequence": turns(10) },
        "long": { "sequence": turns(LONG) },
        "one": { "sequence": turns(1) },
        "large": { "sequence": large },
    } })
}

fn make_repository(path: &Path, files: usize) {
    for file in 0..files {
        let file = path.join(format!("package_{:02}/module_{file:04}.py", file % 40));
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, format!("\"\"\"{}\"\"\"\n\n\ndef value():\n    return 1\n", file.display()).repeat(20))
            .unwrap();
    }
    git(path, &["init", "--quiet", "--initial-branch=main"]);
    git(path, &["add", "--all"]);
    git(path, &["commit", "--quiet", "--message", "first"]);
}

fn git(path: &Path, arguments: &[&str]) {
    let author = ["-c", "user.name=Bench", "-c", "user.email=bench@example.com"];
    let done = Command::new("git").arg("-C").arg(path).args(author).args(arguments).stdout(Stdio::null()).status();
    assert!(done.unwrap().success(), "git {arguments:?}");
}
