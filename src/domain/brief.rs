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

/// A package of the repository, as far as validation goes: by directory, whatever its ecosystem.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Package {
    /// From the root, with `/`; empty: the root itself.
    pub directory: String,
    /// Directories of the packages that it needs, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<String>,
    /// What tests it alone; present only where these tests together do what the repository's one check does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<Check>,
}

/// Something that the request forbids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Prohibition {
    /// The sentence, as the request has it.
    pub text: String,
    /// Globs of paths that must stay as they are, relative to the repository's root: a file, a
    /// directory with all below it (`src/legacy/**`), or what the request itself wrote as a glob.
    /// Empty where words alone say what is forbidden.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
}

/// The brief: `text` is what the model reads, the rest is for programs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Brief {
    pub languages: Vec<Language>,
    /// Files that were read as conventions (`AGENTS.md` and the like), by path.
    pub conventions: Vec<String>,
    /// Commands found to build, test or lint this repository.
    pub checks: Vec<Check>,
    /// Sorted by directory; none where they are too many or too entangled to say what a change reaches.
    pub packages: Vec<Package>,
    /// In the order of the request.
    pub prohibitions: Vec<Prohibition>,
    pub files: u32,
    pub text: String,
}
