//! What people have told the agent for every task: the operator's layer for all teams, a team's own
//! below it.

use super::BlobHash;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Bytes of one layer's text, at most.
pub const INSTRUCTIONS_BYTES_MAX: usize = 16 << 10;

/// Whose words they are; an earlier layer outranks a later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum InstructionLayer {
    Operator,
    Team,
}

/// Which text of a layer a task was given at its start, and keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InstructionVersion {
    pub layer: InstructionLayer,
    /// Of a team's: as in its list of versions. The operator's are known by their digest alone.
    #[serde(default)]
    pub version: Option<u32>,
    /// The SHA-256 of the text in hexadecimal digits.
    pub digest: BlobHash,
}
