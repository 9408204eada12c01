//! Taking the words out of a log and leaving its shape: what people, models, tools and files said becomes
//! as many bytes of nothing; ids, sizes, counts, times, outcomes and exit codes stay.

use super::FREE;
use crate::domain::{Event, event::Record};
use serde_json::Value;

/// Fields whose texts are words of a fixed list, ids, hashes or times. All other texts go.
const KEPT: [&str; 43] = [
    "kind",
    "data",
    "status",
    "phase",
    "waiting_for",
    "action",
    "on_busy",
    "code",
    "verdict",
    "outcome",
    "obstacle",
    "severity",
    "source",
    "origin",
    "mode",
    "approval",
    "decision",
    "deadline",
    "call",
    "tool",
    "model",
    "model_id",
    "next_model",
    "tree",
    "commit",
    "base_tree",
    "limit",
    "after",
    "interrupted",
    "task",
    "memory",
    "cause",
    "delta",
    "blob",
    "log_blob",
    "prefix",
    "head",
    "wire",
    "developer_role",
    "how",
    "upload",
    "id",
    "integration",
];
/// All below these are hashes, and what the settings say of a model beside them.
const HASHES: [&str; 2] = ["prefix", "head"];

/// The record without its words.
///
/// # Errors
/// Where what is left is not an event any more.
pub fn redact(record: &Record) -> Result<Record, serde_json::Error> {
    let mut data = serde_json::to_value(&record.event.data)?;
    fields(&mut data, false);
    if let Some(labels) = data.pointer_mut("/data/spec/labels") {
        *labels = Value::Object(serde_json::Map::new());
    }
    if let Some(pinned) = data.pointer_mut("/data/spec/pinned") {
        *pinned = Value::Null;
    }
    let mut private = record.private.as_ref().map(serde_json::to_value).transpose()?;
    if let Some(private) = &mut private {
        fields(private, false);
    }
    let Event { seq, task, run, turn, at, .. } = record.event;
    let data = serde_json::from_value(data)?;
    let private = private.map(serde_json::from_value).transpose()?;
    Ok(Record { event: Event { seq, task, run, turn, at, data }, private })
}

fn fields(value: &mut Value, keep: bool) {
    match value {
        Value::String(text) if !keep => *text = blank(text),
        Value::Array(values) => values.iter_mut().for_each(|value| fields(value, keep)),
        Value::Object(object) => {
            for (name, value) in object {
                let name = name.as_str();
                // Everything below is redacted, whatever a field is called.
                if FREE.contains(&name) {
                    all(value);
                } else if !(HASHES.contains(&name) && value.is_object()) {
                    let text = !value.is_object();
                    fields(value, text && KEPT.contains(&name));
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn all(value: &mut Value) {
    match value {
        // JSON in a text, as models write it, stays JSON.
        Value::String(text) => match serde_json::from_str::<Value>(text) {
            Ok(mut inner @ (Value::Object(_) | Value::Array(_))) => {
                all(&mut inner);
                *text = inner.to_string();
            }
            _ => *text = blank(text),
        },
        Value::Array(values) => values.iter_mut().for_each(all),
        Value::Object(object) => object.values_mut().for_each(all),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// As many bytes, the lines where they were; what is blank stays so.
fn blank(text: &str) -> String {
    if text.trim().is_empty() {
        return text.to_owned();
    }
    text.bytes().map(|byte| if byte == b'\n' { '\n' } else { 'x' }).collect()
}
