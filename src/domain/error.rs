//! How a task can fail.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Why a task failed, as a word that programs may rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    LimitTurns,
    LimitWallTime,
    LimitTokens,
    LimitCost,
    Stuck,
    ChecksFailed,
    ModelUnavailable,
    ModelRejected,
    RepositoryUnreachable,
    WorkspaceFailed,
    OutputSchema,
    Internal,
}

/// What a failed task says of its failure. `message` is for people: it names the thing and the
/// mend, and holds no secret and no path of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskError {
    pub code: ErrorCode,
    pub message: String,
}

impl TaskError {
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}
