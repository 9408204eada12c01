//! Reading of payloads: what is absent or of another kind is empty, what is long is cut, texts are cleaned.

use super::{
    clean::cleaned,
    delivery::{Delivery, Issue, Person, What},
};
use http::HeaderMap;
use serde_json::Value;

/// Characters of what is kept, at most.
pub(super) const TITLE_CHARS_MAX: usize = 500;
pub(super) const BODY_CHARS_MAX: usize = 60_000;
const WORD_CHARS_MAX: usize = 300;
const URL_CHARS_MAX: usize = 2_000;
const ENTRIES_MAX: usize = 100;

/// A request: its headers and the object in its body.
pub(super) struct Reader<'a> {
    headers: &'a HeaderMap,
    pub(super) json: &'a Value,
}

impl<'a> Reader<'a> {
    pub(super) fn new(headers: &'a HeaderMap, json: &'a Value) -> Self {
        Self { headers, json }
    }

    /// The first of these headers that there is.
    pub(super) fn header(&self, names: &[&str]) -> String {
        let found = names.iter().find_map(|name| self.headers.get(*name)?.to_str().ok());
        cut(found.unwrap_or_default().trim(), WORD_CHARS_MAX)
    }

    pub(super) fn at(&self, pointer: &str) -> &'a Value {
        at(self.json, pointer)
    }

    pub(super) fn word(&self, pointer: &str) -> String {
        word(self.at(pointer))
    }

    /// The delivery of which nothing but its name is known yet.
    pub(super) fn delivery(&self, id: &[&str], event: String, sender: Option<Person>) -> Delivery {
        Delivery { id: self.header(id), event, sender, issue: None, what: ignored("") }
    }
}

static NULL: Value = Value::Null;

pub(super) fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&NULL)
}

pub(super) fn ignored(reason: impl Into<String>) -> What {
    What::Ignored { reason: reason.into() }
}

/// What was done, where that is anything but that it has moved.
pub(super) fn moved_or(moved: bool, what: What) -> What {
    if moved && matches!(what, What::Ignored { .. }) { What::Moved } else { what }
}

/// A short text or a number.
pub(super) fn word(value: &Value) -> String {
    match value {
        Value::String(text) => cut(&cleaned(text).replace(['\n', '\t'], " "), WORD_CHARS_MAX),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    }
}

pub(super) fn title(value: &Value) -> String {
    cut(&cleaned(value.as_str().unwrap_or_default()).replace(['\n', '\t'], " "), TITLE_CHARS_MAX)
}

/// A text that somebody wrote.
pub(super) fn text(value: &Value) -> String {
    let raw = value.as_str().unwrap_or_default();
    // Cut first, far beyond what is kept: nobody cleans megabytes.
    let raw = cut(raw, BODY_CHARS_MAX * 4);
    cut(&cleaned(&raw), BODY_CHARS_MAX)
}

/// An address for people; anything else is empty.
pub(super) fn link(value: &Value) -> String {
    let text = value.as_str().unwrap_or_default();
    let url = url::Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    url.filter(|_| text.len() <= URL_CHARS_MAX && !text.contains(|c: char| c.is_whitespace() || c.is_control()))
        .map(|_| text.to_owned())
        .unwrap_or_default()
}

/// The names in a list of objects.
pub(super) fn names(list: &Value, field: &str) -> Vec<String> {
    entries(list).iter().map(|entry| word(at(entry, field))).filter(|name| !name.is_empty()).collect()
}

pub(super) fn entries(list: &Value) -> &[Value] {
    let all = list.as_array().map(Vec::as_slice).unwrap_or_default();
    &all[..all.len().min(ENTRIES_MAX)]
}

/// A person known by these fields.
pub(super) fn person(value: &Value, login: &str, id: &str, also: &[&str]) -> Option<Person> {
    let name = word(at(value, login));
    let more = also.iter().map(|field| word(at(value, field))).filter(|text| !text.is_empty()).collect();
    (!name.is_empty()).then(|| Person { login: name, id: word(at(value, id)), also: more, bot: false })
}

pub(super) fn people(list: &Value, of: impl Fn(&Value) -> Option<Person>) -> Vec<Person> {
    entries(list).iter().filter_map(of).collect()
}

/// The delivery about an issue, where it has a key.
pub(super) fn about(mut delivery: Delivery, issue: Issue, what: What) -> Delivery {
    let named = !issue.key.is_empty();
    delivery.what = if named { what } else { ignored("it names no issue") };
    delivery.issue = named.then_some(issue);
    delivery
}

pub(super) fn cut(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((at, _)) => text[..at].to_owned(),
        None => text.to_owned(),
    }
}
