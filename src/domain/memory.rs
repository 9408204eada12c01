//! What the service remembers for a user or a team.

use super::{MemoryId, Oid, Seq, TaskId, TeamId, Timestamp, UserId, learning::MemorySource, usage::TokenUsage};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Characters of a memory's text, at most.
pub const MEMORY_TEXT_CHARS_MAX: usize = 1_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MemoryKind {
    Preference,
    Convention,
    Fact,
    Lesson,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MemoryScope {
    User,
    UserRepository,
    TeamRepository,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MemoryState {
    Proposed,
    Active,
    Stale,
    Rejected,
}

impl MemoryState {
    /// What a person who changes a memory of this state to that one does; absent where nobody can. A memory is proposed
    /// when it is made, and never again.
    pub fn change_to(self, next: Self) -> Option<MemoryChangeKind> {
        match (self, next) {
            (Self::Proposed, Self::Active) => Some(MemoryChangeKind::Confirmed),
            (Self::Stale | Self::Rejected, Self::Active) => Some(MemoryChangeKind::Restored),
            (Self::Proposed | Self::Active | Self::Stale, Self::Rejected) => Some(MemoryChangeKind::Rejected),
            (Self::Active, Self::Stale) => Some(MemoryChangeKind::Stale),
            _ => None,
        }
    }

    /// The word used in JSON and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::Active => "active",
            Self::Stale => "stale",
            Self::Rejected => "rejected",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MemoryOrigin {
    User,
    Feedback,
    Correction,
    Review,
    Checks,
    Agent,
}

/// Files that a memory may name in its evidence, at most (`MemoryEvidence::files`).
pub const MEMORY_FILES_MAX: usize = 20;

/// A file of the repository that a memory speaks of, as it was when the memory was learnt.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub struct MemoryFile {
    /// From the repository's root.
    pub path: String,
    /// Of its content, as git names it: where a task's base has another at the path, or none, the memory is stale.
    pub oid: Oid,
}

/// Where a memory comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemoryEvidence {
    pub task: TaskId,
    pub events: Vec<Seq>,
    /// At most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<MemoryFile>,
    /// Whose words each piece is; none for what was not learnt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<MemorySource>,
}

/// Pieces of further evidence that a memory keeps, each of another task, at most: the newest.
pub const MEMORY_EVIDENCE_MAX: usize = 20;

/// What happened to a memory after it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MemoryChangeKind {
    /// By a person, by learning, by the agent's tool, or from a file.
    Made,
    /// Text, kind or scope.
    Edited,
    /// A person made it active.
    Confirmed,
    /// A person turned it down.
    Rejected,
    /// A file that it speaks of has changed or gone, or it was not used for long.
    Stale,
    /// One that was stale or turned down holds again.
    Restored,
    /// Another one says what holds now.
    Superseded,
    /// Another one that says the same was taken into it.
    Merged,
    /// A task that cited it went well.
    Helped,
    /// A task that cited it went badly.
    Hurt,
}

/// One entry of a memory's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemoryChange {
    pub at: Timestamp,
    pub what: MemoryChangeKind,
    /// Who did it; absent: the service.
    pub user: Option<UserId>,
    /// The task that it came from.
    pub task: Option<TaskId>,
    /// For people: why, which file changed, what the task's end was.
    pub detail: String,
    /// The fields that changed, as they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub before: Option<serde_json::Value>,
    /// The same fields, as they are since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub after: Option<serde_json::Value>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Memory {
    pub id: MemoryId,
    #[serde(skip)]
    pub team: Option<TeamId>,
    pub user: UserId,
    pub text: String,
    pub kind: MemoryKind,
    pub scope: MemoryScope,
    pub repository: Option<String>,
    pub state: MemoryState,
    pub origin: MemoryOrigin,
    pub evidence: Option<MemoryEvidence>,
    pub used: u32,
    pub helped: u32,
    pub hurt: u32,
    /// When it last went into a prompt.
    #[serde(default)]
    pub last_used_at: Option<Timestamp>,
    /// The one that says what holds now. A memory that has one is never recalled, whatever its state.
    #[serde(default)]
    pub superseded_by: Option<MemoryId>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// What a memory came from beside its first evidence.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemoryOrigins {
    /// What bore it out later, the oldest first.
    pub more_evidence: Vec<MemoryEvidence>,
    /// Of a proposal: the memory whose place it takes once it is confirmed.
    pub replaces: Option<MemoryId>,
    /// Who made a proposal active.
    pub confirmed_by: Option<UserId>,
    /// The memories that it was made from; it goes with the last of them, where it has no evidence of its own.
    pub derived_from: Vec<MemoryId>,
}

/// A memory as it went into a prompt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RecalledMemory {
    pub memory: MemoryId,
    /// What the model cites it by, such as `M1`; empty in logs of earlier builds.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub mark: String,
    pub text: String,
    /// Why it was chosen, for people.
    pub reason: String,
    /// In a result: whether the model said in this run that it used it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cited: Option<bool>,
}

/// An earlier task of the same person on the same repository, as it went into a prompt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RecalledTask {
    pub task: TaskId,
    /// What the model cites it by, such as `T1`.
    pub mark: String,
    /// What was asked, how it ended and what came of it, as the prompt has it.
    pub text: String,
    /// Why it was chosen, for people.
    pub reason: String,
    /// In a result: whether the model said in this run that it used it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cited: Option<bool>,
}

/// A memory that would have been recalled, but that speaks of a file that is not what it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StaleMemory {
    pub memory: MemoryId,
    pub reason: String,
    /// It stays active: the task names a branch, tag or commit of its own, which says nothing of the default branch.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stays: bool,
}

/// How a recall came by the vector of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EmbeddingOutcome {
    Used,
    /// The server gave none in time: words alone were searched for.
    Late,
    /// The server refused, could not be had, or has failed lately and was not asked.
    Failed,
}

/// What the vector of a recall's request took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EmbeddingUse {
    pub model: String,
    pub outcome: EmbeddingOutcome,
    pub usage: TokenUsage,
    pub cost_usd: Option<f64>,
}

/// What stands in place of the text of a memory that was deleted.
pub const FORGOTTEN: &str = "[forgotten]";

impl RecalledMemory {
    /// Takes out what it said and why it was chosen, which tells of what it said.
    pub fn forget(&mut self) {
        FORGOTTEN.clone_into(&mut self.text);
        "deleted since".clone_into(&mut self.reason);
    }
}
