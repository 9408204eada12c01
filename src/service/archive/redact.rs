//! Taking the words out of a log and leaving its shape: what people, models, tools and files said becomes
//! as many bytes of nothing, the names and numbers in it too; ids, sizes, counts, times, outcomes and exit codes stay.

use super::FREE;
use crate::domain::{Event, event::Record};
use serde_json::{Map, Number, Value};

/// Fields whose texts are words of a fixed list, ids, hashes or times. All other texts go.
const KEPT: [&str; 47] = [
    "kind",
    "data",
    "status",
    "phase",
    "waiting_for",
    "action",
    "aside",
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
    "user",
    "publishing",
    "state",
];
/// Names of fields in what was said freely that are the server's own or a wire's. All others are somebody's words.
const KNOWN: [&str; 52] = [
    "against",
    "annotations",
    "approaches",
    "arguments",
    "background",
    "call_id",
    "chosen",
    "command",
    "content",
    "criteria",
    "data",
    "depth",
    "encrypted_content",
    "explanation",
    "for",
    "function",
    "glob",
    "hosts",
    "id",
    "index",
    "input",
    "limit",
    "logprobs",
    "name",
    "new",
    "offset",
    "old",
    "options",
    "output",
    "patch",
    "path",
    "pattern",
    "plan",
    "process",
    "question",
    "questions",
    "reason",
    "reasoning",
    "reasoning_content",
    "replace_all",
    "role",
    "scope",
    "signature",
    "status",
    "step",
    "summary",
    "text",
    "thinking",
    "timeout_ms",
    "tool_calls",
    "type",
    "wait_ms",
];
/// Those of them whose numbers are sizes, places and numbers of processes.
const NUMBERED: [&str; 7] = ["depth", "index", "limit", "offset", "process", "timeout_ms", "wait_ms"];
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
        *labels = Value::Object(Map::new());
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
        Value::Object(object) => {
            for (name, mut value) in std::mem::take(object) {
                if !(value.is_number() && NUMBERED.contains(&name.as_str())) {
                    all(&mut value);
                }
                let name = if KNOWN.contains(&name.as_str()) { name } else { nameless(&name, object) };
                object.insert(name, value);
            }
        }
        Value::Number(number) => *number = ones(number),
        Value::Null | Value::Bool(_) => {}
    }
}

/// A name of as many bytes that the object does not have yet.
fn nameless(name: &str, object: &Map<String, Value>) -> String {
    let mut number = 0_usize;
    loop {
        let mut letters = vec![b'x'; name.len()];
        let mut rest = number;
        for letter in letters.iter_mut().rev() {
            *letter = b"xabcdefghijklmnopqrstuvwyz"[rest % 26];
            rest /= 26;
        }
        // There are more names than short ones.
        letters.extend(std::iter::repeat_n(b'x', rest));
        let new = String::from_utf8_lossy(&letters).into_owned();
        if !object.contains_key(&new) && !KNOWN.contains(&new.as_str()) {
            return new;
        }
        number += 1;
    }
}

/// A number of as many digits.
fn ones(number: &Number) -> Number {
    let text: String = number.to_string().chars().map(|c| if c.is_ascii_digit() { '1' } else { c }).collect();
    serde_json::from_str(&text).unwrap_or_else(|_| Number::from(1))
}

/// As many bytes, the lines where they were; what is blank stays so.
fn blank(text: &str) -> String {
    if text.trim().is_empty() {
        return text.to_owned();
    }
    text.bytes().map(|byte| if byte == b'\n' { '\n' } else { 'x' }).collect()
}
