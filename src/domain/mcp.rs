//! Tools of MCP servers that a task was given at its start.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A tool of a server, under the name that the model calls it by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct McpTool {
    /// `mcp__<server>__<tool>`, at most 64 characters.
    pub name: String,
    pub server: String,
    /// As the server calls it.
    pub tool: String,
    /// The operator says that it only reads: it may run beside its like and be run again.
    pub reads: bool,
}

/// What a server gave at a task's start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct McpServerFound {
    pub name: String,
    /// Tools that the model was given.
    pub tools: u32,
    /// Tools that did not fit.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out: u32,
    /// Why the task goes on without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}
