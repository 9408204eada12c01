//! Tasks as files: out of one place and into another.

use crate::support::{
    calculator::served,
    service::{Api, Ground, call, plan, say},
};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use journeyman::{
    domain::{CallId, Event, EventData, TaskId, event::Record},
    service::archive,
};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use std::io::{Read, Write};
use time::OffsetDateTime;

fn request(ground: &Ground, text: &str) -> Value {
    let url = format!("file://{}", ground.repositories.path().join("calc").display());
    json!({ "request": text, "mode": "answer", "repository": { "url": url } })
}

async fn export(api: &Api, task: &str, query: &str) -> (u16, Vec<u8>) {
    let request = api.http.get(format!("{}/v1/tasks/{task}/export{query}", api.base)).bearer_auth(&api.key);
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.bytes().await.unwrap().to_vec())
}

async fn import(api: &Api, file: Vec<u8>) -> (u16, Value) {
    let request = api.http.post(format!("{}/v1/tasks/import", api.base)).bearer_auth(&api.key).body(file);
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

fn lines(file: &[u8]) -> Vec<Value> {
    let mut text = String::new();
    GzDecoder::new(file).read_to_string(&mut text).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn file(lines: &[Value]) -> Vec<u8> {
    let mut file = GzEncoder::new(Vec::new(), Compression::fast());
    for line in lines {
        writeln!(file, "{line}").unwrap();
    }
    file.finish().unwrap()
}

/// Everything of a log but the task's id.
async fn log(api: &Api, task: &str) -> Vec<Value> {
    let mut events = api.events(task).await;
    for event in &mut events {
        event["task"].take();
    }
    events
}

fn script() -> Value {
    json!({ "rules": [
        { "when": { "contains": "is it there" }, "reply": say("It is.") },
        { "when": { "calls": 0 }, "reply": call("shell", json!({ "command": "echo secret-word > made.txt" })) },
        { "when": {}, "reply": say("Made.") },
    ] })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_makes_the_same_task_in_another_team_and_a_message_goes_on_with_it() {
    let (ground, service, api) = served(&script()).await;
    let id = api.create(&request(&ground, "make it")).await;
    assert_eq!(api.rest(&id).await["status"], "succeeded");
    let (status, exported) = export(&api, &id, "").await;
    assert_eq!(status, 200);

    let eve = ground.member(&api.base, "other", "eve").await;
    assert_eq!(export(&eve, &id, "").await.0, 404);
    let (status, made) = import(&eve, exported).await;
    assert_eq!((status, &made["status"]), (201, &json!("succeeded")), "{made:#}");
    assert_eq!(made["result"]["answer"], "Made.");
    let copy = made["id"].as_str().unwrap();
    assert_eq!(log(&eve, copy).await, log(&api, &id).await);
    // The contents came along: a file of the working copy is read from them.
    let (status, made) = eve.text(&format!("/v1/tasks/{copy}/files/made.txt")).await;
    assert_eq!((status, made.as_str()), (200, "secret-word\n"));
    assert_eq!(eve.post(&format!("/v1/tasks/{copy}/messages"), &json!({ "text": "is it there" })).await.0, 202);
    let task = eve.until(copy, |task| task["run"] == 2 && task["status"] == "succeeded").await;
    assert_eq!(task["result"]["answer"], "It is.");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redacted_file_has_the_shape_and_none_of_the_words() {
    let (ground, service, api) = served(&script()).await;
    let id = api.create(&request(&ground, "make the secret-word")).await;
    assert_eq!(api.rest(&id).await["status"], "succeeded");
    let (status, exported) = export(&api, &id, "?redact=true").await;
    assert_eq!(status, 200);
    let words = lines(&exported);
    let text = words.iter().map(Value::to_string).collect::<String>();
    for word in ["secret", "echo", "calc", "Made", "return a", "file://"] {
        assert!(!text.contains(word), "{word}: {text}");
    }
    assert!(words.iter().all(|line| line["blob"]["content"].is_null()));
    let (status, made) = import(&api, exported).await;
    assert_eq!((status, &made["status"]), (201, &json!("succeeded")), "{made:#}");
    let (events, copy) = (log(&api, &id).await, log(&api, made["id"].as_str().unwrap()).await);
    let shape = |events: &[Value]| -> Vec<Value> {
        let of = |e: &Value| json!([e["seq"], e["kind"], e["at"], e["data"]["exit_code"], e["data"]["usage"]]);
        events.iter().map(of).collect()
    };
    assert_eq!(shape(&copy), shape(&events));
    let output = |events: &[Value]| {
        let done = events.iter().find(|event| event["kind"] == "tool.completed").unwrap();
        done["data"]["output"].as_str().unwrap().len()
    };
    assert_eq!(output(&copy), output(&events));
    service.stop().await;
}

#[test]
fn what_was_said_freely_loses_its_names_and_numbers_too() {
    let arguments = json!({
        "path": "a", "offset": 12, "patient_anna": { "pin": 4711, "pit": -3.5, "ok": true }, "limit": { "salary": 99_000 },
    });
    let data = EventData::ToolStarted { call: CallId::new(1, 0), tool: "look".into(), arguments: arguments.clone() };
    let event =
        Event { seq: 1, task: TaskId(uuid::Uuid::nil()), run: 1, turn: 1, at: OffsetDateTime::UNIX_EPOCH.into(), data };
    let record = archive::redact(&Record { event, private: None }).unwrap();
    let EventData::ToolStarted { arguments: redacted, .. } = record.event.data else { panic!("another kind") };
    assert_eq!(
        redacted,
        json!({ "path": "x", "offset": 12, "xxxxxxxxxxxx": { "xxx": 1111, "xxa": -1.1, "xx": true }, "limit": { "xxxxxx": 11_111 } })
    );
    assert_eq!(redacted.to_string().len(), arguments.to_string().len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_what_it_says_is_refused_with_its_line() {
    let (ground, service, api) = served(&script()).await;
    let id = api.create(&request(&ground, "make it")).await;
    api.rest(&id).await;
    let whole = lines(&export(&api, &id, "").await.1);
    let changed = |line: usize, pointer: &str, value: Value| {
        let mut lines = whole.clone();
        *lines[line].pointer_mut(pointer).unwrap() = value;
        lines
    };
    let blob = whole.iter().position(|line| line["blob"]["content"].is_string()).unwrap();
    let answered = whole.iter().position(|line| line["event"]["kind"] == "model.completed").unwrap();
    let cases = [
        (changed(0, "/version", json!(2)), "version 1"),
        (changed(2, "/event/seq", json!(7)), "line 3"),
        (changed(2, "/event/kind", json!("task.eaten")), "line 3"),
        (changed(3, "/event/run", json!(9)), "line 4"),
        (changed(answered, "/event/data/usage/input_tokens", json!(u64::MAX)), "larger"),
        (changed(1, "/event/data/spec/limits/turns", json!(4_000_000)), "limits"),
        (changed(1, "/event/data/spec/limits/cost_usd", json!(1.5)), "no price"),
        (changed(blob, "/blob/content", json!("AAAA")), "hash"),
        (whole[..3].to_vec(), "events"),
    ];
    for (lines, why) in cases {
        let (status, problem) = import(&api, file(&lines)).await;
        assert_eq!(status, 422, "{why}: {problem}");
        assert!(problem["errors"].to_string().contains(why), "{why}: {problem}");
    }
    assert_eq!(import(&api, b"no gzip".to_vec()).await.0, 422);
    let (_, listed) = api.get("/v1/tasks").await;
    assert_eq!(listed["data"].as_array().unwrap().len(), 1, "nothing was made of them");
    // What this service would not fetch or grant is not there to go on with.
    let mut foreign = changed(1, "/event/data/spec/repository/url", json!("file:///etc"));
    foreign[1]["event"]["data"]["spec"]["network"] = json!({ "mode": "open", "hosts": [] });
    let (status, made) = import(&api, file(&foreign)).await;
    assert_eq!(status, 201, "{made:#}");
    assert_eq!(made["repository"]["url"], Value::Null);
    let created = &api.events(made["id"].as_str().unwrap()).await[0];
    assert_eq!(created["data"]["spec"]["network"]["mode"], "off");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_comes_along_is_denied_and_a_word_goes_on_with_the_task() {
    let asked = call("ask_user", json!({ "questions": [{ "question": "which one?" }] }));
    let script = json!({ "rules": [
        { "when": { "calls": 0, "contains": "plan it" }, "reply": plan() },
        { "when": { "calls": 0 }, "reply": asked },
        { "when": {}, "reply": say("I leave it.") },
    ] });
    let (ground, service, api) = served(&script).await;
    let eve = ground.member(&api.base, "other", "eve").await;
    for (text, waiting_for, path, body) in
        [("plan it", "approval", "messages", json!({ "text": "go on" })), ("ask me", "input", "resume", json!({}))]
    {
        let mut request = request(&ground, text);
        request["approval"] = json!("plan");
        request["mode"] = json!("auto");
        let id = api.create(&request).await;
        assert_eq!(api.rest(&id).await["waiting_for"], waiting_for);
        let (status, made) = import(&eve, export(&api, &id, "").await.1).await;
        assert_eq!(
            (status, &made["status"], &made["waiting_for"]),
            (201, &json!("waiting"), &json!("paused")),
            "{made:#}"
        );
        let copy = made["id"].as_str().unwrap();
        let events = eve.events(copy).await;
        let resolved = &events.iter().find(|event| event["kind"] == "approval.resolved").unwrap()["data"];
        assert_eq!(
            (&resolved["decision"], &resolved["author"], &resolved["note"]),
            (&json!("deny"), &json!("eve"), &json!("imported"))
        );
        let (_, pending) = eve.get("/v1/approvals?state=pending").await;
        assert_eq!(pending["data"], json!([]));
        assert_eq!(eve.post(&format!("/v1/tasks/{copy}/{path}"), &body).await.0, 202);
        let task = eve.until(copy, |task| task["status"] == "succeeded").await;
        assert_eq!(task["result"]["summary"], "I leave it.", "{task:#}");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_ended_with_a_question_open_ends_in_the_copy_and_can_be_woken() {
    let script =
        json!({ "rules": [{ "when": { "calls": 0 }, "reply": plan() }, { "when": {}, "reply": say("So be it.") }] });
    let (ground, service, api) = served(&script).await;
    let mut request = request(&ground, "plan it");
    request["approval"] = json!("plan");
    request["mode"] = json!("auto");
    let id = api.create(&request).await;
    assert_eq!(api.rest(&id).await["waiting_for"], "approval");
    let mut lines = lines(&export(&api, &id, "").await.1);
    let last = lines.iter().rposition(|line| line["event"].is_object()).unwrap();
    let mut end = lines[last].clone();
    end["event"]["seq"] = json!(last + 1);
    end["event"]["data"] = json!({ "status": "cancelled", "waiting_for": null, "error": null });
    lines.insert(last + 1, end);
    lines[0]["events"] = json!(last + 1);
    let (status, made) = import(&api, file(&lines)).await;
    assert_eq!((status, &made["status"]), (201, &json!("cancelled")), "{made:#}");
    let copy = made["id"].as_str().unwrap();
    let events = api.events(copy).await;
    assert_eq!(events[events.len() - 2]["kind"], "approval.resolved", "{events:#?}");
    assert_eq!(events.last().unwrap()["data"]["status"], "cancelled");
    assert_eq!(api.post(&format!("/v1/tasks/{copy}/messages"), &json!({ "text": "go on" })).await.0, 202);
    assert_eq!(
        api.until(copy, |task| task["run"] == 2 && task["status"] == "succeeded").await["result"]["summary"],
        "So be it."
    );
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_of_a_colleagues_task_is_no_way_around_the_right_to_take_it_out() {
    let (ground, service, api) = served(&script()).await;
    let (_, me) = api.get("/v1/me").await;
    let bob = ground.member(&api.base, me["team"]["name"].as_str().unwrap(), "bob").await;
    let fork = async |task: &str, body: &Value| {
        let (status, forked) = bob.post(&format!("/v1/tasks/{task}/fork"), body).await;
        assert_eq!(status, 201, "{forked}");
        let id = forked["id"].as_str().unwrap().to_owned();
        bob.rest(&id).await;
        id
    };
    let theirs = api.create(&request(&ground, "make it")).await;
    let last = api.rest(&theirs).await["last_seq"].clone();
    let forked = fork(&theirs, &json!({ "request": "is it there" })).await;
    // Cut before the place of the first fork: its log tells of no other task than bob's.
    let again = fork(&forked, &json!({ "from_seq": last, "request": "is it there" })).await;
    for task in [&theirs, &forked, &again] {
        assert_eq!(export(&bob, task, "").await.0, 403, "{task}");
        assert_eq!(export(&bob, task, "?redact=true").await.0, 403, "{task}");
        assert_eq!(export(&api, task, "").await.0, 200, "an admin may: {task}");
    }
    let own = bob.create(&request(&ground, "make it")).await;
    bob.rest(&own).await;
    let forked = fork(&own, &json!({ "request": "is it there" })).await;
    assert_eq!(export(&bob, &forked, "").await.0, 200, "all of it is bob's own");
    // Nobody can tell any more whose the beginning was.
    assert_eq!(
        bob.http.delete(format!("{}/v1/tasks/{own}", bob.base)).bearer_auth(&bob.key).send().await.unwrap().status(),
        204
    );
    assert_eq!(export(&bob, &forked, "").await.0, 403);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_of_too_many_bytes_is_neither_taken_out_nor_forked() {
    let (ground, service, api) = served(&script()).await;
    let id = api.create(&request(&ground, "make it")).await;
    let last = api.rest(&id).await["last_seq"].as_i64().unwrap();
    let mut connection = PgConnection::connect(&ground.database).await.unwrap();
    sqlx::query(
        "INSERT INTO task_events (team, task, seq, run, turn, at, kind, data)
         SELECT team, task, seq + more, run, turn, at, 'message.developer', '{\"text\":\"' || repeat('x', 1048576) || '\"}'
         FROM task_events, generate_series(1, 97) AS more WHERE task = $1 AND seq = $2",
    )
    .bind(id.parse::<uuid::Uuid>().unwrap())
    .bind(last)
    .execute(&mut connection)
    .await
    .unwrap();
    let (status, problem) = export(&api, &id, "").await;
    assert_eq!((status, problem.windows(15).any(|part| part == b"100663296 bytes")), (409, true));
    let (status, problem) = api.post(&format!("/v1/tasks/{id}/fork"), &json!({})).await;
    assert_eq!((status, &problem["code"]), (409, &json!("log_too_long")), "{problem}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_that_a_model_wrote_may_be_as_large_as_they_like() {
    let odd = call("shell", json!({ "command": "true", "timeout_ms": 1e300 }));
    let script = json!({ "rules": [
        { "when": { "calls": 0 }, "reply": odd },
        { "when": {}, "reply": say("Made.") },
    ] });
    let (ground, service, api) = served(&script).await;
    let id = api.create(&request(&ground, "make it")).await;
    assert_eq!(api.rest(&id).await["status"], "succeeded");
    let (status, made) = import(&api, export(&api, &id, "").await.1).await;
    assert_eq!((status, &made["status"]), (201, &json!("succeeded")), "{made:#}");
    service.stop().await;
}
