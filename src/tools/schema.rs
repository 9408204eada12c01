//! The arguments of a tool as a table: the model's JSON Schema is written from it, and what the
//! model sends is checked against it.
//!
//! The written schema has its keys sorted at every level, whatever the JSON library does: it is
//! part of a prompt prefix that must never change by itself.

use super::nearest::{self, Name};
use serde_json::{Map, Value};
use std::fmt::Write;

/// What a value must be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Text,
    Flag,
    Integer { min: i64, max: i64 },
    Choice(&'static [Name]),
    List { of: &'static Kind, min: usize, max: usize },
    Record(&'static [Field]),
    TextOrRecord(&'static [Field]),
}

/// One named argument.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) required: bool,
    pub(super) about: &'static str,
    /// Names that models use for it by mistake.
    pub(super) also: &'static [&'static str],
}

/// The JSON Schema of an object with these fields.
pub(super) fn written(fields: &[Field]) -> String {
    let mut text = String::new();
    write_record(&mut text, fields, "");
    text
}

/// A written schema whose descriptions are left out.
pub(super) fn without_descriptions(schema: &str) -> String {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(map) => {
                // An argument of that name would be an object.
                if map.get("description").is_some_and(Value::is_string) {
                    map.remove("description");
                }
                map.values_mut().for_each(strip);
            }
            Value::Array(list) => list.iter_mut().for_each(strip),
            _ => {}
        }
    }
    let Ok(mut value) = serde_json::from_str::<Value>(schema) else { return schema.to_owned() };
    strip(&mut value);
    value.to_string()
}

/// Checks `given` against `fields`; each fault is a sentence that names its place. Nulls of
/// optional fields count as absent and are taken out; lists and records that came as JSON in a
/// string are unpacked.
pub(super) fn check(fields: &[Field], given: &mut Map<String, Value>) -> Vec<String> {
    let mut faults = Vec::new();
    check_record(fields, given, "", &mut faults);
    faults
}

fn write_record(text: &mut String, fields: &[Field], about: &str) {
    text.push_str("{\"additionalProperties\":false,");
    write_about(text, about);
    text.push_str("\"properties\":{");
    let mut sorted: Vec<&Field> = fields.iter().collect();
    sorted.sort_by_key(|field| field.name);
    for (i, field) in sorted.iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        let _ = write!(text, "{comma}{}:", quoted(field.name));
        write_kind(text, field.kind, field.about);
    }
    let required: Vec<String> = sorted.iter().filter(|f| f.required).map(|f| quoted(f.name)).collect();
    let _ = write!(text, "}},\"required\":[{}],\"type\":\"object\"}}", required.join(","));
}

fn write_kind(text: &mut String, kind: Kind, about: &str) {
    match kind {
        Kind::Text | Kind::Flag => {
            text.push('{');
            write_about(text, about);
            let name = if matches!(kind, Kind::Text) { "string" } else { "boolean" };
            let _ = write!(text, "\"type\":\"{name}\"}}");
        }
        Kind::Integer { min, max } => {
            text.push('{');
            write_about(text, about);
            let _ = write!(text, "\"maximum\":{max},\"minimum\":{min},\"type\":\"integer\"}}");
        }
        Kind::Choice(names) => {
            text.push('{');
            write_about(text, about);
            let names: Vec<String> = names.iter().map(|n| quoted(n.name)).collect();
            let _ = write!(text, "\"enum\":[{}],\"type\":\"string\"}}", names.join(","));
        }
        Kind::List { of, min, max } => {
            text.push('{');
            write_about(text, about);
            text.push_str("\"items\":");
            write_kind(text, *of, "");
            let _ = write!(text, ",\"maxItems\":{max},\"minItems\":{min},\"type\":\"array\"}}");
        }
        Kind::Record(fields) => write_record(text, fields, about),
        Kind::TextOrRecord(fields) => {
            text.push_str("{\"anyOf\":[{\"type\":\"string\"},");
            write_record(text, fields, "");
            text.push(']');
            if !about.is_empty() {
                let _ = write!(text, ",\"description\":{}", quoted(about));
            }
            text.push('}');
        }
    }
}

fn write_about(text: &mut String, about: &str) {
    if !about.is_empty() {
        let _ = write!(text, "\"description\":{},", quoted(about));
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

fn check_record(fields: &[Field], given: &mut Map<String, Value>, place: &str, faults: &mut Vec<String>) {
    given.retain(|name, value| !(value.is_null() && fields.iter().any(|f| f.name == name && !f.required)));
    let missing: Vec<&Field> = fields.iter().filter(|f| f.required && !given.contains_key(f.name)).collect();
    for name in given.keys().filter(|name| fields.iter().all(|f| f.name != name.as_str())) {
        faults.push(unknown_field(fields, &missing, name, place));
    }
    for field in missing {
        faults.push(format!("`{}` is missing: {}", below(place, field.name), wanted(field.kind)));
    }
    for field in fields {
        if let Some(value) = given.get_mut(field.name) {
            check_value(field.kind, value, &below(place, field.name), faults);
        }
    }
}

fn unknown_field(fields: &[Field], missing: &[&Field], name: &str, place: &str) -> String {
    let known = |f: &Field| Name { name: f.name, also: f.also };
    let near = nearest::among(name, missing.iter().map(|f| known(f)))
        .or_else(|| nearest::among(name, fields.iter().map(known)));
    let names: Vec<String> = fields.iter().map(|f| format!("`{}`", f.name)).collect();
    let hint = near.map_or_else(String::new, |near| format!(", did you mean `{near}`?"));
    format!("`{}` is no argument here{hint} (there are {})", below(place, &shown(name)), names.join(", "))
}

fn check_value(kind: Kind, value: &mut Value, place: &str, faults: &mut Vec<String>) {
    if matches!(kind, Kind::List { .. } | Kind::Record(_)) {
        unpack(value);
    }
    match (kind, &mut *value) {
        (Kind::Text | Kind::TextOrRecord(_), Value::String(text)) => {
            if text.contains('\0') {
                faults.push(format!("`{place}` holds a NUL character, which no text here can: leave it out"));
            }
        }
        (Kind::Integer { min, max }, Value::Number(number)) => match whole(number) {
            Some(n) if (min..=max).contains(&n) => *value = Value::from(n),
            _ => faults.push(format!("`{place}` must be {}, not {number}", wanted(kind))),
        },
        // Some models quote their numbers; there is but one way to read them.
        (Kind::Integer { min, max }, Value::String(text)) if digits(text).is_some_and(|n| (min..=max).contains(&n)) => {
            *value = digits(text).map_or(Value::Null, Value::from);
        }
        (Kind::Choice(names), Value::String(text)) => {
            if !names.iter().any(|n| n.name == text) {
                let near = nearest::among(text, names.iter().copied());
                let hint = near.map_or_else(String::new, |near| format!(", did you mean \"{near}\"?"));
                faults.push(format!("`{place}` must be {}, not \"{}\"{hint}", wanted(kind), shown(text)));
            }
        }
        (Kind::List { of, min, max }, Value::Array(items)) => {
            if !(min..=max).contains(&items.len()) {
                faults.push(format!("`{place}` must have {min} to {max} items, not {}", items.len()));
            }
            for (i, item) in items.iter_mut().take(max).enumerate() {
                check_value(*of, item, &format!("{place}[{i}]"), faults);
            }
        }
        (Kind::Record(fields) | Kind::TextOrRecord(fields), Value::Object(given)) => {
            check_record(fields, given, place, faults);
        }
        (Kind::Flag, Value::Bool(_)) => {}
        (_, value) => {
            faults.push(format!("`{place}` must be {}, not {}{}", wanted(kind), what(value), mend(kind, value)));
        }
    }
}

/// A list or record that was sent as JSON inside a string.
fn unpack(value: &mut Value) {
    if let Value::String(text) = value
        && text.trim_start().starts_with(['[', '{'])
        && let Ok(inner) = crate::domain::arguments::tolerant(text)
    {
        *value = inner;
    }
}

fn whole(number: &serde_json::Number) -> Option<i64> {
    let of_float = |f: f64| (f.fract() == 0.0 && f.abs() < 9e15).then_some(f as i64);
    number.as_i64().or_else(|| number.as_f64().and_then(of_float))
}

fn digits(text: &str) -> Option<i64> {
    let text = text.trim();
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn wanted(kind: Kind) -> String {
    match kind {
        Kind::Text => "a string".into(),
        Kind::Flag => "true or false".into(),
        Kind::Integer { min, max } => format!("an integer from {min} to {max}"),
        Kind::Choice(names) => {
            let names: Vec<String> = names.iter().map(|n| format!("\"{}\"", n.name)).collect();
            format!("one of {}", names.join(", "))
        }
        Kind::List { of, .. } => format!("an array, each item {}", wanted(*of)),
        Kind::Record(fields) => {
            let names: Vec<String> = fields.iter().map(|f| format!("`{}`", f.name)).collect();
            format!("an object with {}", names.join(", "))
        }
        Kind::TextOrRecord(fields) => format!("a string or {}", wanted(Kind::Record(fields))),
    }
}

fn what(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(_) | Value::Number(_) => format!("{value}"),
        Value::String(text) => format!("the string \"{}\"", shown(text)),
        Value::Array(_) => "an array".into(),
        Value::Object(_) => "an object".into(),
    }
}

/// How the value that was sent would have to be written, where that can be said.
fn mend(kind: Kind, value: &Value) -> String {
    match (kind, value) {
        (Kind::Integer { .. } | Kind::Flag, Value::String(text))
            if serde_json::from_str::<Value>(text.trim()).is_ok_and(|v| v.is_number() || v.is_boolean()) =>
        {
            format!(": write {} without quotes", text.trim())
        }
        (Kind::Text, Value::Array(items)) => match items.as_slice() {
            [shell, flag, command] if shell == "bash" && (flag == "-lc" || flag == "-c") => {
                format!(": write {}", shown(&command.to_string()))
            }
            _ if items.iter().all(Value::is_string) => ": write it as one string".into(),
            _ => String::new(),
        },
        (Kind::List { .. }, Value::String(_) | Value::Object(_)) => ": put it between [ and ]".into(),
        _ => String::new(),
    }
}

fn below(place: &str, name: &str) -> String {
    if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") }
}

/// At most 60 characters of a text that somebody else wrote, without control characters.
fn shown(text: &str) -> String {
    let mut short: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(60).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}
