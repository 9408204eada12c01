//! Where what is learnt comes from, and what came of a time that the service tried to learn something.

use super::{MemoryId, Seq, Timestamp, UserId, usage::TokenUsage};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// Whose text a piece of evidence is. Only a person's own words make an active memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Provenance {
    /// A member of the team who may write, known by his credential.
    Person,
    /// Somebody who is not known to be one: the author of an issue or of a comment.
    Outsider,
    /// Somebody who read the work: what was merged, a comment on it.
    Reviewer,
    /// A file's content.
    File,
    /// What a tool or a check gave.
    Tool,
    /// The agent itself.
    Agent,
}

/// One thing that a memory was learnt from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemorySource {
    pub provenance: Provenance,
    /// Of the task's log.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Seq>,
    /// The feedback that it is, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feedback: Option<Uuid>,
    /// Who said it, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserId>,
}

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),* $(,)? })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum $name {
            $($(#[$vdoc])* $variant,)*
        }

        impl $name {
            /// The word used in JSON and in the database.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            pub fn of(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)* _ => None }
            }
        }
    )*};
}

words! {
    /// What made the service try to learn.
    LearningTrigger {
        /// A run has ended.
        Run = "run",
        /// Somebody has said what he thinks of the work.
        Feedback = "feedback",
        /// Somebody has said what was merged, or what reviewers wrote.
        Merge = "merge",
        /// Somebody has decided about a task that has ended.
        Decision = "decision",
    }
    LearningOutcome {
        /// Memories were made or changed.
        Learned = "learned",
        /// There was nothing to learn.
        Nothing = "nothing",
        /// No model was asked: a budget or a limit leaves no room.
        Skipped = "skipped",
        /// The model could not be had, or said nothing that counts.
        Failed = "failed",
    }
}

/// One time that the service tried to learn from a task.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Learning {
    pub id: Uuid,
    pub run: u32,
    pub trigger: LearningTrigger,
    /// Null until it is done.
    pub outcome: Option<LearningOutcome>,
    /// Why there was nothing, or why it failed; for people.
    pub detail: String,
    /// Those that were made or changed; some may be gone since.
    pub memories: Vec<MemoryId>,
    /// The model that was asked last; null where none was.
    pub model: Option<String>,
    /// Calls of it that went out.
    pub calls: u32,
    /// Of those that were answered.
    pub usage: TokenUsage,
    /// Null where the model has no price.
    pub cost_usd: Option<f64>,
    pub created_at: Timestamp,
    pub done_at: Option<Timestamp>,
}
