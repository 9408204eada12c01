//! What holds of every log and of every prompt, whatever happened.

use crate::prefixes::parts;
use serde_json::Value;
use std::collections::BTreeMap;

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// Every call is begun and answered once, nothing follows an end until somebody acts.
pub(super) fn sound(events: &[Value]) -> Result<(), String> {
    let mut calls: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
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
        match kind {
            "tool.started" => calls.entry(text(data, "call")).or_default().0 += 1,
            "tool.completed" => calls.entry(text(data, "call")).or_default().1 += 1,
            _ => {}
        }
    }
    if !ended {
        return Err("it has not ended".to_owned());
    }
    if let Some((call, counts)) = calls.iter().find(|(_, counts)| **counts != (1, 1)) {
        return Err(format!("{call} was begun and answered so often: {counts:?}"));
    }
    Ok(())
}

/// Each request of a task repeats the one that its model had before; once for each retry another goes on from its run's
/// start. A compaction begins anew.
pub(super) fn grew(requests: &[Value], seed: u64, events: &[Value]) -> Result<(), String> {
    if events.iter().any(|event| text(event, "kind") == "compaction") {
        return Ok(());
    }
    let retried = |event: &&Value| text(event, "kind") == "task.control" && text(&event["data"], "action") == "retry";
    let retries = events.iter().filter(retried).count();
    let mark = format!("[scenario: r{seed}]");
    // Calls outside of the loop have no tools.
    let own = |body: &&Value| {
        body["tools"].as_array().is_some_and(|tools| !tools.is_empty()) && body.to_string().contains(&mark)
    };
    let bodies: Vec<&Value> = requests.iter().map(|request| &request["body"]).filter(own).collect();
    for (model, wire) in [
        ("responses", "responses"),
        ("falls", "responses"),
        ("chat", "chat"),
        ("narrow", "chat"),
        ("messages", "messages"),
    ] {
        let of_model = bodies.iter().filter(|body| text(body, "model") == model);
        let read: Vec<String> = of_model.map(|body| parts(wire, body)).collect();
        let others = read.windows(2).filter(|pair| !pair[1].starts_with(&pair[0])).collect::<Vec<_>>();
        if others.len() > retries {
            return Err(format!("{model}: another beginning:\n{}\n----\n{}", others[0][0], others[0][1]));
        }
    }
    Ok(())
}
