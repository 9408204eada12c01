//! Comments, which are much the same everywhere.

use super::{Held, objects};
use journeyman::trackers::forge::ForgeKind;
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub(super) fn page(held: &Held, query: &BTreeMap<String, String>, number: &str) -> (u16, Value) {
    let page: usize = query.get("page").map_or(1, |page| page.parse().unwrap());
    let of = held.comments.iter().filter(|(under, _)| under == number).map(|(_, comment)| comment);
    (200, Value::Array(of.skip((page - 1) * 100).take(100).cloned().collect()))
}

pub(super) fn comment(held: &mut Held, kind: ForgeKind, number: &str, body: &Value) -> (u16, Value) {
    if let Some(fault) = faults(body, &["body"], &["body"]) {
        return (422, json!({ "message": fault }));
    }
    held.made += 1;
    let comment = objects::comment(kind, held.made, number, &body["body"]);
    held.comments.push((number.to_owned(), comment.clone()));
    (201, comment)
}

pub(super) fn edit(held: &mut Held, id: &str, body: &Value) -> (u16, Value) {
    let id: u64 = id.parse().unwrap();
    let Some((_, comment)) = held.comments.iter_mut().find(|(_, comment)| comment["id"] == id) else {
        return (404, json!({ "message": "Not Found" }));
    };
    comment["body"] = body["body"].clone();
    (200, comment.clone())
}

/// What of a body the vendor's schema does not have, or misses.
pub(super) fn faults(body: &Value, known: &[&str], required: &[&str]) -> Option<String> {
    let fields = body.as_object()?;
    let unknown = fields.keys().find(|name| !known.contains(&name.as_str()));
    let missing = required.iter().find(|name| !fields.get(**name).is_some_and(Value::is_string));
    unknown.map(|name| format!("{name} is not in the schema")).or(missing.map(|name| format!("{name} is missing")))
}
