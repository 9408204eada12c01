//! Tools as a model sees them, and their calls.

use super::CallId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A tool's description for the model. `parameters` is a JSON Schema whose keys are sorted, as
/// text: it is part of the prompt's prefix and never serialised again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolSpec {
    pub name: String,
    pub description: String,
    pub parameters: String,
}

impl ToolSpec {
    /// About its size in a prompt: with what stands around each on any wire.
    pub fn bytes(&self) -> usize {
        const AROUND: usize = 60;
        self.name.len() + self.description.len() + self.parameters.len() + AROUND
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ToolOutcome {
    Ok,
    Error,
    Denied,
    Interrupted,
    TimedOut,
}

/// One call that a model asked for. `arguments` is the model's own text, which may be no JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    pub call: CallId,
    pub tool: String,
    pub arguments: String,
}

/// What a tool can do to the working copy, which decides what may run beside it, what is run again
/// after a crash, and what needs a plan first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ToolEffect {
    /// Reads alone: may run in parallel with its like and be run again.
    Reads,
    /// Changes the plan, not the files.
    Plans,
    /// Asks people and waits.
    Asks,
    /// Changes files and nothing else.
    Edits,
    /// May do anything within the workspace.
    Runs,
    /// May do anything, perhaps outside of the workspace too: a tool of an MCP server.
    Acts,
}

impl ToolEffect {
    /// Whether it may have changed something, so that it is never silently run again.
    pub fn changes(self) -> bool {
        matches!(self, Self::Edits | Self::Runs | Self::Acts)
    }
}

/// The tool by which a model asks people for hosts.
pub const REQUEST_NETWORK: &str = "request_network";

/// The effect of a tool of our own by its name; an unknown tool is only answered, so it reads.
pub fn effect(tool: &str) -> ToolEffect {
    match tool {
        "shell" | "write_stdin" => ToolEffect::Runs,
        "apply_patch" | "edit" => ToolEffect::Edits,
        "update_plan" => ToolEffect::Plans,
        "ask_user" | REQUEST_NETWORK => ToolEffect::Asks,
        _ => ToolEffect::Reads,
    }
}
