//! A working copy that is lost with its sandbox in the midst of a run: the task goes on from its last checkpoint, and the
//! log and the model are told what is gone.

use super::rest;
#[cfg(feature = "kubernetes-cluster")]
use crate::support::cluster::Cluster;
use crate::support::{
    calculator,
    engine::Engine,
    process::of_user,
    replayed,
    service::{Api, Ground, call, plan, say},
};
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};
use std::os::unix::fs::MetadataExt;

/// What takes a task's sandbox and its files away, whoever has them.
pub(crate) trait Thief {
    async fn lose(&self, ground: &Ground, task: &str);
}

const LAID_ANEW: &str = "laid anew from its last checkpoint";
const MEND: &str = "printf 'def add(a, b):\\n    return a + b\\n' > calc.py";

/// Two looks at an ignored file, with time between them. A model that is told of the loss makes it again.
fn between() -> Value {
    let look = || call("shell", json!({ "command": "cat built 2>&1; true" }));
    let built = format!("{MEND}; echo built > built; echo built > .gitignore");
    json!({ "rules": [
        { "when": { "turn": 0 }, "reply": plan() },
        { "when": { "turn": 1 }, "reply": call("shell", json!({ "command": built })) },
        { "when": { "turn": 2 }, "reply": look() },
        { "when": { "turn": 3 }, "reply": { "pace": { "first_byte_ms": 5000 }, "calls": look()["calls"] } },
        { "when": { "last_contains": LAID_ANEW }, "reply": call("shell", json!({ "command": "echo again > built" })) },
        { "when": {}, "reply": say("Mended.") },
    ] })
}

fn recovered(events: &[Value]) -> Vec<&Value> {
    events.iter().filter(|event| event["kind"] == "recovered").map(|event| &event["data"]).collect()
}

async fn assert_replays(api: &Api, id: &str) {
    let replayed = replayed::fold(&replayed::export(api, id, "").await);
    assert!(replayed.difference.is_none(), "{:#?}", replayed.difference);
}

async fn ground(script: &Value, variables: &[(String, String)]) -> Ground {
    let mut ground = calculator::ground(script).await;
    ground.variables.extend(variables.iter().cloned());
    ground
}

/// What calls of this tool gave, in their order.
fn outputs<'a>(events: &'a [Value], tool: &str) -> Vec<&'a str> {
    let of_tool = |event: &&Value| event["kind"] == "tool.completed" && event["data"]["tool"] == tool;
    events.iter().filter(of_tool).map(|event| event["data"]["output"].as_str().unwrap()).collect()
}

pub(crate) async fn a_copy_that_is_lost_between_two_calls(thief: &impl Thief, variables: &[(String, String)]) {
    let ground = ground(&between(), variables).await;
    let service = ground.start().await;
    let api = service.api();
    let id = api.create(&calculator::request(&ground)).await;
    api.met(&id, "checkpoint", 1).await;
    api.met(&id, "model.started", 4).await;
    thief.lose(&ground, &id).await;
    let (task, events) = rest(&api, &id).await;
    assert_eq!(task["result"]["verdict"], "verified", "{task:#} {events:#?}");
    assert_eq!(recovered(&events), [&json!({ "after": "host_loss", "interrupted": [] })], "{events:#?}");
    let shells = outputs(&events, "shell");
    assert!(shells[1].contains("built") && shells[2].contains("No such file"), "{shells:?}");
    assert!(ground.model.requests().await.iter().any(|request| request.to_string().contains(LAID_ANEW)), "{events:#?}");
    assert_replays(&api, &id).await;
    service.stop().await;
}

/// The call has changed a file when it is lost, which nobody has seen: it is made again by a model that looks.
pub(crate) async fn a_copy_that_is_lost_under_a_call(thief: &impl Thief, variables: &[(String, String)]) {
    let script = json!({ "rules": [
        { "when": { "turn": 0 }, "reply": plan() },
        { "when": { "turn": 1 }, "reply": call("shell", json!({ "command": "true" })) },
        { "when": { "turn": 2 }, "reply": call("shell", json!({ "command": format!("{MEND}; sleep 1000"), "timeout_ms": 900_000 })) },
        { "when": { "last_output_contains": "outcome unknown" }, "reply": call("read_file", json!({ "path": "calc.py" })) },
        { "when": { "last_output_contains": "a - b" }, "reply": call("shell", json!({ "command": MEND })) },
        { "when": {}, "reply": say("Mended.") },
    ] });
    let ground = ground(&script, variables).await;
    let service = ground.start().await;
    let api = service.api();
    let id = api.create(&calculator::request(&ground)).await;
    api.met(&id, "tool.started", 3).await;
    let call = {
        let events = api.events(&id).await;
        let started = events.iter().rfind(|event| event["kind"] == "tool.started").unwrap();
        started["data"]["call"].as_str().unwrap().to_owned()
    };
    thief.lose(&ground, &id).await;
    let (task, events) = rest(&api, &id).await;
    assert_eq!(task["result"]["verdict"], "verified", "{task:#} {events:#?}");
    assert_eq!(recovered(&events), [&json!({ "after": "host_loss", "interrupted": [call] })], "{events:#?}");
    let answer = events.iter().find(|e| e["kind"] == "tool.completed" && e["data"]["call"] == call.as_str()).unwrap();
    assert_eq!(answer["data"]["outcome"], "interrupted");
    let output = answer["data"]["output"].as_str().unwrap();
    assert!(output.contains("the workspace was lost") && output.contains("outcome unknown"), "{output}");
    let asked = ground.model.requests().await;
    assert!(asked.iter().any(|request| request.to_string().contains("So may be what the last calls changed")));
    assert_replays(&api, &id).await;
    service.stop().await;
}

/// The last words were said of what is lost then: they do not stand.
pub(crate) async fn changes_that_are_lost_before_anybody_looked_are_made_again(
    thief: &impl Thief,
    variables: &[(String, String)],
) {
    let script = json!({ "rules": [
        { "when": { "turn": 0 }, "reply": plan() },
        { "when": { "turn": 1 }, "reply": call("shell", json!({ "command": format!("{MEND}; echo mended") })) },
        { "when": { "last_contains": "So may be what the last calls changed" }, "reply": call("shell", json!({ "command": format!("grep -q 'a - b' calc.py && {MEND}; echo once more") })) },
        { "when": { "last_output_contains": "once more" }, "reply": say("Mended again.") },
        { "when": {}, "reply": say("Mended.") },
    ] });
    let ground = ground(&script, variables).await;
    let service = ground.start().await;
    let api = service.api();
    let id = api.create(&calculator::request(&ground)).await;
    api.met(&id, "tool.completed", 2).await;
    thief.lose(&ground, &id).await;
    let (task, events) = rest(&api, &id).await;
    // Whether the server had looked in that moment is chance: what was changed is there either way.
    assert_eq!(task["result"]["verdict"], "verified", "{task:#} {events:#?}");
    let patch = api.text(&format!("/v1/tasks/{id}/patch")).await.1;
    assert!(patch.contains("+    return a + b"), "{patch}");
    assert_replays(&api, &id).await;
    service.stop().await;
}

/// The directory of a task's copy goes, as if it had never been on this host; what runs over it sees it still.
fn hide(ground: &Ground, task: &str) -> std::path::PathBuf {
    let copy = ground.data.path().join("workspaces").join(task).join("copy");
    let hidden = ground.repositories.path().join(format!("lost-{task}"));
    std::fs::rename(&copy, &hidden).unwrap();
    hidden
}

impl Thief for Engine {
    async fn lose(&self, ground: &Ground, task: &str) {
        hide(ground, task);
        for name in self.containers(task).await {
            self.delete(&name).await;
        }
    }
}

#[cfg(feature = "kubernetes-cluster")]
impl Thief for Cluster {
    async fn lose(&self, _: &Ground, task: &str) {
        let pods = self.pods(task).await;
        assert!(!pods.is_empty());
        for name in pods {
            self.delete(&name).await;
        }
    }
}

/// This machine's own sandboxes.
pub(crate) struct Bubblewrap;

impl Thief for Bubblewrap {
    async fn lose(&self, ground: &Ground, task: &str) {
        let uid = std::fs::metadata(hide(ground, task)).unwrap().uid();
        assert_ne!(uid, 0, "each task has a user of its own where these tests are root");
        let processes = of_user(uid);
        assert!(!processes.is_empty());
        for (pid, _) in processes {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}
