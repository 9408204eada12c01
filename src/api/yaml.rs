//! JSON as block YAML: two spaces, keys unquoted, texts quoted only where they must be.
//!
//! Only what the OpenAPI document needs (YAML 1.2, core schema); no anchors, no tags.

use serde_json::Value;
use std::fmt::Write;

/// The whole document.
pub(super) fn write(value: &Value) -> String {
    let mut out = String::new();
    block(&mut out, value, 0);
    out
}

fn indent(out: &mut String, depth: usize) {
    for _ in 0..depth {
        out.push_str("  ");
    }
}

fn block(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, field) in fields {
                indent(out, depth);
                pair(out, name, field, depth);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                indent(out, depth);
                entry(out, item, depth);
            }
        }
        other => {
            indent(out, depth);
            out.push_str(&scalar(other, depth));
            out.push('\n');
        }
    }
}

/// `name: value`, the name at the present place.
fn pair(out: &mut String, name: &str, value: &Value, depth: usize) {
    out.push_str(&key(name));
    out.push(':');
    if nested(value) {
        out.push('\n');
        block(out, value, depth + 1);
    } else {
        let _ = writeln!(out, " {}", scalar(value, depth + 1));
    }
}

/// `- value`; a map begins on the line of its dash.
fn entry(out: &mut String, value: &Value, depth: usize) {
    out.push('-');
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (place, (name, field)) in fields.iter().enumerate() {
                if place == 0 {
                    out.push(' ');
                } else {
                    indent(out, depth + 1);
                }
                pair(out, name, field, depth + 1);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            out.push('\n');
            block(out, value, depth + 1);
        }
        other => {
            let _ = writeln!(out, " {}", scalar(other, depth + 1));
        }
    }
}

fn nested(value: &Value) -> bool {
    match value {
        Value::Object(fields) => !fields.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    }
}

fn scalar(value: &Value, depth: usize) -> String {
    match value {
        Value::Object(_) => "{}".to_owned(),
        Value::Array(_) => "[]".to_owned(),
        Value::String(text) => text_scalar(text, depth),
        other => other.to_string(),
    }
}

fn text_scalar(text: &str, depth: usize) -> String {
    let plain_lines =
        text.lines().all(|line| !line.is_empty() && !line.starts_with([' ', '\t']) && line.trim_end() == line);
    if text.contains('\n') && !text.ends_with('\n') && plain_lines && !text.contains(['\r', '\t']) {
        let mut out = String::from("|-");
        for line in text.lines() {
            out.push('\n');
            indent(&mut out, depth);
            out.push_str(line);
        }
        return out;
    }
    if is_plain(text) { text.to_owned() } else { quoted(text) }
}

/// Response codes would be numbers if they were not quoted; paths and names are plain.
fn key(name: &str) -> String {
    if is_plain(name) { name.to_owned() } else { quoted(name) }
}

/// JSON's quoting is YAML's double-quoted style.
fn quoted(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}

/// Whether a reader takes the text for the same text without quotes.
fn is_plain(text: &str) -> bool {
    let words = ["null", "true", "false", "yes", "no", "on", "off", "y", "n", "~"];
    let Some(first) = text.chars().next() else { return false };
    let looks_numeric = text.parse::<f64>().is_ok() || first.is_ascii_digit();
    let first_ok = first.is_ascii_alphanumeric() || matches!(first, '/' | '_' | '$' | '(') || !first.is_ascii();
    first_ok
        && !looks_numeric
        && !words.contains(&text.to_ascii_lowercase().as_str())
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.ends_with(':')
        && text.trim_end() == text
        && !text.chars().any(char::is_control)
}
