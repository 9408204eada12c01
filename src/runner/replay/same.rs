//! Whether an event is the one that would be written now.

use super::Blank;
use crate::{domain::EventData, secrets};
use serde_json::Value;

/// Compares kind and data. Secrets that were taken out on the way, and words that a redacted log lacks, are no
/// difference.
pub(super) fn same(expected: &EventData, recorded: &EventData, blank: Option<&Blank<'_>>) -> bool {
    if let Some(blank) = blank {
        return blank(expected).is_some_and(|expected| equal(&expected, recorded));
    }
    equal(expected, recorded)
}

fn equal(expected: &EventData, recorded: &EventData) -> bool {
    let value = |data| serde_json::to_value(data).unwrap_or_default();
    expected == recorded || alike(&value(expected), &value(recorded))
}

fn alike(expected: &Value, recorded: &Value) -> bool {
    match (expected, recorded) {
        (Value::String(said), Value::String(recorded)) => words(said, recorded),
        // Sums of prices, and numbers that were written and read, may differ in their last digit.
        (Value::Number(one), Value::Number(other)) if one.is_f64() || other.is_f64() => {
            let (one, other) = (one.as_f64().unwrap_or_default(), other.as_f64().unwrap_or_default());
            (one - other).abs() <= 1e-9 * one.abs().max(other.abs()).max(1.0)
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| alike(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, one)| other.get(name).is_some_and(|other| alike(one, other)))
        }
        _ => expected == recorded,
    }
}

/// Whether the one is the other, but for secrets that were taken out of either.
fn words(one: &str, other: &str) -> bool {
    one == other || scrubbed(one, other) || scrubbed(other, one)
}

fn scrubbed(said: &str, recorded: &str) -> bool {
    let mut pieces = recorded.split(secrets::REDACTED);
    let Some(mut rest) = pieces.next().and_then(|first| said.strip_prefix(first)) else { return false };
    let mut hidden = false;
    for piece in pieces {
        hidden = true;
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    hidden && (rest.is_empty() || recorded.ends_with(secrets::REDACTED))
}
