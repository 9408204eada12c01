//! What the service remembers for a user or a team.

use super::{MemoryId, Seq, TaskId, TeamId, Timestamp, UserId};
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

/// Where a memory comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemoryEvidence {
    pub task: TaskId,
    pub events: Vec<Seq>,
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
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// A memory as it went into a prompt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RecalledMemory {
    pub memory: MemoryId,
    pub text: String,
    /// Why it was chosen, for people.
    pub reason: String,
}
