//! A server as the operator describes it.

use std::{collections::BTreeMap, time::Duration};
use url::Url;

/// One `[[mcp_servers]]` entry.
#[derive(Clone, Debug)]
pub struct Server {
    /// Letters, digits, `-` and single `_`; at most 24 of them.
    pub name: String,
    pub place: Place,
    /// The tools that are taken; absent: all.
    pub tools: Option<Vec<String>>,
    /// Of one call, and of the start with its list of tools.
    pub timeout: Duration,
    pub effects: Effects,
    /// Its descriptions and results are taken as the operator's own words.
    pub trusted: bool,
}

/// Where a server is.
#[derive(Clone)]
pub enum Place {
    /// A process inside the workspace.
    Workspace { command: Vec<String>, env: BTreeMap<String, String> },
    /// Streamable HTTP, spoken by this process.
    Http { url: Url, headers: BTreeMap<String, String> },
}

impl std::fmt::Debug for Place {
    /// Without values, which may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Workspace { command, env } => {
                f.debug_struct("Workspace").field("command", command).field("env", &env.keys()).finish()
            }
            Self::Http { url, headers } => {
                f.debug_struct("Http").field("url", &url.host_str()).field("headers", &headers.keys()).finish()
            }
        }
    }
}

/// What a call of its tools may do, by the operator's word; hints of the server do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effects {
    /// Nothing but reading: calls run side by side, need no plan and are run again after a crash.
    Reads,
    /// Anything: a call needs a plan, and is never repeated by the server.
    Runs,
}
