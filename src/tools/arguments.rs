//! From the text that a model sent as a call's arguments to a JSON value.
//!
//! Models wrap JSON in code fences, encode it twice, leave commas before closing brackets and
//! line breaks inside strings. Each of these has one reading only, so it is mended; everything
//! else goes back with its place.

use super::cut::{ceil, floor};
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

/// JSON with the mistakes that have one reading mended; a string that holds an object or an
/// array is taken for that.
pub(super) fn tolerant(text: &str) -> Result<Value, serde_json::Error> {
    let inner = unfenced(text.trim().trim_start_matches('\u{feff}'));
    let value = match serde_json::from_str::<Value>(inner) {
        Ok(value) => value,
        Err(error) => serde_json::from_str(&mended(inner)).map_err(|_| error)?,
    };
    if let Value::String(packed) = &value
        && packed.trim_start().starts_with(['{', '[', '`'])
        && let Ok(unpacked @ (Value::Object(_) | Value::Array(_))) = serde_json::from_str(unfenced(packed.trim()))
    {
        return Ok(unpacked);
    }
    Ok(value)
}

/// What stands between a leading and a closing code fence.
fn unfenced(text: &str) -> &str {
    let Some(rest) = text.strip_prefix("```") else { return text };
    let Some((_, body)) = rest.split_once('\n') else { return text };
    body.trim_end().strip_suffix("```").map_or(text, str::trim)
}

/// Without commas before a closing bracket, and with control characters inside strings escaped.
fn mended(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut in_string = false;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' if in_string => {
                out.push(c);
                out.extend(chars.next().map(|(_, escaped)| escaped));
                continue;
            }
            '"' => in_string = !in_string,
            ',' if !in_string && text[at + 1..].trim_start().starts_with(['}', ']']) => continue,
            '\n' if in_string => {
                out.push_str("\\n");
                continue;
            }
            '\r' if in_string => {
                out.push_str("\\r");
                continue;
            }
            '\t' if in_string => {
                out.push_str("\\t");
                continue;
            }
            _ => {}
        }
        out.push(c);
    }
    out
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
