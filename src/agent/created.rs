//! Files that edit tools made, by the arguments of their calls: what the model means to be in the patch.

use crate::domain::tool::ToolCall;
use serde_json::Value;

/// Of one task; what is made beyond that is not kept in mind.
pub(super) const CREATED_MAX: usize = 200;

/// Paths below the working copy that the call makes, as far as its arguments say so.
pub(super) fn created(call: &ToolCall) -> Vec<String> {
    let arguments: Value = serde_json::from_str(&call.arguments).unwrap_or(Value::Null);
    let text = |key: &str| arguments.get(key).and_then(Value::as_str);
    let paths: Vec<&str> = match call.tool.as_str() {
        "apply_patch" => {
            let lines = text("patch").unwrap_or(&call.arguments).lines();
            let made = |line: &&str| ["*** Add File: ", "*** Move to: "].iter().any(|start| line.starts_with(start));
            lines.filter(made).filter_map(|line| Some(line.split_once(": ")?.1)).collect()
        }
        "edit" if text("old") == Some("") => text("path").into_iter().collect(),
        _ => Vec::new(),
    };
    paths.into_iter().map(below).filter(|path| !path.is_empty()).collect()
}

fn below(path: &str) -> String {
    let path = path.trim();
    path.strip_prefix("/workspace/").or_else(|| path.strip_prefix("./")).unwrap_or(path).to_owned()
}
