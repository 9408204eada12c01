//! What a session is made of.

use super::Session;
use crate::agent::{ledger::Ledger, weight::Weight};
use crate::domain::{
    ApprovalId, BlobHash, CallId, Item, Oid, Seq,
    approval::Decision,
    brief::{Package, Prohibition},
    check::{Check, CheckResult, Finding, Verdict},
    event::{PatchPaths, PromptHead},
    mcp::McpTool,
    plan::{PlanStep, Planning},
    rule::Rules,
    task::PatchStat,
    tool::ToolCall,
};
use std::collections::BTreeMap;

/// One call of the last reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingCall {
    pub call: ToolCall,
    pub started: bool,
    /// Where the log says so.
    pub started_at: Option<Seq>,
    pub completed: bool,
    /// It was cut off: its outcome is not known.
    pub interrupted: bool,
    /// The reply was cut at its maximal length, and this is its last call: it may not have come whole.
    pub cut: bool,
}

/// The brief as the prompt has it, with what was pinned for the task.
#[derive(Clone, Debug, PartialEq)]
pub struct Briefed {
    pub text: String,
    pub head: PromptHead,
    pub commit: Option<Oid>,
    pub base_tree: Oid,
    /// Detected checks; the task's own come before them.
    pub checks: Vec<Check>,
    pub packages: Vec<Package>,
    /// What the request forbids.
    pub prohibitions: Vec<Prohibition>,
    /// The layers of instructions as they stand in the prompt, the highest first.
    pub instructions: Vec<String>,
    /// Tools of MCP servers that the model was given.
    pub mcp: Vec<McpTool>,
    /// What the opening says of the task itself, as it was when the task started.
    pub facts: Option<String>,
    /// The rules about commands that hold for this task.
    pub rules: Option<Rules>,
    /// Which rules of the loop hold; see [`LOOP_VERSION`](crate::domain::event::LOOP_VERSION).
    pub loop_version: u32,
}

/// What a call may cost at most.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reserved {
    pub tokens: u64,
    pub cost_usd: Option<f64>,
}

impl Reserved {
    /// Both together.
    pub(in crate::agent) fn and(self, other: Self) -> Self {
        let cost_usd = match (self.cost_usd, other.cost_usd) {
            (Some(one), Some(other)) => Some(one + other),
            (one, other) => one.or(other),
        };
        Self { tokens: self.tokens.saturating_add(other.tokens), cost_usd }
    }
}

/// The newest checkpoint: a tree and the blob with its difference from the base.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointRef {
    pub tree: Oid,
    pub delta: BlobHash,
}

/// The patch of a task when it began to rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AtRest {
    pub tree: Oid,
    pub stat: PatchStat,
    /// Of each prohibition of the brief, whether the patch has a path that it forbids.
    pub broken: Vec<bool>,
}

/// A reply without tool calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastWords {
    pub text: String,
    pub cut: bool,
}

/// What the last validation gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    pub verdict: Verdict,
    pub reason: Option<String>,
    pub checks: Vec<CheckResult>,
    pub findings: Vec<Finding>,
    /// Of the patch that was validated; absent where there was none, and in tasks of earlier builds.
    pub paths: Option<PatchPaths>,
    /// It failed for nothing but tests that the patch weakens.
    pub weakened: bool,
}

/// A tree whose weakened tests were put to people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weakening {
    pub id: ApprovalId,
    pub tree: Option<Oid>,
    pub decided: Option<(Decision, Option<String>)>,
}

impl Weakening {
    /// It is about the tree that the working copy has.
    pub(in crate::agent) fn is_of(&self, session: &Session) -> bool {
        self.tree.as_ref() == session.checkpoint.as_ref().map(|checkpoint| &checkpoint.tree)
    }

    pub(in crate::agent) fn is_denied(&self) -> bool {
        matches!(self.decided, Some((Decision::Deny | Decision::Answer, _)))
    }
}

/// Where the task's patch was published last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::agent) struct Published {
    pub branch: String,
    pub pull_request_url: Option<String>,
}

/// A plan that was put to people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanApproval {
    pub id: ApprovalId,
    pub decision: Option<(Decision, Vec<PlanStep>, Option<String>)>,
}

/// What was put to people for a call of the last reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub id: ApprovalId,
    pub call: CallId,
    pub decided: Option<Decided>,
}

/// What people, or a deadline, have decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    pub decision: Decision,
    pub answers: Vec<String>,
    pub note: Option<String>,
}

/// An input waiting for a model call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    pub item: Item,
    /// To be shown only when the present run has ended.
    pub queued_in_run: Option<u32>,
    /// What runs is cut off for it.
    pub interrupts: bool,
    /// Shown with the next call, and no reason for one.
    pub quiet: bool,
}

/// Where a retry goes back to.
#[derive(Clone, Debug, Default)]
pub(in crate::agent) struct RunStart {
    pub opened: bool,
    pub items: usize,
    /// The items at the run's start, where a compaction has replaced them since.
    pub replaced: Option<Vec<Item>>,
    /// The size of the prompt and what was kept of the course, at the run's start.
    pub context_tokens: u64,
    pub added_bytes: u64,
    pub weight: Weight,
    pub ledger: Ledger,
    pub checkpoint: Option<CheckpointRef>,
    pub patch: Option<BlobHash>,
    pub planning: Option<Planning>,
    /// People's words of this run, shown or not.
    pub said: BTreeMap<Seq, Input>,
}
