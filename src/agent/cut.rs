//! The last call of a reply that was cut at its maximal length: run where it came whole, refused where it may not have.

use super::{prompt, session::PendingCall};
use crate::domain::{arguments::tolerant, tool::ToolCall};
use serde_json::Value;

const BEGINS: &str = "*** begin patch";
const ENDS: &str = "*** end patch";

/// Why this call is not run, for the model; absent where it is.
pub(super) fn refusal(pending: &PendingCall) -> Option<String> {
    (pending.cut && !is_whole(&pending.call)).then(|| prompt::cut_in_call(&pending.call.tool))
}

/// The arguments are a whole object, and a patch that has a beginning has its end. Who writes an object has closed
/// it, and so a patch of another form in it; outside of one only the end mark tells.
fn is_whole(call: &ToolCall) -> bool {
    match tolerant(&call.arguments) {
        Ok(Value::Object(_)) if !matches!(call.tool.as_str(), "apply_patch" | "shell") => true,
        Ok(Value::Object(map)) => {
            let mut patches = map.values().filter_map(Value::as_str).filter(|text| has(text, BEGINS));
            patches.all(|text| has(text, ENDS))
        }
        Ok(Value::String(patch)) => has(&patch, ENDS),
        Ok(_) => false,
        Err(_) => call.tool == "apply_patch" && ends_bare(&call.arguments),
    }
}

/// A patch without JSON around it, up to its end mark. In JSON that does not close, nothing is sure.
fn ends_bare(text: &str) -> bool {
    !text.trim_start().starts_with(['{', '"', '[']) && has(text, ENDS)
}

/// Has this mark as a line of its own.
fn has(text: &str, mark: &str) -> bool {
    text.lines().any(|line| line.trim().eq_ignore_ascii_case(mark))
}
