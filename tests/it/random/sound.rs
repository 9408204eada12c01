//! What holds of every log and of every prompt, whatever happened.

use serde_json::Value;
use std::collections::BTreeMap;

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// Every call is begun and answered once, nothing follows an end until somebody acts, limits hold.
pub(super) fn sound(events: &[Value], request: &Value) -> Result<(), String> {
    let mut calls: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
    let mut runs: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    let mut ended = false;
    for (at, event) in events.iter().enumerate() {
        let (kind, data) = (text(event, "kind"), &event["data"]);
        if event["seq"].as_u64() != Some(at as u64 + 1) {
            return Err(format!("event {at} has the seq {}", event["seq"]));
        }
        let acted = matches!(kind, "message.user" | "task.control")
            || (kind == "task.status" && text(data, "status") == "queued");
        if ended && !acted {
            return Err(format!("{kind} follows an end"));
        }
        ended = kind == "task.status" && matches!(text(data, "status"), "succeeded" | "failed" | "cancelled");
        let run = runs.entry(event["run"].as_u64().unwrap_or_default()).or_default();
        match kind {
            "tool.started" => calls.entry(text(data, "call")).or_default().0 += 1,
            "tool.completed" => calls.entry(text(data, "call")).or_default().1 += 1,
            // One that others' words overtook was begun in the log and never sent.
            "model.completed" => run.0 += 1,
            "task.phase" if text(data, "phase") == "refinement" => run.1 += 1,
            _ => {}
        }
    }
    if !ended {
        return Err("it has not ended".to_owned());
    }
    if let Some((call, counts)) = calls.iter().find(|(_, counts)| **counts != (1, 1)) {
        return Err(format!("{call} was begun and answered so often: {counts:?}"));
    }
    let limit = |name: &str| request["limits"][name].as_u64().unwrap_or(u64::MAX);
    match runs.iter().find(|(_, (calls, refined))| *calls > limit("turns") || *refined > limit("refinements")) {
        Some((run, used)) => Err(format!("run {run} passed its limits: {used:?}")),
        None => Ok(()),
    }
}

/// Each request of a task repeats the one before; once for each retry another goes on from its run's start. A
/// compaction begins anew.
pub(super) fn grew(requests: &[Value], task: &str, events: &[Value]) -> Result<(), String> {
    if events.iter().any(|event| text(event, "kind") == "compaction") {
        return Ok(());
    }
    let retried = |event: &&Value| text(event, "kind") == "task.control" && text(&event["data"], "action") == "retry";
    let mut retries = events.iter().filter(retried).count();
    let own = |body: &&Value| text(body, "prompt_cache_key") == task && body["input"].is_array();
    let bodies: Vec<&Value> = requests.iter().map(|request| &request["body"]).filter(own).collect();
    for pair in bodies.windows(2) {
        if pair[0]["instructions"] != pair[1]["instructions"] || pair[0]["tools"] != pair[1]["tools"] {
            return Err("instructions or tools changed".to_owned());
        }
        let items = |body: &Value| body["input"].as_array().cloned().unwrap_or_default();
        let (before, after) = (items(pair[0]), items(pair[1]));
        let shared = before.iter().zip(&after).take_while(|(one, other)| one == other).count();
        if shared == before.len() {
            continue;
        }
        if retries > 0 {
            retries -= 1;
        } else {
            return Err(format!("item {shared} of {} is another:\n{before:#?}\n{after:#?}", before.len()));
        }
    }
    Ok(())
}
