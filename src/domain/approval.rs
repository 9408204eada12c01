//! Questions to people, which are rows with a deadline and a default.

use super::{ApprovalId, Timestamp, UserId};
use serde::{Deserialize, Serialize};
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
    pub decided_by: Option<UserId>,
    pub note: Option<String>,
}
