//! What an event says: its kinds with their data.

use super::{
    cache::CacheUse,
    private::{Formatted, Private},
};
use crate::domain::{
    ApprovalId, CallId, Oid, Phase, Seq, Status, TaskError, TaskId, TaskSpec, Timestamp, UserId, WaitingFor,
    approval::{ApprovalKind, Decision, Remember},
    brief::Language,
    check::{Check, CheckResult, Finding, Verdict},
    instructions::InstructionVersion,
    limits::LimitsPatch,
    mcp::McpServerFound,
    memory::{EmbeddingUse, RecalledMemory, RecalledTask, StaleMemory},
    network::NetworkUse,
    plan::{PlanStep, Planning},
    publish::PublishState,
    review::{ReviewFinding, ReviewedCriterion},
    skill::SkillRef,
    task::{Control, ForkedFrom, OnBusy, TaskResult, UserRef},
    tool::ToolOutcome,
    usage::TokenUsage,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One row of a task's log, as the public sees it.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Event {
    /// From 1 per task, without gaps.
    pub seq: Seq,
    pub task: TaskId,
    /// From 1; a message, retry or resume starts the next.
    pub run: u32,
    /// The number of the model call that it belongs to, from 1 over all runs; 0 before the first.
    pub turn: u32,
    pub at: Timestamp,
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub data: EventData,
}

/// An event with its private part: a whole row of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub event: Event,
    pub private: Option<Private>,
}

/// What started a `recovered` event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecoveredAfter {
    Crash,
    Drain,
    HostLoss,
}

/// Which limit a warning is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitKind {
    Turns,
    WallTime,
    Tokens,
    Cost,
    /// Calls that repeat without anything new.
    Repetition,
    /// What the team or one of its members may spend: nothing is left of it.
    Budget,
}

/// What a call outside the loop is for: without tools, with a prompt of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aside {
    /// To sum the conversation up, for a compaction.
    Summary,
    /// To review the patch.
    Review,
    /// To decide about a call in place of people.
    Approval,
}

/// What became of a call outside the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AsideOutcome {
    Answered,
    /// Answered without a word on its usage: what was reserved for it counts as spent.
    Uncounted,
    /// Its provider refused it or could not be had, or it was never sent: it costs nothing.
    Refused,
    /// Cut short, or the answer broke off: its usage never comes, and what was reserved for it counts as spent.
    Lost,
}

/// Kind and data of an event. The words of `kind` and the fields of `data` are the contract.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "data")]
pub enum EventData {
    #[serde(rename = "task.created")]
    TaskCreated {
        spec: Box<TaskSpec>,
        author: String,
        /// Who asked for it in the author's stead.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        requested_by: Option<UserRef>,
    },
    #[serde(rename = "task.status")]
    TaskStatus { status: Status, waiting_for: Option<WaitingFor>, error: Option<TaskError> },
    #[serde(rename = "task.phase")]
    TaskPhase { phase: Phase },
    /// Somebody asked for a cancel, pause, resume or retry.
    #[serde(rename = "task.control")]
    TaskControl { action: Control, author: String },
    /// All before this was another task's; what follows is this one's own.
    #[serde(rename = "task.forked")]
    TaskForked {
        from: ForkedFrom,
        /// Another model than the other task's goes on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        model: Option<String>,
        author: String,
    },
    /// Title, labels, priority or limits were changed.
    #[serde(rename = "task.updated")]
    TaskUpdated {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        title: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limits: Option<LimitsPatch>,
        author: String,
    },
    /// What the run gave; stands before the `task.status` that ends it.
    #[serde(rename = "task.result")]
    TaskResult { result: Box<TaskResult> },
    /// A setup is run: what it prepares is not here yet.
    #[serde(rename = "setup.started")]
    SetupStarted {
        /// Whose setup it is; null where the service found it out itself.
        environment: Option<String>,
        /// What the service found out; empty where an environment says it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        commands: Vec<String>,
    },
    #[serde(rename = "setup.completed")]
    SetupCompleted {
        /// `ok`, `error` or `timed_out`.
        outcome: ToolOutcome,
        exit_code: Option<i32>,
        duration_ms: u64,
        /// The last 16 KiB of what it said; empty where it was not run.
        output: String,
        /// What it prepares was here already.
        cached: bool,
    },
    #[serde(rename = "brief.ready")]
    BriefReady {
        commit: Option<Oid>,
        languages: Vec<Language>,
        conventions: Vec<String>,
        checks: Vec<Check>,
        files: u32,
        /// The layers that the task was given, the highest first; it keeps these texts.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        instructions: Vec<InstructionVersion>,
        /// What the prompt lists.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        skills: Vec<SkillRef>,
        /// The MCP servers that were asked for tools, by name.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        mcp: Vec<McpServerFound>,
    },
    #[serde(rename = "plan.updated")]
    PlanUpdated { planning: Planning },
    #[serde(rename = "message.user")]
    MessageUser {
        text: String,
        author: String,
        /// The member who said it; absent where that is not known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<UserId>,
        on_busy: OnBusy,
    },
    #[serde(rename = "message.assistant")]
    MessageAssistant { text: String, author: String },
    /// The server's own words to the model.
    #[serde(rename = "message.developer")]
    MessageDeveloper { text: String },
    #[serde(rename = "reasoning")]
    Reasoning { summary: String },
    #[serde(rename = "tool.started")]
    ToolStarted { call: CallId, tool: String, arguments: serde_json::Value },
    #[serde(rename = "tool.completed")]
    ToolCompleted {
        call: CallId,
        tool: String,
        outcome: ToolOutcome,
        output: String,
        exit_code: Option<i32>,
        duration_ms: u64,
    },
    #[serde(rename = "model.started")]
    ModelStarted {
        model: String,
        /// The seqs of the inputs that this call is the first to show: the request, messages,
        /// the server's own words.
        absorbed: Vec<Seq>,
    },
    #[serde(rename = "model.retried")]
    ModelRetried {
        attempt: u32,
        reason: String,
        delay_ms: u64,
        /// The prompt was longer than the model's window: it is made shorter first.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        overflowed: bool,
        /// The model could not be had: this one takes over for the rest of the run.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next_model: Option<String>,
        /// A reply had begun and broke off: what was reserved for it counts as spent.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        broke_off: bool,
    },
    #[serde(rename = "model.completed")]
    ModelCompleted {
        model: String,
        usage: TokenUsage,
        cache: CacheUse,
        cost_usd: Option<f64>,
        duration_ms: u64,
        /// The provider reported no usage: what is here is an estimate, and what was reserved counts as spent.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        estimated: bool,
    },
    /// A call outside the loop begins. One that no `aside.completed` follows counts as lost.
    #[serde(rename = "aside.started")]
    AsideStarted { aside: Aside, model: String },
    #[serde(rename = "aside.completed")]
    AsideCompleted {
        aside: Aside,
        model: String,
        outcome: AsideOutcome,
        /// None unless it was answered.
        usage: TokenUsage,
        cost_usd: Option<f64>,
        /// What was read from a cache would have cost so much more without it; absent where nothing was read, or without a
        /// price.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        saved_usd: Option<f64>,
        duration_ms: u64,
    },
    #[serde(rename = "checks.started")]
    ChecksStarted { cycle: u32, checks: Vec<String> },
    #[serde(rename = "checks.completed")]
    ChecksCompleted {
        verdict: Verdict,
        reason: Option<String>,
        checks: Vec<CheckResult>,
        findings: Vec<Finding>,
        tree: Option<Oid>,
        /// It failed for nothing but tests that the patch weakens, which a person may approve.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        weakened: bool,
    },
    /// The work is done, and the model is asked for its result as JSON.
    #[serde(rename = "output.requested")]
    OutputRequested {
        /// From 1.
        attempt: u32,
        /// What was wrong with the answer before, each with its place as a JSON pointer.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        errors: Vec<String>,
        /// What the model is told.
        text: String,
    },
    /// A reviewer has read the patch, or could not.
    #[serde(rename = "review.completed")]
    ReviewCompleted {
        model: String,
        /// What was reviewed.
        tree: Option<Oid>,
        findings: Vec<ReviewFinding>,
        /// Those that the reviewer spoke of.
        criteria: Vec<ReviewedCriterion>,
        /// The serious findings went back to the model.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        sent_back: bool,
        /// Why there was no review.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failed: Option<String>,
        /// Calls of the reviewer that were answered.
        calls: u32,
        usage: TokenUsage,
        cost_usd: Option<f64>,
    },
    #[serde(rename = "approval.requested")]
    ApprovalRequested {
        approval: ApprovalId,
        kind: ApprovalKind,
        deadline: Timestamp,
        /// The call that waits for it; absent for a plan and for weakened tests.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        call: Option<CallId>,
    },
    /// A model was asked first whether a call may run.
    #[serde(rename = "approval.reviewed")]
    ApprovalReviewed {
        call: CallId,
        model: String,
        /// Absent: it left it to people, or gave nothing that counts.
        decision: Option<Decision>,
        reason: String,
        usage: TokenUsage,
        cost_usd: Option<f64>,
    },
    #[serde(rename = "approval.resolved")]
    ApprovalResolved {
        approval: ApprovalId,
        decision: Decision,
        author: String,
        /// The plan as a person edited it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        plan: Vec<PlanStep>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
        /// To questions, in their order.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        answers: Vec<String>,
        /// How long it holds; absent: for this once.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        remember: Option<Remember>,
    },
    #[serde(rename = "compaction")]
    Compaction {
        tokens_before: u64,
        /// An estimate: the next call tells.
        tokens_after: u64,
        /// Of the call that summarised, where one did.
        #[serde(default)]
        usage: TokenUsage,
        #[serde(default)]
        cost_usd: Option<f64>,
        /// A model wrote the summary; false: what the server had kept stands alone.
        #[serde(default)]
        summarised: bool,
    },
    /// The working copy after the calls of `turn`, as a git tree.
    #[serde(rename = "checkpoint")]
    Checkpoint {
        turn: u32,
        tree: Oid,
        /// The working copy was put back to this tree, which an earlier validation had found the best.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        restored: bool,
        /// Files that the server had the repository's own formatters format, before the checks.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        formatted: Vec<Formatted>,
    },
    #[serde(rename = "limit.warned")]
    LimitWarned {
        limit: LimitKind,
        used: f64,
        limit_value: f64,
        /// Of a shared budget: whose it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        of: Option<String>,
    },
    #[serde(rename = "recovered")]
    Recovered { after: RecoveredAfter, interrupted: Vec<CallId> },
    #[serde(rename = "memory.used")]
    MemoryUsed {
        memories: Vec<RecalledMemory>,
        /// Earlier tasks of the same person on the same repository.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        tasks: Vec<RecalledTask>,
        /// What was not used, as it speaks of files that have changed.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        stale: Vec<StaleMemory>,
        /// Absent where no model for vectors is set.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        embeddings: Option<EmbeddingUse>,
    },
    /// What workspaces of the task reached, or tried to, since this was last said.
    #[serde(rename = "network.used")]
    NetworkUsed {
        /// At most 50, those of the most requests first.
        hosts: Vec<NetworkUse>,
        /// Of further ones: their number alone.
        #[serde(default, skip_serializing_if = "is_zero")]
        others: u32,
        /// In and out, those of further ones too.
        #[serde(default, skip_serializing_if = "is_zero")]
        bytes: u64,
        /// It was the environment's setup, under its own policy.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        setup: bool,
    },
    /// People have allowed the task these hosts, for the rest of it.
    #[serde(rename = "network.allowed")]
    NetworkAllowed { call: CallId, hosts: Vec<String> },
    /// How far a publishing of the task's patch has come.
    #[serde(rename = "publish")]
    Publish {
        publishing: Uuid,
        state: PublishState,
        branch: String,
        /// What stands on the branch.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        commit: Option<Oid>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pull_request_url: Option<String>,
        /// Why it is not done, or not all of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// Who asked for it; absent of what came of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        author: Option<String>,
    },
}

fn is_zero<N: Default + PartialEq>(number: &N) -> bool {
    *number == N::default()
}

impl EventData {
    /// The event's kind, as in JSON.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::TaskCreated { .. } => "task.created",
            Self::TaskStatus { .. } => "task.status",
            Self::TaskPhase { .. } => "task.phase",
            Self::TaskControl { .. } => "task.control",
            Self::TaskForked { .. } => "task.forked",
            Self::TaskUpdated { .. } => "task.updated",
            Self::TaskResult { .. } => "task.result",
            Self::SetupStarted { .. } => "setup.started",
            Self::SetupCompleted { .. } => "setup.completed",
            Self::BriefReady { .. } => "brief.ready",
            Self::PlanUpdated { .. } => "plan.updated",
            Self::MessageUser { .. } => "message.user",
            Self::MessageAssistant { .. } => "message.assistant",
            Self::MessageDeveloper { .. } => "message.developer",
            Self::Reasoning { .. } => "reasoning",
            Self::ToolStarted { .. } => "tool.started",
            Self::ToolCompleted { .. } => "tool.completed",
            Self::ModelStarted { .. } => "model.started",
            Self::ModelRetried { .. } => "model.retried",
            Self::ModelCompleted { .. } => "model.completed",
            Self::AsideStarted { .. } => "aside.started",
            Self::AsideCompleted { .. } => "aside.completed",
            Self::ChecksStarted { .. } => "checks.started",
            Self::ChecksCompleted { .. } => "checks.completed",
            Self::OutputRequested { .. } => "output.requested",
            Self::ReviewCompleted { .. } => "review.completed",
            Self::ApprovalRequested { .. } => "approval.requested",
            Self::ApprovalReviewed { .. } => "approval.reviewed",
            Self::ApprovalResolved { .. } => "approval.resolved",
            Self::Compaction { .. } => "compaction",
            Self::Checkpoint { .. } => "checkpoint",
            Self::LimitWarned { .. } => "limit.warned",
            Self::Recovered { .. } => "recovered",
            Self::MemoryUsed { .. } => "memory.used",
            Self::NetworkUsed { .. } => "network.used",
            Self::NetworkAllowed { .. } => "network.allowed",
            Self::Publish { .. } => "publish",
        }
    }
}
