//! From the text that a model sent as a call's arguments to a JSON value.
//!
//! Models wrap JSON in code fences, encode it twice, leave commas before closing brackets and
//! line breaks inside strings. Each of these has one reading only, so it is mended; everything
//! else is an error with its place.

use serde_json::Value;

/// JSON with the mistakes that have one reading mended; a string that holds an object or an
/// array is taken for that.
pub fn tolerant(text: &str) -> Result<Value, serde_json::Error> {
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
