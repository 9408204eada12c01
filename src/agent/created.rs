//! Files that the model made, by the arguments of its calls: what it means to be in the patch.

use super::rules::written;
use crate::domain::tool::ToolCall;
use serde_json::Value;

/// Of one task; what is made beyond that is not kept in mind.
pub(super) const CREATED_MAX: usize = 200;
/// Of one command.
const WRITTEN_MAX: usize = 20;

/// Paths below the working copy that the call makes, as far as its arguments say so.
pub(super) fn created(call: &ToolCall) -> Vec<String> {
    let arguments: Value = serde_json::from_str(&call.arguments).unwrap_or(Value::Null);
    let text = |key: &str| arguments.get(key).and_then(Value::as_str);
    let paths: Vec<String> = match call.tool.as_str() {
        "apply_patch" => {
            let lines = text("patch").unwrap_or(&call.arguments).lines();
            let made = |line: &&str| ["*** Add File: ", "*** Move to: "].iter().any(|start| line.starts_with(start));
            lines.filter(made).filter_map(|line| Some(line.split_once(": ")?.1.to_owned())).collect()
        }
        "edit" if text("old") == Some("") => text("path").map(str::to_owned).into_iter().collect(),
        "shell" => {
            written(text("command").unwrap_or_default(), text("workdir")).into_iter().take(WRITTEN_MAX).collect()
        }
        _ => Vec::new(),
    };
    paths.iter().filter_map(|path| below(path)).collect()
}

/// A path as a patch has it; none where it leads elsewhere.
fn below(path: &str) -> Option<String> {
    let path = path.trim();
    let path = path.strip_prefix("/workspace/").unwrap_or(path);
    let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    let leads_away = path.starts_with('/') || parts.contains(&"..");
    (!leads_away && !parts.is_empty()).then(|| parts.join("/"))
}
