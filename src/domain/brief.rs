//! What the server found out about a repository before the model's first call.

use super::check::Check;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A language with what shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Language {
    pub name: String,
    pub files: u32,
}

/// The brief: `text` is what the model reads, the rest is for programs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Brief {
    pub languages: Vec<Language>,
    /// Files that were read as conventions (`AGENTS.md` and the like), by path.
    pub conventions: Vec<String>,
    /// Commands found to build, test or lint this repository.
    pub checks: Vec<Check>,
    pub files: u32,
    pub text: String,
}
