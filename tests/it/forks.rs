//! Forks: a task whose log begins as another's.

use crate::support::service::{Api, Ground, TestService, call, plan, say};
use serde_json::{Value, json};

/// Two models of one scripted server over one repository.
async fn ground(script: &Value) -> (Ground, TestService, Api) {
    let mut ground = Ground::new(script).await;
    ground.repositories.make("calc", &[("calc.py", "def add(a, b):\n    return a - b\n")]);
    let url = &ground.model.url;
    let entry = |name: &str, api: &str| format!("[[models]]\nname = \"{name}\"\nurl = \"{url}\"\napi = \"{api}\"\n");
    let path = ground.data.path().join("models.toml");
    std::fs::write(&path, [entry("first", "responses"), entry("second", "chat")].concat()).unwrap();
    ground.variables.push(("JOURNEYMAN_CONFIG".to_owned(), path.display().to_string()));
    let service = ground.start().await;
    let api = service.api();
    (ground, service, api)
}

fn request(ground: &Ground) -> Value {
    let url = format!("file://{}", ground.repositories.path().join("calc").display());
    json!({ "request": "count", "mode": "answer", "model": "first", "repository": { "url": url } })
}

fn shell(command: &str) -> Value {
    call("shell", json!({ "command": command }))
}

/// Forks a task; the new one's id and the seq at which it was cut.
async fn fork(api: &Api, task: &str, body: &Value) -> (String, i64) {
    let (status, forked) = api.post(&format!("/v1/tasks/{task}/fork"), body).await;
    assert_eq!(status, 201, "{forked}");
    assert_eq!((&forked["status"], &forked["forked_from"]["task"]), (&json!("queued"), &json!(task)), "{forked:#}");
    (forked["id"].as_str().unwrap().to_owned(), forked["forked_from"]["seq"].as_i64().unwrap())
}

fn of_kind<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["kind"] == kind).collect()
}

/// Everything of the log's beginning but the task's id.
fn prefix(events: &[Value], last: i64) -> Vec<Value> {
    let mut events = events[..last as usize].to_vec();
    for event in &mut events {
        event["task"].take();
    }
    events
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_has_the_log_the_conversation_and_the_files_of_the_turn_it_was_made_at() {
    let asked = |calls: u32| json!({ "contains": "what is in made.txt?", "calls": calls });
    let script = json!({ "rules": [
        { "when": asked(1), "reply": shell("cat made.txt") },
        { "when": asked(2), "reply": say("It was one.") },
        { "when": { "calls": 0 }, "reply": shell("echo one > made.txt") },
        { "when": { "calls": 1 }, "reply": shell("echo two > made.txt") },
        { "when": {}, "reply": say("Two.") },
    ] });
    let (ground, service, api) = ground(&script).await;
    let id = api.create(&request(&ground)).await;
    assert_eq!(api.rest(&id).await["status"], "succeeded");
    let events = api.events(&id).await;
    let first = of_kind(&events, "tool.completed")[0]["seq"].as_i64().unwrap();

    let (forked, cut) = fork(&api, &id, &json!({ "from_seq": first, "request": "what is in made.txt?" })).await;
    assert_eq!(cut, first);
    let task = api.rest(&forked).await;
    assert_eq!(task["status"], "succeeded", "{task:#}");
    assert_eq!(task["result"]["answer"], "It was one.");
    assert_eq!((&task["run"], &task["usage"]["turns"]), (&json!(2), &json!(2)), "what was copied was not spent here");
    let own = api.events(&forked).await;
    assert_eq!(prefix(&own, cut), prefix(&events, cut));
    assert!(own.iter().all(|event| event["task"] == forked.as_str()));
    let seqs: Vec<i64> = own.iter().map(|event| event["seq"].as_i64().unwrap()).collect();
    assert_eq!(seqs, (1..=own.len() as i64).collect::<Vec<_>>());
    assert_eq!(of_kind(&own, "recovered"), Vec::<&Value>::new());
    assert_eq!(of_kind(&own, "task.forked").len(), 1);
    let output = of_kind(&own, "tool.completed")[1]["data"]["output"].as_str().unwrap();
    assert!(output.contains("one") && !output.contains("two"), "{output}");
    // What the model had read stands at the beginning of what it reads now.
    let requests = ground.model.requests().await;
    let input = |at: usize| requests[at]["body"]["input"].as_array().unwrap().clone();
    let (before, now) = (input(1), input(3));
    assert_eq!(now[..before.len()], before[..]);
    assert_eq!(now.len(), before.len() + 1, "{now:#?}");
    // The other task is as it was.
    assert_eq!(api.events(&id).await, events);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_without_a_request_does_the_last_run_again_with_the_model_that_it_names() {
    let script = json!({ "rules": [
        { "when": { "model": "first" }, "reply": say("One.") },
        { "when": { "model": "second" }, "reply": say("Second.") },
    ] });
    let (ground, service, api) = ground(&script).await;
    let id = api.create(&request(&ground)).await;
    assert_eq!(api.rest(&id).await["status"], "succeeded");
    let (forked, cut) = fork(&api, &id, &json!({ "model": "second" })).await;
    assert_eq!(cut as usize, api.events(&id).await.len());
    let task = api.rest(&forked).await;
    assert_eq!((&task["model"], &task["result"]["answer"]), (&json!("second"), &json!("Second.")), "{task:#}");
    let own = api.events(&forked).await;
    assert_eq!(of_kind(&own, "task.forked")[0]["data"]["model"], "second");
    let asked: Vec<_> = of_kind(&own, "model.started").iter().map(|e| e["data"]["model"].clone()).collect();
    assert_eq!(asked, ["first", "second"]);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_task_is_forked_where_no_call_was_open() {
    let script = json!({ "rules": [
        { "when": { "contains": "say so" }, "reply": say("So.") },
        { "when": { "calls": 0 }, "reply": shell("sleep 60") },
    ] });
    let (ground, service, api) = ground(&script).await;
    let id = api.create(&request(&ground)).await;
    api.met(&id, "tool.started", 1).await;
    let (forked, cut) = fork(&api, &id, &json!({ "request": "say so" })).await;
    let events = api.events(&id).await;
    assert_eq!(events[cut as usize]["kind"], "model.started", "{events:#?}");
    let task = api.rest(&forked).await;
    assert_eq!(task["result"]["answer"], "So.", "{task:#}");
    assert_eq!(api.post(&format!("/v1/tasks/{id}/cancel"), &json!({})).await.0, 202);
    assert_eq!(api.rest(&id).await["status"], "cancelled");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_with_edits_under_way_can_be_forked_at_each_of_its_events() {
    let edit = |old: &str, new: &str| call("edit", json!({ "path": "calc.py", "old": old, "new": new }));
    let script = json!({ "rules": [
        { "when": { "contains": "go on here" }, "reply": say("Gone on.") },
        { "when": { "calls": 0 }, "reply": plan() },
        { "when": { "calls": 1 }, "reply": edit("a - b", "a + b") },
        { "when": { "calls": 2 }, "reply": shell("echo '# two' >> calc.py") },
        { "when": { "calls": 3 }, "reply": edit("# two", "# three") },
        { "when": {}, "reply": say("Mended.") },
    ] });
    let (ground, service, api) = ground(&script).await;
    let mut body = request(&ground);
    body["mode"] = json!("change");
    body["checks"] = json!(["true"]);
    let id = api.create(&body).await;
    assert_eq!(api.rest(&id).await["status"], "succeeded");
    let events = api.events(&id).await;
    // What the file has after so many looks at the working copy.
    let texts =
        ["    return a - b\n", "    return a + b\n", "    return a + b\n# two\n", "    return a + b\n# three\n"];
    assert_eq!(of_kind(&events, "checkpoint").len(), texts.len() - 1, "{events:#?}");
    let mut forks = Vec::new();
    for seq in 1..=events.len() as i64 {
        let (forked, cut) = fork(&api, &id, &json!({ "from_seq": seq, "request": "go on here" })).await;
        assert!(cut <= seq, "{seq}: {cut}");
        forks.push((seq, forked, cut));
    }
    for (seq, forked, cut) in forks {
        let task = api.rest(&forked).await;
        assert_eq!(
            (&task["status"], &task["result"]["summary"]),
            (&json!("succeeded"), &json!("Gone on.")),
            "{seq}: {task:#}"
        );
        let own = api.events(&forked).await;
        assert_eq!(prefix(&own, cut), prefix(&events, cut), "{seq}");
        let begun = own.iter().position(|event| event["kind"] == "task.forked").unwrap();
        let looks = of_kind(&own[..begun], "checkpoint").len();
        let expected = format!("def add(a, b):\n{}", texts[looks]);
        let (status, text) = api.text(&format!("/v1/tasks/{forked}/patch")).await;
        assert_eq!(status, 200, "{seq}");
        let added: Vec<&str> =
            expected.lines().filter(|line| line.contains("a + b") || line.starts_with('#')).collect();
        let patched: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with('+') && !line.starts_with("+++"))
            .map(|line| &line[1..])
            .collect();
        assert_eq!(patched, added, "{seq}, {looks} looks: {text}");
        let calls = |kind: &str| of_kind(&own, kind).len();
        assert_eq!(calls("tool.started"), calls("tool.completed"), "{seq}: every call is answered");
    }
    assert_eq!(api.events(&id).await, events, "the other task is as it was");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_forked_is_refused_by_field_and_a_repeated_fork_is_one() {
    let (ground, service, api) = ground(&json!({ "rules": [{ "when": {}, "reply": say("One.") }] })).await;
    let id = api.create(&request(&ground)).await;
    let last = api.rest(&id).await["last_seq"].as_i64().unwrap();
    let path = format!("/v1/tasks/{id}/fork");
    for (body, pointer) in [
        (json!({ "from_seq": 0 }), "/from_seq"),
        (json!({ "from_seq": last + 1 }), "/from_seq"),
        (json!({ "model": "third" }), "/model"),
        (json!({ "request": "" }), "/request"),
        (json!({ "seq": 1 }), "/seq"),
    ] {
        let (status, problem) = api.post(&path, &body).await;
        assert_eq!((status, &problem["errors"][0]["pointer"]), (422, &json!(pointer)), "{problem}");
    }
    let stranger = ground.member(&api.base, "other", "eve").await;
    assert_eq!(stranger.post(&path, &json!({})).await.0, 404);

    let once = async || {
        let request = api.http.post(format!("{}{path}", api.base)).bearer_auth(&api.key);
        let answer = request.header("idempotency-key", "k").json(&json!({ "from_seq": 1 })).send().await.unwrap();
        answer.json::<Value>().await.unwrap()
    };
    let (made, again) = (once().await, once().await);
    assert_eq!(made["id"], again["id"], "{made:#}");
    assert_eq!(made["forked_from"], json!({ "task": id, "seq": 1 }));
    // From the very beginning it is the same task again.
    let task = api.rest(made["id"].as_str().unwrap()).await;
    assert_eq!((&task["status"], &task["result"]["answer"]), (&json!("succeeded"), &json!("One.")), "{task:#}");
    service.stop().await;
}
