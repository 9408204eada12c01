//! The elements of a request as JSON bytes, wire by wire. Pure: the same value gives the same
//! bytes for ever, because they are part of prompts' prefixes.

pub(super) mod chat;
pub(super) mod messages;
pub(super) mod responses;

use serde::{Serialize, de::IgnoredAny};
use std::borrow::Cow;

/// Appends `value` as JSON.
pub(super) fn json<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(out, value).expect("these types always serialise, and a Vec takes all bytes");
}

/// Appends `text` as the inside of a JSON string, without its quotes.
pub(super) fn json_inside(out: &mut Vec<u8>, text: &str) {
    let start = out.len();
    json(out, text);
    out.remove(start);
    out.pop();
}

/// A tool's schema where it is an object; one that takes anything where it is not.
pub(super) fn schema(parameters: &str) -> &str {
    let object = parameters.trim_start().starts_with('{') && serde_json::from_str::<IgnoredAny>(parameters).is_ok();
    if object { parameters } else { r#"{"type":"object"}"# }
}

/// A call's arguments as they go back: an object, always. Many servers parse them again when they
/// render their template, and would refuse every later request for one bad call.
pub(super) fn arguments(arguments: &str) -> Cow<'_, str> {
    let text = arguments.trim();
    if text.is_empty() {
        Cow::Borrowed("{}")
    } else if text.starts_with('{') && serde_json::from_str::<IgnoredAny>(text).is_ok() {
        Cow::Borrowed(arguments)
    } else {
        let mut out = br#"{"invalid_json":"#.to_vec();
        json(&mut out, text);
        out.push(b'}');
        Cow::Owned(String::from_utf8_lossy(&out).into_owned())
    }
}

/// The mark before the server's own words where they go under another role.
pub(super) const SERVER_MARK: &str = "[server] ";
