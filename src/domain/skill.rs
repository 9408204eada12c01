//! Skills: folders with a `SKILL.md` that tells how a kind of work is done, read when it is needed.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Who keeps a skill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SkillSource {
    /// Ranks with the operator's instructions.
    Operator,
    /// Data of the repository, as its conventions are.
    Repository,
}

/// A skill that a task was told of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SkillRef {
    pub name: String,
    pub source: SkillSource,
}
