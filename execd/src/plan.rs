//! What `execd launch` and `execd confine` are told by the server: their last argument, as JSON.

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

/// What `execd confine` is told: the one program of a throwaway sandbox, and its limits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confined {
    pub program: String,
    pub arguments: Vec<String>,
    /// The uid and gid to become, where the sandbox was made by root.
    pub owner: Option<(u32, u32)>,
    /// Memory that each process can write to, in bytes.
    pub data_bytes: u64,
    pub cpu_seconds: u64,
    /// Processes and threads of the user.
    pub processes: u64,
    pub open_files: u64,
}
