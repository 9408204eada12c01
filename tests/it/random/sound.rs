//! What holds of every log and of every prompt, whatever happened.

use super::limits::micros;
use crate::prefixes::parts;
use serde_json::Value;
use std::collections::BTreeMap;

/// What two clocks of one machine are apart at most.
const CLOCKS_US: i64 = 2_000;

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
        let acted = matches!(kind, "message.user" | "task.control" | "task.updated" | "task.forked")
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

/// Each request of a task repeats the one that its model had before. Another goes on from its run's start where a retry
/// came between them, and anew where a compaction did.
pub(super) fn grew(requests: &[&Value], events: &[Value]) -> Result<(), String> {
    let begins = |event: &&Value| {
        let retry = text(event, "kind") == "task.control" && text(&event["data"], "action") == "retry";
        retry || text(event, "kind") == "compaction"
    };
    let anew: Vec<i64> = events.iter().filter(begins).map(micros).collect();
    // Calls outside of the loop have no tools.
    let own = |sent: &&&Value| sent["body"]["tools"].as_array().is_some_and(|tools| !tools.is_empty());
    for (model, wire) in [
        ("responses", "responses"),
        ("falls", "responses"),
        ("chat", "chat"),
        ("narrow", "chat"),
        ("messages", "messages"),
    ] {
        let of_model = requests.iter().filter(own).filter(|sent| text(&sent["body"], "model") == model);
        let read: Vec<(i64, String)> =
            of_model.map(|sent| (sent["at_us"].as_i64().unwrap(), parts(wire, &sent["body"]))).collect();
        for pair in read.windows(2) {
            let [(before, old), (now, new)] = pair else { continue };
            let between = |at: &&i64| (before - CLOCKS_US..=now + CLOCKS_US).contains(*at);
            if !new.starts_with(old) && !anew.iter().any(|at| between(&at)) {
                return Err(format!("{model}: another beginning:\n{old}\n----\n{new}"));
            }
        }
    }
    Ok(())
}
