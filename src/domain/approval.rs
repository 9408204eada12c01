//! Questions to people, which are rows with a deadline and a default.

use super::{ApprovalId, Timestamp, UserId};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use utoipa::ToSchema;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalKind {
    Plan,
    Command,
    Network,
    Publish,
    Question,
    /// A patch whose checks pass only with tests that it weakens.
    WeakenedTests,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    Approve,
    Deny,
    Answer,
}

/// How the note of a decision begins that nobody made: its question was withdrawn.
pub const WITHDRAWN: &str = "withdrawn: ";

/// How long a decision holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Remember {
    Once,
    /// For the rest of the task: the like of it is not asked again.
    Task,
}

/// One question to people, with answers to choose from where there are some.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Question {
    pub question: String,
    #[serde(default)]
    pub options: Vec<String>,
}

/// Who decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecidedBy {
    User(UserId),
    /// By its name in the settings.
    Model(String),
}

impl DecidedBy {
    const MODEL: &str = "model:";
}

impl fmt::Display for DecidedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(user) => user.fmt(f),
            Self::Model(name) => write!(f, "{}{name}", Self::MODEL),
        }
    }
}

impl Serialize for DecidedBy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DecidedBy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.strip_prefix(Self::MODEL) {
            Some(name) => Ok(Self::Model(name.to_owned())),
            None => text.parse().map(Self::User).map_err(serde::de::Error::custom),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Approval {
    pub id: ApprovalId,
    pub kind: ApprovalKind,
    /// What is asked about: the plan, the command, the questions.
    #[schema(value_type = Object)]
    pub subject: serde_json::Value,
    pub deadline: Timestamp,
    /// What holds when nobody has decided by the deadline.
    pub default: Decision,
    pub decision: Option<Decision>,
    /// A user's id, or `model:NAME` of the model that decided in place of people; null where nobody has, or the
    /// deadline passed.
    #[schema(value_type = Option<String>)]
    pub decided_by: Option<DecidedBy>,
    pub note: Option<String>,
}
