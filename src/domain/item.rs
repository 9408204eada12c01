//! What a model is shown after the fixed head of its prompt, in order, append-only.

use super::{CallId, tool::ToolCall};
use serde::{Deserialize, Serialize};

/// The three ways in which models are spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Wire {
    /// OpenAI Responses, stateless.
    Responses,
    /// OpenAI Chat Completions and the many servers that speak it.
    Chat,
    /// Anthropic Messages.
    Messages,
}

impl std::str::FromStr for Wire {
    type Err = UnknownWire;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "responses" => Ok(Self::Responses),
            "chat" => Ok(Self::Chat),
            "messages" => Ok(Self::Messages),
            _ => Err(UnknownWire),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be responses, chat or messages")]
pub struct UnknownWire;

/// How the server's own words (developer items) are shown to a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeveloperRole {
    /// A message of the role `developer`. Responses' own; few other servers take it.
    Developer,
    /// A message of the role `system`. Many chat templates refuse it after the first message.
    System,
    /// A message of the role `user` whose text starts with `[server]`: what every server takes.
    User,
}

/// Which of the editing tools a model is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EditFormat {
    ApplyPatch,
    Edit,
    Both,
}

/// A model's whole answer to one call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    pub wire: Wire,
    /// The provider's own items as JSON texts, with the call ids replaced by the server's: what
    /// is passed back, byte for byte, to a model of the same wire. Responses: its output items
    /// (encrypted reasoning included). Chat and Messages: one assistant message.
    pub raw: Vec<String>,
    /// What the model said to people; may be empty.
    pub text: String,
    /// What the provider tells of the model's reasoning; may be empty.
    pub reasoning: String,
    pub calls: Vec<ToolCall>,
    /// The reply was cut at its maximal length.
    pub cut: bool,
    /// The name of the model that said it: another cannot read its sealed reasoning. Empty: not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub model: String,
    /// The provider's name of that model: settings may give a name to another. Empty: not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub model_id: String,
}

/// One element of the conversation. The server adds user and developer items and the results of
/// calls that the model made; replies come from models alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Item {
    /// The server's words: what failed, what is refused, what has changed.
    Developer {
        text: String,
    },
    /// A person's words.
    User {
        text: String,
    },
    Reply(Reply),
    /// What a call gave. `output` is cut once, when it is recorded.
    Result {
        call: CallId,
        output: String,
    },
}
