//! Publishing: from a task's patch to a branch at its host, once, whatever crashes.

mod approvals;
mod branches;
mod crashes;
pub(crate) mod forge_server;
mod forges;
mod hosts;
mod opened;

use crate::support::service::{Api, Ground, call, git, plan, say};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// A task that runs this command and says that it is done.
fn shell(command: &str) -> Value {
    json!([plan(), call("shell", json!({ "command": command })), say("Done as asked.")])
}

/// Scenarios by what the request contains.
fn script(scenarios: &[(&str, Value)]) -> Value {
    let scenarios: serde_json::Map<String, Value> = scenarios
        .iter()
        .map(|(name, sequence)| ((*name).to_owned(), json!({ "contains": name, "sequence": sequence })))
        .collect();
    json!({ "scenarios": scenarios })
}

fn the_script() -> Value {
    script(&[
        ("mend", shell("printf 'def add(a, b):\\n    return a + b\\n' > calc.py")),
        ("again", shell("printf 'def add(a, b):\\n    return b + a\\n' > calc.py")),
        ("workflow", shell("mkdir -p .github/workflows && echo 'on: push' > .github/workflows/ci.yml")),
        ("nothing", json!([say("There is nothing to do.")])),
    ])
}

/// Where the repository `calc` is.
fn calc(ground: &Ground) -> PathBuf {
    ground.repositories.path().join("calc")
}

fn request(ground: &Ground, what: &str) -> Value {
    let url = format!("file://{}", calc(ground).display());
    json!({ "request": format!("{what} the sum"), "repository": { "url": url }, "limits": { "validation_seconds": 30 } })
}

async fn ground() -> Ground {
    let ground = Ground::new(&the_script()).await;
    let files = [("calc.py", "def add(a, b):\n    return a - b\n"), ("README.md", "calc\n")];
    ground.repositories.make("calc", &files);
    // Each time that a branch moves leaves a line.
    git(&calc(&ground), &["config", "core.logAllRefUpdates", "always"]);
    ground
}

/// A task that rests; its id.
async fn rested(api: &Api, body: &Value) -> String {
    let id = api.create(body).await;
    let task = api.rest(&id).await;
    assert_eq!(task["status"], "succeeded", "{task:#}");
    id
}

async fn publish(api: &Api, task: &str, body: &Value) -> Value {
    let (status, accepted) = api.post(&format!("/v1/tasks/{task}/publish"), body).await;
    assert_eq!(status, 202, "{accepted:#}");
    accepted
}

/// The events of a publishing, once it has come to this.
async fn came(api: &Api, task: &str, publishing: &Value, states: &[&str]) -> Value {
    let is_it = |event: &&Value| {
        let (data, last) = (&event["data"], states.contains(&event["data"]["state"].as_str().unwrap_or_default()));
        event["kind"] == "publish" && data["publishing"] == publishing["id"] && last
    };
    let looking = async {
        loop {
            if let Some(found) = api.events(task).await.iter().find(is_it) {
                return found["data"].clone();
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    match tokio::time::timeout(crate::support::service::PATIENCE, looking).await {
        Ok(found) => found,
        Err(_) => panic!("no {states:?}: {:#?}", api.events(task).await),
    }
}

/// The branches of the service in a repository.
fn branches(repository: &Path) -> Vec<String> {
    let all = git(repository, &["for-each-ref", "--format=%(refname:short)", "refs/heads/journeyman"]);
    all.lines().map(str::to_owned).collect()
}

/// How often a branch was moved.
fn pushes(repository: &Path, branch: &str) -> usize {
    git(repository, &["reflog", "show", "--format=%H", branch]).lines().count()
}

fn commits(repository: &Path, range: &str) -> usize {
    git(repository, &["rev-list", "--count", range]).trim().parse().unwrap()
}

fn commit(repository: &Path, file: &str, content: &str) {
    std::fs::write(repository.join(file), content).unwrap();
    git(repository, &["add", "--all"]);
    let by = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.com"];
    git(repository, &[&by[..], &["commit", "--quiet", "--message", "a change"]].concat());
}
