//! The prompt's prefix over many turns and over builds: what is cached of it, and what a newer binary leaves of it.

use crate::support::{
    calculator::{self, request},
    process::Process,
    service::{Ground, say},
};
use journeyman::domain::BlobHash;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

/// Of the input of all calls but the first so much is to be read from the cache.
const CACHED: f64 = 0.97;
const TURNS: u64 = 60;

#[tokio::test(flavor = "multi_thread")]
async fn of_sixty_turns_nearly_all_input_after_the_first_is_read_from_the_cache() {
    // The server counts what it has seen before of each request's own bytes.
    let read = json!({ "calls": [
        { "tool": "read_file", "arguments": { "path": "calc.py" } },
        { "tool": "shell", "arguments": { "command": "echo turn {{turn}}; head -c 300 /dev/zero | tr '\\0' x" } },
    ], "repeat": TURNS - 1 });
    let ground = calculator::ground(&json!({ "sequence": [read, say("Read.")] })).await;
    let service = ground.start().await;
    let api = service.api();
    let mut body = request(&ground);
    body["mode"] = json!("answer");
    body.as_object_mut().unwrap().remove("checks");
    let id = api.create(&body).await;
    let task = api.rest(&id).await;
    let events = api.events(&id).await;
    assert_eq!((&task["status"], &task["usage"]["turns"]), (&json!("succeeded"), &json!(TURNS)), "{task:#}");

    let told: Vec<(u64, u64)> = events
        .iter()
        .filter(|event| event["kind"] == "model.completed")
        .map(|event| &event["data"]["usage"])
        .map(|usage| (usage["input_tokens"].as_u64().unwrap(), usage["cached_input_tokens"].as_u64().unwrap()))
        .collect();
    let seen = ground.model.requests().await;
    let counted = |request: &Value, name: &str| request[name].as_u64().unwrap();
    let seen: Vec<(u64, u64)> =
        seen.iter().map(|one| (counted(one, "input_tokens"), counted(one, "cached_input_tokens"))).collect();
    assert_eq!(told, seen, "what is told of a call is what the server counted");
    for (at, pair) in told.windows(2).enumerate() {
        assert_eq!(pair[1].1, pair[0].0, "call {} repeats all of the one before", at + 2);
    }
    let sum = |of: fn(&(u64, u64)) -> u64| told[1..].iter().map(of).sum::<u64>() as f64;
    let share = sum(|(_, cached)| *cached) / sum(|(input, _)| *input);
    assert!(share >= CACHED, "{share:.4} of the input was read from the cache");
    service.stop().await;
}

/// Puts the instructions and tools of another release under the task, as that would have left them.
async fn as_of_another_release(ground: &Ground, task: &str) -> (String, Vec<String>) {
    let mut database = PgConnection::connect(&ground.database).await.unwrap();
    let task: Uuid = task.parse().unwrap();
    let row = "SELECT team, private FROM task_events WHERE task = $1 AND kind = 'brief.ready'";
    let (team, private): (Uuid, String) = sqlx::query_as(row).bind(task).fetch_one(&mut database).await.unwrap();
    let mut private: Value = serde_json::from_str(&private).unwrap();
    let head = private["brief"]["head"].clone();
    let kept = "SELECT content FROM blobs WHERE team = $1 AND hash = $2";
    let pinned = sqlx::query_as(kept).bind(team).bind(head["tools"].as_str());
    let (tools,): (Vec<u8>,) = pinned.fetch_one(&mut database).await.unwrap();
    let mut tools: Vec<Value> = serde_json::from_slice(&tools).unwrap();
    tools.retain(|tool| tool["name"] != "remember" && tool["name"] != "list_files");
    tools.reverse();
    for tool in &mut tools {
        tool["description"] = json!(format!("As an older release had it: {}", tool["description"].as_str().unwrap()));
    }
    let names = tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect();
    let instructions = "You are the agent of an older release.\n".to_owned();
    let contents = [instructions.clone().into_bytes(), serde_json::to_vec(&tools).unwrap()];
    let hashes = contents.each_ref().map(|content| BlobHash::of(content));
    for (hash, content) in hashes.iter().zip(&contents) {
        sqlx::query("INSERT INTO blobs (team, hash, size, content) VALUES ($1, $2, $3, $4)")
            .bind(team)
            .bind(hash.as_str())
            .bind(content.len() as i64)
            .bind(content)
            .execute(&mut database)
            .await
            .unwrap();
    }
    // Releases before this one did not keep the model's form either.
    private["brief"]["head"] = json!({ "instructions": hashes[0].as_str(), "tools": hashes[1].as_str() });
    let changed = sqlx::query("UPDATE task_events SET private = $2 WHERE task = $1 AND kind = 'brief.ready'");
    let changed = changed.bind(task).bind(private.to_string()).execute(&mut database).await.unwrap();
    assert_eq!(changed.rows_affected(), 1);
    (instructions, names)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_another_release_began_goes_on_with_that_release_s_prompt_through_kills() {
    let look = json!({ "calls": [{ "tool": "shell", "arguments": { "command": "echo look {{turn}}" } }], "repeat": 7 });
    let script = json!({ "pace": { "first_byte_ms": 150 }, "sequence": [look, say("Seen.")] });
    let ground = calculator::ground(&script).await;
    let process = Process::start(&ground, ground.data.path());
    let mut body = request(&ground);
    body["mode"] = json!("answer");
    let id = process.api.create(&body).await;
    process.api.met(&id, "tool.completed", 1).await;
    assert_eq!(process.api.post(&format!("/v1/tasks/{id}/pause"), &json!({})).await.0, 202);
    assert_eq!(process.api.rest(&id).await["waiting_for"], "paused");
    process.kill();
    let before = ground.model.requests().await.len();
    let (instructions, tools) = as_of_another_release(&ground, &id).await;

    let process = Process::start(&ground, ground.data.path());
    assert_eq!(process.api.post(&format!("/v1/tasks/{id}/resume"), &json!({})).await.0, 202);
    process.api.met(&id, "tool.completed", 4).await;
    process.kill();
    let process = Process::start(&ground, ground.data.path());
    let task = process.api.rest(&id).await;
    assert_eq!(task["status"], "succeeded", "{task:#}");
    process.kill();

    let requests = ground.model.requests().await;
    let after: Vec<&Value> = requests[before..].iter().map(|request| &request["body"]).collect();
    assert!(after.len() >= 5, "{} requests", after.len());
    let names = |body: &Value| -> Vec<String> {
        body["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
    };
    for body in &after {
        assert_eq!((body["instructions"].as_str(), names(body)), (Some(instructions.as_str()), tools.clone()));
        assert!(body["tools"].to_string().contains("As an older release had it"));
    }
    let input = |body: &Value| body["input"].as_array().unwrap().clone();
    for pair in requests.windows(2) {
        let (one, next) = (input(&pair[0]["body"]), input(&pair[1]["body"]));
        assert!(next.starts_with(&one), "each request repeats the one before");
    }
    for pair in after.windows(2) {
        assert_eq!(pair[0]["tools"], pair[1]["tools"]);
    }
}
