//! JSON in what a model says: bare, fenced, or with words around it.

use serde_json::Value;

/// The reply is JSON and nothing else, at most in one code fence.
pub(super) fn alone(text: &str) -> Result<Value, serde_json::Error> {
    let text = text.trim();
    serde_json::from_str(fenced(text).unwrap_or(text))
}

/// The object that the reply holds, whatever words stand around it.
pub(super) fn object_in(text: &str) -> Option<Value> {
    let object = |text: &str| serde_json::from_str::<Value>(text).ok().filter(Value::is_object);
    let bare = || object(text.trim());
    let in_fence = || {
        let start = text.find("```")?;
        let end = start + 3 + text[start + 3..].find("\n```")?;
        fenced(&text[start..end + 4]).and_then(object)
    };
    let anywhere = || object(text.get(text.find('{')?..=text.rfind('}')?)?);
    bare().or_else(in_fence).or_else(anywhere)
}

/// What stands in a fence that takes the whole text.
fn fenced(text: &str) -> Option<&str> {
    let inner = text.strip_prefix("```")?.strip_suffix("```")?;
    let (language, body) = inner.split_once('\n')?;
    language.trim().chars().all(char::is_alphanumeric).then_some(body)
}
