//! From the text that a model sent as a call's arguments to a JSON value.
//!
//! What has one reading only is mended where it is read ([`tolerant`]); everything else goes back with its place.

use super::cut::{ceil, floor};
use crate::domain::arguments::tolerant;
use serde_json::{Map, Value};

/// The arguments as an object; the error says where the text stops being JSON and what to do.
pub(super) fn object(text: &str) -> Result<Map<String, Value>, String> {
    if text.trim().is_empty() {
        return Ok(Map::new());
    }
    match tolerant(text) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(other) => {
            Err(format!("the arguments must be a JSON object such as {{\"path\": \"…\"}}, not {}", kind(&other)))
        }
        Err(error) => Err(invalid(text, &error)),
    }
}

fn invalid(text: &str, error: &serde_json::Error) -> String {
    let (line, column) = (error.line(), error.column());
    let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let at = floor(text, start.saturating_add(column.saturating_sub(1)));
    let before = &text[floor(text, at.saturating_sub(40))..at];
    let after = &text[at..ceil(text, at.saturating_add(40))];
    let mend = if error.is_eof() {
        "the text ends before the JSON does; if your reply was cut off, send less in one call"
    } else if error.to_string().contains("escape") {
        "inside a JSON string a backslash is written \\\\ and only \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX are escapes"
    } else {
        "send one JSON object; inside strings write \\n for a line break and \\\" for a quote"
    };
    format!("the arguments are not JSON: {error}, near `{before}⟪here⟫{after}`; {mend}")
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
