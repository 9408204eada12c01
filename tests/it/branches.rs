//! Requests of tasks that are forked, given other models, other limits and more words, and whose model fails so that
//! another takes over, in any order: whichever log a conversation comes from, each request repeats what its model was
//! asked before.

use crate::{
    prefixes::parts,
    support::service::{Api, Ground, TestService, call, say},
};
use proptest::{
    prelude::*,
    sample::Index,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use serde_json::{Value, json};

const MODELS: [(&str, &str); 2] = [("first", "responses"), ("second", "chat")];

/// What is done to one of the tasks that there are.
#[derive(Clone, Debug)]
enum Act {
    Say,
    /// Words to which the first model cannot be had: the second takes over.
    Fail,
    Fork {
        at: Index,
        model: Option<usize>,
        request: bool,
    },
    Limits(u32),
    Retry,
}

fn any_act() -> impl Strategy<Value = (Index, Act)> {
    let fork = (any::<Index>(), proptest::option::of(0..2_usize), any::<bool>());
    let act = prop_oneof![
        2 => Just(Act::Say),
        2 => Just(Act::Fail),
        4 => fork.prop_map(|(at, model, request)| Act::Fork { at, model, request }),
        1 => (50..90_u32).prop_map(Act::Limits),
        1 => Just(Act::Retry),
    ];
    (any::<Index>(), act)
}

/// A task with what its model was asked, those requests that stand in its log's beginning included.
#[derive(Clone, Debug)]
struct Branch {
    id: String,
    model: String,
    asked: Vec<Value>,
}

/// Two models of one scripted server: three looks around and an answer to whatever is said.
async fn ground() -> (Ground, TestService, Api) {
    let look = |path: &str| call("read_file", json!({ "path": path }));
    let mut ground = Ground::new(&json!({ "rules": [
        { "when": { "model": "first", "last_contains": "fall back" }, "fault": "503" },
        { "when": { "calls": 0 }, "reply": look("calc.py") },
        { "when": { "calls": 1 }, "reply": look("nothing.py") },
        { "when": { "calls": 2 }, "reply": call("list_files", json!({})) },
        { "when": {}, "reply": say("That is all.") },
    ] }))
    .await;
    ground.repositories.make("calc", &[("calc.py", "def add(a, b):\n    return a - b\n")]);
    let entries = MODELS.map(|(name, api)| {
        let rest = if name == "first" { "fallback = \"second\"\n" } else { "" };
        format!(
            "[[models]]\nname = \"{name}\"\nurl = \"{}\"\napi = \"{api}\"\nretries = {{ attempts = 0 }}\n{rest}",
            ground.model.url
        )
    });
    let path = ground.data.path().join("models.toml");
    std::fs::write(&path, entries.concat()).unwrap();
    ground.variables.push(("JOURNEYMAN_CONFIG".to_owned(), path.display().to_string()));
    let service = ground.start().await;
    let api = service.api();
    (ground, service, api)
}

fn wire(model: &str) -> &'static str {
    MODELS.iter().find(|(name, _)| *name == model).unwrap().1
}

impl Branch {
    /// Waits for the end of the run that was just begun; what was asked in it belongs to this branch.
    async fn settle(&mut self, ground: &Ground, api: &Api, seen: &mut usize) {
        let task = api.until(&self.id, |task| task["status"] == "succeeded").await;
        self.model = task["model"].as_str().unwrap().to_owned();
        let bodies: Vec<Value> = ground.model.requests().await.iter().map(|r| r["body"].clone()).collect();
        self.asked.extend_from_slice(&bodies[*seen..]);
        *seen = bodies.len();
    }

    /// Each request repeats what its model was asked before; `from` is the first that is new.
    fn repeats(&self, from: usize, told: &str) {
        for at in from.max(1)..self.asked.len() {
            let after = &self.asked[at];
            let model = after["model"].as_str().unwrap();
            // What was asked before a retry is not repeated, whichever model was asked it.
            let earlier = self.asked[from.max(1) - 1..at].iter();
            if let Some(before) = earlier.rev().find(|body| body["model"] == model) {
                let (before, after) = (parts(wire(model), before), parts(wire(model), after));
                assert!(after.starts_with(&before), "{told}: {before}\n----\n{after}");
            }
        }
    }

    /// Which models were asked, each as often as it took turns with the other.
    fn turns(&self) -> usize {
        self.asked.windows(2).filter(|pair| pair[0]["model"] != pair[1]["model"]).count()
    }
}

/// Does one thing to `branch`; a fork is a branch of its own.
async fn act(ground: &Ground, api: &Api, mut branch: Branch, act: &Act, seen: &mut usize) -> (Branch, usize) {
    let path = format!("/v1/tasks/{}", branch.id);
    let from = branch.asked.len();
    match act {
        Act::Limits(turns) => {
            let edit = json!({ "limits": { "turns": turns } });
            let request = api.http.patch(format!("{}{path}", api.base)).bearer_auth(&api.key).json(&edit);
            assert_eq!(request.send().await.unwrap().status(), 200);
            return (branch, from);
        }
        Act::Say | Act::Fail => {
            let text = if matches!(act, Act::Say) { "and what else?" } else { "and if you fall back?" };
            let words = json!({ "text": format!("{text} {from}") });
            assert_eq!(api.post(&format!("{path}/messages"), &words).await.0, 202);
        }
        Act::Retry => {
            assert_eq!(api.post(&format!("{path}/retry"), &json!({})).await.0, 202);
            branch.settle(ground, api, seen).await;
            // It begins where the run before began: what that run was asked is not repeated.
            return (branch, from + 1);
        }
        Act::Fork { at, model, request } => {
            let events = api.events(&branch.id).await;
            let mut body = json!({ "from_seq": at.index(events.len()) + 1 });
            if let Some(model) = model {
                body["model"] = json!(MODELS[*model].0);
            }
            if *request {
                body["request"] = json!(format!("something else {from}"));
            }
            let (status, forked) = api.post(&format!("{path}/fork"), &body).await;
            assert_eq!(status, 201, "{forked}");
            let cut = forked["forked_from"]["seq"].as_i64().unwrap() as usize;
            let asked = events[..cut].iter().filter(|event| event["kind"] == "model.started").count();
            branch.id = forked["id"].as_str().unwrap().to_owned();
            branch.asked.truncate(asked);
            let prefix = &events[..cut];
            // What had succeeded and is given no words begins its last run again, as a retry does.
            let ended = prefix.last().unwrap()["data"]["status"] == "succeeded";
            let called = prefix.iter().rposition(|event| event["kind"] == "model.started").unwrap_or(0);
            let retried = prefix[called..].iter().any(|event| event["data"]["action"] == "retry");
            branch.settle(ground, api, seen).await;
            return (branch, if retried || (ended && !request) { asked + 1 } else { asked });
        }
    }
    branch.settle(ground, api, seen).await;
    (branch, from)
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_becomes_of_a_log_each_request_repeats_what_its_model_was_asked_before() {
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let mut taken_over = 0;
    for _ in 0..3 {
        let acts = proptest::collection::vec(any_act(), 8).new_tree(&mut runner).unwrap().current();
        let (ground, service, api) = ground().await;
        let url = format!("file://{}", ground.repositories.path().join("calc").display());
        let request =
            json!({ "request": "what does add do?", "mode": "answer", "model": "first", "repository": { "url": url } });
        let mut seen = 0;
        let mut first = Branch { id: api.create(&request).await, model: String::new(), asked: Vec::new() };
        first.settle(&ground, &api, &mut seen).await;
        first.repeats(0, "at first");
        let mut branches = vec![first];
        for (of, what) in &acts {
            let at = of.index(branches.len());
            let (branch, from) = act(&ground, &api, branches[at].clone(), what, &mut seen).await;
            branch.repeats(from, &format!("{what:?} in {acts:#?}"));
            match what {
                Act::Fork { .. } => branches.push(branch),
                Act::Say | Act::Fail | Act::Retry | Act::Limits(_) => branches[at] = branch,
            }
        }
        taken_over += branches.iter().map(Branch::turns).sum::<usize>();
        assert_eq!(seen, ground.model.requests().await.len());
        service.stop().await;
    }
    assert!(taken_over >= 4, "another model took over {taken_over} times");
}
