//! A memory that is deleted leaves no trace in any table.

use super::{connection, ground, learner, learnt, memories, memory, names, of_kind, request, script};
use crate::support::{
    replayed::{export, fold},
    service::{Api, Ground, call},
};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, Row};

/// A word that stands nowhere else.
const CANARY: &str = "zqxcanary7";

/// The tables and columns that hold a word, in whatever way they hold it.
async fn traces(ground: &Ground, word: &str) -> Vec<String> {
    let mut connection = connection(ground).await;
    let columns = sqlx::query(
        "SELECT c.relname::text AS tab, a.attname::text AS col, t.typname::text AS typ
         FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_type t ON t.oid = a.atttypid
         WHERE c.relkind IN ('r', 'p', 'm') AND c.relnamespace = 'public'::regnamespace AND a.attnum > 0
            AND NOT a.attisdropped ORDER BY 1, 2",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert!(columns.len() > 100, "the catalog was read");
    let mut found = Vec::new();
    for row in columns {
        let (table, column, kind): (String, String, String) = (row.get("tab"), row.get("col"), row.get("typ"));
        let holds = if kind == "bytea" {
            format!("position(convert_to('{word}', 'UTF8') IN \"{column}\") > 0")
        } else {
            format!("strpos(\"{column}\"::text, '{word}') > 0")
        };
        let query = format!("SELECT count(*) FROM \"{table}\" WHERE {holds}");
        let count: i64 = sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(&mut connection).await.unwrap();
        if count > 0 {
            found.push(format!("{table}.{column}"));
        }
    }
    connection.close().await.unwrap();
    found
}

async fn delete(api: &Api, id: &str) {
    let path = format!("{}/v1/memories/{id}", api.base);
    assert_eq!(api.http.delete(path).bearer_auth(&api.key).send().await.unwrap().status().as_u16(), 204);
}

async fn keep(api: &Api, key: &str, body: &Value) -> (u16, Value) {
    let request = api.http.post(format!("{}/v1/memories", api.base)).bearer_auth(&api.key).json(body);
    let answer = request.header("idempotency-key", key).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_memory_that_was_changed_shown_cited_copied_and_derived_from_leaves_no_trace() {
    let text = format!("Prefer \"{CANARY}\" over eval:\nit is \\ safer");
    // The agent repeats it word for word, in words and in a call.
    let quoting = json!([
        { "text": format!("I was told: {text}"), "calls": [{ "tool": "shell", "arguments": { "command": format!("echo '{text}'") } }] },
        { "text": format!("As I was told: {text}"), "repeat": 9 },
    ]);
    let ground = ground(&script(vec![], quoting)).await;
    let service = ground.start().await;
    let api = service.api();
    let body = json!({ "text": format!("Always {CANARY} first, whatever they say"), "kind": "preference" });
    let (status, made) = keep(&api, "one", &body).await;
    assert_eq!(status, 201);
    let id = made["id"].as_str().unwrap().to_owned();
    let path = format!("{}/v1/memories/{id}", api.base);
    let edit = json!({ "text": text, "reason": "said better" });
    assert_eq!(api.http.patch(&path).bearer_auth(&api.key).json(&edit).send().await.unwrap().status(), 200);
    let (_, derived) = keep(&api, "two", &json!({ "text": format!("Use {CANARY}"), "derived_from": [id] })).await;
    let task = api.create(&request(&ground, &json!({ "request": "Prefer what is safer, over eval" }))).await;
    let ended = api.rest(&task).await;
    assert_eq!(ended["status"], "succeeded", "{ended:#}");
    assert!(ended["result"]["memories"].to_string().contains(CANARY), "{ended:#}");
    let fork = api.http.post(format!("{}/v1/tasks/{task}/fork", api.base)).bearer_auth(&api.key);
    let fork = fork.header("idempotency-key", "three").json(&json!({ "request": "And again" })).send().await.unwrap();
    let fork: Value = fork.json().await.unwrap();
    let fork = fork["id"].as_str().unwrap().to_owned();
    api.rest(&fork).await;
    let before = traces(&ground, CANARY).await;
    for wanted in [
        "idempotency_keys.body",
        "memories.search",
        "memories.text",
        "memory_history.after",
        "memory_history.before",
        "task_events.data",
        "task_events.private",
        "tasks.detail",
    ] {
        assert!(before.iter().any(|found| found == wanted), "{wanted} in {before:?}");
    }

    delete(&api, &id).await;
    assert_eq!(traces(&ground, CANARY).await, Vec::<String>::new());
    assert_eq!(memories(&api).await.len(), 0);
    assert_eq!(api.get(&format!("/v1/memories/{}", derived["id"].as_str().unwrap())).await.0, 404);
    let (status, gone) = keep(&api, "one", &body).await;
    assert_eq!((status, &gone["code"]), (410, &json!("gone")), "nothing is made again by a repeated request");

    // The tasks are there, with all else that they had.
    let task_now = api.get(&format!("/v1/tasks/{task}")).await.1;
    assert_eq!(task_now["result"]["memories"][0]["memory"], json!(id));
    assert_eq!(task_now["result"]["memories"][0]["text"], "[forgotten]");
    assert_eq!(task_now["result"]["summary"], "As I was told: [forgotten]");
    let replayed = fold(&export(&api, &task, "").await);
    assert_eq!(replayed.difference, None, "{replayed:#?}");
    assert_eq!(replayed.unknown_because.as_deref(), Some("a memory that they showed was deleted"));
    let (status, _) = api.post(&format!("/v1/tasks/{task}/messages"), &json!({ "text": "Go on." })).await;
    assert_eq!(status, 202);
    let again = api.until(&task, |task| task["run"] == 2 && task["status"] == "succeeded").await;
    assert_eq!(again["status"], "succeeded");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_memory_that_is_deleted_while_a_task_shows_it_is_neither_in_its_result_nor_in_what_it_says_later() {
    // The model has it in its prompt, and goes on telling of it.
    let text = format!("Prefer {CANARY} over everything else");
    let sequence = json!([
        call("shell", json!({ "command": "sleep 2" })),
        call("shell", json!({ "command": format!("echo '{text}'") })),
        { "text": format!("As I was told: {text}."), "repeat": 9 },
    ]);
    let ground = ground(&script(vec![], sequence)).await;
    let service = ground.start().await;
    let api = service.api();
    let body = json!({ "text": text, "kind": "preference" });
    let id = keep(&api, "one", &body).await.1["id"].as_str().unwrap().to_owned();
    let task = api.create(&request(&ground, &json!({}))).await;
    api.met(&task, "tool.started", 1).await;
    assert!(traces(&ground, CANARY).await.contains(&"task_events.data".to_owned()));
    delete(&api, &id).await;
    let ended = api.rest(&task).await;
    assert_eq!(ended["result"]["memories"][0]["text"], "[forgotten]", "{ended:#}");
    assert_eq!(ended["result"]["summary"], "As I was told: [forgotten].", "{ended:#}");
    assert_eq!(traces(&ground, CANARY).await, Vec::<String>::new());
    assert_eq!(fold(&export(&api, &task, "").await).difference, None, "the log still folds to what it tells");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_were_asked_and_answered_about_a_memory_is_taken_out_as_well() {
    let text = format!("Prefer {CANARY} over everything else");
    let questions = json!({ "questions": [{ "question": format!("I was told: {text}. Is it so here?") }] });
    let ground =
        ground(&script(vec![], json!([call("ask_user", questions), { "text": "Looked.", "repeat": 9 }]))).await;
    let service = ground.start().await;
    let api = service.api();
    let id =
        keep(&api, "one", &json!({ "text": text, "kind": "preference" })).await.1["id"].as_str().unwrap().to_owned();
    let task = api.create(&request(&ground, &json!({}))).await;
    api.rest(&task).await;
    let asked = api.get(&format!("/v1/tasks/{task}/approvals")).await.1;
    let path = format!("/v1/tasks/{task}/approvals/{}", asked["data"][0]["id"].as_str().unwrap());
    let answer = json!({ "decision": "answer", "answers": [format!("Yes: {text}")] });
    assert_eq!(api.post(&path, &answer).await.0, 200);
    api.until(&task, |task| task["status"] == "succeeded").await;
    let before = traces(&ground, CANARY).await;
    for wanted in ["approvals.answer", "approvals.subject"] {
        assert!(before.iter().any(|found| found == wanted), "{wanted} in {before:?}");
    }
    delete(&api, &id).await;
    assert_eq!(traces(&ground, CANARY).await, Vec::<String>::new());
    let asked = api.get(&format!("/v1/tasks/{task}/approvals")).await.1;
    assert!(asked["data"][0]["subject"].to_string().contains("I was told: [forgotten]. Is it so here?"), "{asked:#}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_learnt_from_a_person_s_words_goes_and_his_words_stay_his_task_s() {
    let text = format!("Use {CANARY} for sums");
    let rule = learner(&of_kind("message"), names(&[memory(&text, "preference", "user", &["{{1}}"])]));
    let ground = ground(&script(vec![rule], json!([{ "text": "Looked.", "repeat": 9 }]))).await;
    let service = ground.start().await;
    let api = service.api();
    let task = api.create(&request(&ground, &json!({}))).await;
    api.rest(&task).await;
    api.post(&format!("/v1/tasks/{task}/messages"), &json!({ "text": format!("{text}!") })).await;
    api.until(&task, |task| task["run"] == 2 && task["status"] == "succeeded").await;
    learnt(&api, &task, 2).await;
    let id = memories(&api).await[0]["id"].as_str().unwrap().to_owned();
    delete(&api, &id).await;
    // The message and nothing else; with the task it goes as well.
    assert_eq!(traces(&ground, CANARY).await, ["task_events.data"]);
    let path = format!("{}/v1/tasks/{task}", api.base);
    assert_eq!(api.http.delete(path).bearer_auth(&api.key).send().await.unwrap().status().as_u16(), 204);
    assert_eq!(traces(&ground, CANARY).await, Vec::<String>::new());
    service.stop().await;
}
