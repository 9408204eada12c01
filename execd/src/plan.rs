//! What `execd launch` is told by the server: its one argument, as JSON.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The bubblewrap executable.
    pub bwrap: String,
    /// Its arguments up to the files, `mounts` first…
    pub mounts: Vec<String>,
    /// …then small files that are made in the sandbox (path inside, content)…
    pub files: Vec<(String, String)>,
    /// …then the rest with the command.
    pub then: Vec<String>,
    /// `cgroup.procs` of the cgroups to enter.
    pub cgroup_procs: Vec<String>,
    pub nice: Option<i32>,
}
