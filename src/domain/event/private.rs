//! The part of a row that only the fold reads, and what it is made of.

use crate::domain::{
    BlobHash, Oid,
    brief::{Package, Prohibition},
    environment::DetectedSetup,
    item::{DeveloperRole, Item, Reply},
    mcp::McpTool,
    rule::Rules,
    task::PatchStat,
    tool::ToolSpec,
};
use serde::{Deserialize, Serialize};

/// The fixed head of a task's prompt, pinned at its start so that an upgrade in mid-task breaks
/// no prefix. The contents lie in blobs, shared by all tasks that have the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromptHead {
    pub instructions: BlobHash,
    pub tools: BlobHash,
    /// Absent in tasks of earlier builds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form: Option<PromptForm>,
    /// Of instructions and tools together; 0 in tasks of earlier builds.
    #[serde(default)]
    pub bytes: u64,
}

/// What the settings say of a model and its prompt's bytes follow from: as it was when the task
/// started. Its tools and its edit format are in [`PromptHead::tools`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromptForm {
    /// The model that this is of; another's is as the settings have it.
    pub model: String,
    /// The provider's name of it. Empty in tasks of earlier builds.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub model_id: String,
    pub developer_role: DeveloperRole,
    pub parallel_tool_calls: bool,
    pub reasoning_effort: Option<String>,
    /// Tokens of thought, of models that want a number. Absent in tasks of earlier builds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thinking_budget: Option<u32>,
}

/// The rules of the loop that a task is pinned to when it starts, so that a log is decided again as it was written:
/// 1: a criterion is met only by what speaks of it; plans that were approved are kept to; patches without checks are
///    scanned.
/// 2: digits and long runs count as dense, by which limits are kept, and a cap counts what has a price also beside what
///    has none; the last call of a reply that was cut is run only where it came whole, and the model is told; what a
///    run changed without the plan that it needs is put back; an announcement of work that is not done goes back, and a
///    plan of an earlier run is none of this one; a plan task's verdict is `no_change`; processes that commands left
///    may have written; a validation that a drain cut off is run again.
pub const LOOP_VERSION: u32 = 2;

/// What [`PromptHead::tools`] holds.
pub type ToolSpecs = Vec<ToolSpec>;

/// A working copy as its difference from the base tree, all of whose contents are blobs of the
/// team: enough to restore it on any host that can fetch the base.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeDelta {
    /// Sorted by path.
    pub changed: Vec<DeltaEntry>,
    /// Paths of the base that are gone, sorted.
    pub deleted: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeltaEntry {
    pub path: String,
    /// As git writes it: 0o100644, 0o100755, 0o120000.
    pub mode: u32,
    /// The git blob id of the content.
    pub oid: Oid,
    /// The same content in the team's blobs.
    pub content: BlobHash,
}

/// The paths of a patch, each list sorted, 300 at most together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatchPaths {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<String>,
    /// There are more than are told here.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
}

impl PatchPaths {
    pub fn all(&self) -> impl Iterator<Item = &String> {
        self.added.iter().chain(&self.changed).chain(&self.removed)
    }
}

/// A file that a formatter of the repository's own has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Formatted {
    pub path: String,
    /// The formatter, such as `rustfmt`.
    pub by: String,
}

/// The part of a row that only the fold reads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "one at a time: each is folded and let go")]
pub enum Private {
    /// Of `brief.ready`.
    Brief {
        head: PromptHead,
        text: String,
        base_tree: Oid,
        /// None in tasks of earlier builds.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        packages: Vec<Package>,
        /// None in tasks of earlier builds.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        prohibitions: Vec<Prohibition>,
        /// The layers of instructions as they stand in the prompt, the highest first. None in tasks of
        /// earlier builds.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        instructions: Vec<String>,
        /// Tools of MCP servers among those of the head, sorted by name. None in tasks of earlier builds.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        mcp: Vec<McpTool>,
        /// What the prompt's opening says of the task itself; absent in tasks of earlier builds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        facts: Option<String>,
        /// None in tasks of earlier builds, and where no rule could matter.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rules: Option<Rules>,
        /// Which rules of the loop hold for the task; 0 in tasks of earlier builds.
        #[serde(default)]
        loop_version: u32,
    },
    /// Of `setup.completed`: the key under which what it prepared is kept.
    Prepared {
        key: String,
        /// Where there is no environment that says what is run.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        detected: Option<Box<DetectedSetup>>,
    },
    /// Of `model.started` and `aside.started`: what the call may cost at most. Where its usage does not come, this
    /// is spent.
    Reserved {
        tokens: u64,
        cost_usd: Option<f64>,
        /// The call that was begun before was never sent.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        instead: bool,
    },
    /// Of `recovered`: what the next call tells the model, and whether that is a reason for one.
    Told {
        text: String,
        #[serde(default)]
        calls: bool,
    },
    /// Of `memory.used`: the text as it stands in the prompt; empty where there is none.
    Memory {
        text: String,
        /// One that it had was deleted since: the prompt was another.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        forgotten: bool,
    },
    /// Of `model.completed`.
    Reply(Reply),
    /// Of `tool.completed`: the whole output, where more was given than the event holds, and
    /// whether files may have changed.
    Output {
        blob: Option<BlobHash>,
        changed_files: bool,
        /// Bytes at the beginning that are the server's own words and not the command's output.
        #[serde(default)]
        head_bytes: u32,
    },
    /// Of `compaction`: what stands after the prompt's opening from then on.
    Compaction {
        items: Vec<Item>,
        /// The opening as far as the model's window has room for it; absent: whole.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        opening: Option<Vec<Item>>,
    },
    /// Of `checkpoint`: a blob with the [`TreeDelta`] as JSON.
    Checkpoint {
        delta: BlobHash,
        /// What the next call tells the model of it, whenever it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        told: Option<String>,
    },
    /// Of the `task.status` with which a task waits: its patch at that tree, for an end that no worker writes.
    Rest {
        tree: Oid,
        blob: BlobHash,
        stat: PatchStat,
        /// Of each prohibition of the brief, whether the patch has a path that it forbids.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        broken: Vec<bool>,
    },
    /// Of `checks.completed` and `task.result`: the patch, as a blob.
    Patch {
        blob: BlobHash,
        /// Its paths that the request forbids, as far as they were looked for; sorted, at most 50.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        forbidden: Vec<String>,
        /// Of `checks.completed`; absent in tasks of earlier builds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        paths: Option<PatchPaths>,
    },
}
