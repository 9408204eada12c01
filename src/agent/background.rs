//! Processes in the background, as the answers of their calls tell of them.

use super::session::Session;
use crate::domain::{arguments, tool::ToolCall};

/// Kept in mind at most.
const PROCESSES_MAX: usize = 64;

/// The server's own words begin the answers of `shell` in the background and of `write_stdin`.
pub(super) fn fold(session: &mut Session, call: &ToolCall, output: &str) {
    let Some((number, rest)) = output.strip_prefix("process ").and_then(|rest| rest.split_once(' ')) else { return };
    let Ok(process) = number.parse::<u32>() else { return };
    match call.tool.as_str() {
        "shell" if rest.starts_with("is running") && session.background.len() < PROCESSES_MAX => {
            let given = arguments::tolerant(&call.arguments).unwrap_or_default();
            let command = given["command"].as_str().unwrap_or_default().to_owned();
            session.background.insert(process, command);
        }
        "write_stdin" if rest.starts_with("has ended") => drop(session.background.remove(&process)),
        _ => {}
    }
}
