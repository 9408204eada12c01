//! What a request forbids: told to the model, held against the patch, answered in the result.

use crate::support::service::{Ground, call, plan, say};
use serde_json::{Value, json};

const ADD: &str = "def add(a, b):\n    return a - b\n";

fn edit(path: &str, old: &str, new: &str) -> Value {
    call("edit", json!({ "path": path, "old": old, "new": new }))
}

/// The task, the server's own words to its model, and the first prompt.
async fn task(steps: &[Value], refinements: u32) -> (Value, Vec<String>, String) {
    requested("Mend add. Do not touch limits.py. Add no new dependencies.", steps, refinements).await
}

async fn requested(request: &str, steps: &[Value], refinements: u32) -> (Value, Vec<String>, String) {
    let ground = Ground::new(&json!({ "sequence": steps })).await;
    let url = ground.repositories.make("calc", &[("calc.py", ADD), ("conf/limits.py", "MAX = 1\n")]);
    let service = ground.start().await;
    let api = service.api();
    let body = json!({
        "request": request, "repository": { "url": url },
        "checks": ["grep -q 'a + b' calc.py"], "limits": { "refinements": refinements },
    });
    let id = api.create(&body).await;
    let task = api.rest(&id).await;
    let events = api.events(&id).await;
    let prompt = ground.model.requests().await.first().unwrap()["body"].to_string();
    service.stop().await;
    let told = events.iter().filter(|event| event["kind"] == "message.developer");
    let told = told.map(|event| event["data"]["text"].as_str().unwrap().to_owned()).collect();
    (task, told, prompt)
}

fn criteria(task: &Value) -> Vec<(&str, &str)> {
    let all = task["result"]["criteria"].as_array().unwrap().iter();
    all.map(|one| (one["text"].as_str().unwrap(), one["status"].as_str().unwrap())).collect()
}

fn serious(task: &Value) -> Vec<&Value> {
    let all = task["result"]["findings"].as_array().unwrap().iter();
    all.filter(|one| one["severity"] == "serious").map(|one| &one["path"]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forbidden_change_goes_back_once_and_is_put_back() {
    let steps = [
        plan(),
        edit("calc.py", "a - b", "a + b"),
        edit("conf/limits.py", "MAX = 1", "MAX = 2"),
        say("Done."),
        edit("conf/limits.py", "MAX = 2", "MAX = 1"),
        say("Put back."),
    ];
    let (task, told, prompt) = task(&steps, 3).await;
    assert_eq!((&task["status"], &task["result"]["verdict"]), (&json!("succeeded"), &json!("verified")), "{task:#}");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("The request forbids touching `conf/limits.py`; put it back"), "{told:?}");
    assert_eq!(criteria(&task), [("Do not touch limits.py.", "met"), ("Add no new dependencies.", "met")]);
    let [kept, words] = [0, 1].map(|at| task["result"]["criteria"][at]["evidence"].clone());
    assert_eq!(
        (kept, words),
        (
            json!("no changed path matches **/limits.py"),
            json!("no manifest or lock file of the patch names a new package")
        )
    );
    assert_eq!(serious(&task), [&json!(null); 0]);
    assert_eq!(task["result"]["patch"]["files"], 1);
    let fact = "The request forbids:\\n- Do not touch limits.py. (left as they are: `**/limits.py`)\\n- Add no new dependencies.\\n";
    assert!(prompt.contains(fact), "{prompt}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forbidden_change_that_stays_is_said_and_fails_nothing() {
    let steps = [
        plan(),
        edit("calc.py", "a - b", "a + b"),
        edit("conf/limits.py", "MAX = 1", "MAX = 2"),
        say("Done."),
        say("It cannot be done without."),
    ];
    for refinements in [3, 0] {
        let (task, told, _) = task(&steps[..steps.len() - usize::from(refinements == 0)], refinements).await;
        assert_eq!(
            (&task["status"], &task["result"]["verdict"]),
            (&json!("succeeded"), &json!("verified")),
            "{task:#}"
        );
        assert_eq!(told.len(), usize::from(refinements > 0), "{told:?}");
        assert_eq!(criteria(&task)[0], ("Do not touch limits.py.", "unmet"));
        assert_eq!(serious(&task), [&json!("conf/limits.py")]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forbidden_file_that_is_deleted_is_told_however_it_was_forbidden() {
    for request in [
        "Mend add. Do not modify or delete conf/limits.py.",
        "Mend add. I don't want you to touch conf/limits.py.",
        "Mend add. Nothing in conf/ should be touched.",
        "Mend add. Everything except conf/limits.py may be changed.",
    ] {
        let delete = call("shell", json!({ "command": "rm conf/limits.py" }));
        let steps = [plan(), edit("calc.py", "a - b", "a + b"), delete, say("Done.")];
        let (task, ..) = requested(request, &steps, 0).await;
        assert_eq!(criteria(&task).iter().map(|one| one.1).collect::<Vec<_>>(), ["unmet"], "{request}: {task:#}");
        assert_eq!(serious(&task), [&json!("conf/limits.py")], "{request}: {task:#}");
    }
}
