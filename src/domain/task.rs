//! A task as callers ask for it and as they see it.

use super::{
    BlobHash, Oid, Seq, TaskError, TaskId, TeamId, Timestamp, UploadId, UserId,
    approval::Decision,
    check::{Check, CheckResult, Finding, Verdict},
    environment::PinnedEnvironment,
    limits::Limits,
    memory::{RecalledMemory, RecalledTask},
    plan::Planning,
    usage::Usage,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// The version of the log that this build writes.
pub const LOG_VERSION: i32 = 1;

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),* $(,)? })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
        pub enum $name {
            $($(#[$vdoc])* #[serde(rename = $word)] $variant,)*
        }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The word used in JSON and in the database.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl std::str::FromStr for $name {
            type Err = UnknownWord;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($word => Ok(Self::$variant),)*
                    _ => Err(UnknownWord(&[$($word),*])),
                }
            }
        }
    )*};
}

/// A word outside its list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownWord(pub &'static [&'static str]);

impl std::fmt::Display for UnknownWord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "must be one of {}", self.0.join(", "))
    }
}

impl std::error::Error for UnknownWord {}

words! {
    Status {
        Queued = "queued",
        Running = "running",
        Waiting = "waiting",
        Succeeded = "succeeded",
        Failed = "failed",
        Cancelled = "cancelled",
    }
    WaitingFor {
        Approval = "approval",
        Input = "input",
        Paused = "paused",
        Capacity = "capacity",
    }
    Phase {
        /// Until the first model call.
        Analysis = "analysis",
        /// Until the first mutating call.
        Planning = "planning",
        Generation = "generation",
        Validation = "validation",
        /// From failures sent back.
        Refinement = "refinement",
    }
    Mode {
        /// The model's own doing decides: edits make it a change, none an answer.
        Auto = "auto",
        Change = "change",
        /// No edits, no checks.
        Answer = "answer",
        /// A plan and nothing else.
        Plan = "plan",
    }
    ApprovalPolicy {
        Never = "never",
        Plan = "plan",
        OnRisk = "on_risk",
        Always = "always",
    }
    NetworkMode {
        Off = "off",
        Allowlist = "allowlist",
        Open = "open",
    }
    SourceKind {
        Api = "api",
        Cli = "cli",
        Github = "github",
        Gitlab = "gitlab",
        Gitea = "gitea",
        Jira = "jira",
        Linear = "linear",
    }
    OnBusy {
        /// Before the next model call.
        Steer = "steer",
        /// When the present run has ended, as the next.
        Queue = "queue",
        /// Now: what runs is cut off.
        Interrupt = "interrupt",
    }
    Control {
        Cancel = "cancel",
        Pause = "pause",
        Resume = "resume",
        Retry = "retry",
    }
}

impl ApprovalPolicy {
    /// Whether people approve the plan before anything is changed.
    pub fn asks_for_plans(self) -> bool {
        matches!(self, Self::Plan | Self::Always)
    }

    /// Whether people are asked about calls before they run.
    pub fn asks_for_calls(self) -> bool {
        matches!(self, Self::OnRisk | Self::Always)
    }
}

impl WaitingFor {
    /// A row of people's pending list stands behind it.
    pub fn is_for_people(self) -> bool {
        matches!(self, Self::Approval | Self::Input)
    }
}

impl Status {
    /// No run is under way and none will start by itself.
    pub fn is_end(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    /// Neither queued nor running.
    pub fn is_rest(self) -> bool {
        self.is_end() || self == Self::Waiting
    }
}

/// Where the code comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum RepositorySource {
    Git {
        url: String,
        /// Absent: the remote's HEAD.
        #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
        reference: Option<String>,
    },
    Upload {
        upload: UploadId,
        #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
        reference: Option<String>,
    },
}

/// What a workspace may reach. [`super::network`] tells what the entries mean.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NetworkPolicy {
    pub mode: NetworkMode,
    #[serde(default)]
    pub hosts: Vec<String>,
    /// The HTTP methods that may be used; none: all. Where there are some, TLS is read by the proxy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// The most that may go in and out together while one workspace is open; absent: the operator's limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_mib: Option<u32>,
}

impl Default for NetworkPolicy {
    fn default() -> Self {
        Self { mode: NetworkMode::Off, hosts: Vec::new(), methods: Vec::new(), max_mib: None }
    }
}

/// What made the task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Source {
    pub kind: SourceKind,
    #[serde(default)]
    pub url: Option<String>,
    #[serde(default)]
    pub integration: Option<uuid::Uuid>,
    /// It is done for somebody who is no member of the team, such as the author of an issue: nobody else learns from it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub outsider: bool,
    /// Words of somebody are in it of whom nobody says that he may: it gets no secrets, and people are asked before anything
    /// of it is published.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub untrusted: bool,
}

impl Source {
    pub fn of(kind: SourceKind) -> Self {
        Self { kind, url: None, integration: None, outsider: false, untrusted: false }
    }
}

/// What is asked for, with every default filled in. Kept whole in `task.created`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TaskSpec {
    pub request: String,
    pub title: String,
    pub mode: Mode,
    pub repository: Option<RepositorySource>,
    /// A name from the service's list of models.
    pub model: String,
    /// The environment's name or id, as the caller gave it.
    pub environment: Option<String>,
    /// What the environment said when the task was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned: Option<Box<PinnedEnvironment>>,
    pub checks: Vec<Check>,
    pub limits: Limits,
    pub approval: ApprovalPolicy,
    /// How long people have to decide or to answer; absent: a day.
    #[serde(default)]
    pub approval_deadline_seconds: Option<u32>,
    /// What holds for a plan or a command when nobody has decided by then; absent: deny.
    #[serde(default)]
    pub approval_default: Option<Decision>,
    pub network: NetworkPolicy,
    #[schema(value_type = Option<Object>)]
    pub output_schema: Option<serde_json::Value>,
    /// From -100 to 100; the higher goes first among one user's tasks.
    pub priority: i16,
    pub labels: BTreeMap<String, String>,
    pub source: Source,
}

impl TaskSpec {
    /// Whether the model may ask people for hosts.
    pub fn asks_for_network(&self) -> bool {
        self.approval.asks_for_calls() && self.network.mode != NetworkMode::Open
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CriterionStatus {
    Met,
    Unmet,
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CriterionResult {
    pub text: String,
    pub status: CriterionStatus,
    /// What shows it: checks, tests, paths, or what a reviewer said of it. Absent where nothing is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PatchStat {
    pub files: u32,
    pub additions: u32,
    pub deletions: u32,
}

/// What a run gave.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TaskResult {
    /// The model's last words.
    pub summary: Option<String>,
    /// The model's last words where the task was a question.
    pub answer: Option<String>,
    pub verdict: Option<Verdict>,
    pub reason: Option<String>,
    pub criteria: Vec<CriterionResult>,
    pub checks: Vec<CheckResult>,
    pub patch: Option<PatchStat>,
    pub findings: Vec<Finding>,
    pub memories: Vec<RecalledMemory>,
    /// Earlier tasks that were recalled with them.
    #[serde(default)]
    pub earlier_tasks: Vec<RecalledTask>,
    pub branch: Option<String>,
    pub pull_request_url: Option<String>,
    /// What `output_schema` asked for, of whatever type it says.
    #[schema(value_type = Value)]
    pub structured: Option<serde_json::Value>,
}

/// The repository of a task, with the commit once it is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskRepository {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upload: Option<UploadId>,
    #[serde(rename = "ref")]
    pub reference: Option<String>,
    pub commit: Option<Oid>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TeamRef {
    pub id: TeamId,
    pub name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UserRef {
    pub id: UserId,
    pub name: String,
}

/// The task and the seq after which a fork went its own way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ForkedFrom {
    pub task: TaskId,
    /// The last seq that both have. Less than what was asked for where the conversation could not go on there.
    pub seq: Seq,
}

/// What the worker knows of a task beyond its indexed columns, written with each commit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskDetail {
    pub commit: Option<Oid>,
    pub planning: Option<Planning>,
    pub usage: Usage,
    pub result: Option<TaskResult>,
    pub error: Option<TaskError>,
    /// The patch of the last checkpoint at rest, as a blob.
    pub patch: Option<BlobHash>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forked_from: Option<ForkedFrom>,
}

/// A task as the API shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Task {
    pub id: TaskId,
    pub status: Status,
    pub phase: Phase,
    pub title: String,
    pub request: String,
    pub mode: Mode,
    pub repository: Option<TaskRepository>,
    pub model: String,
    pub environment: Option<String>,
    pub source: Source,
    pub labels: BTreeMap<String, String>,
    pub priority: i16,
    pub team: TeamRef,
    pub created_by: UserRef,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub run: u32,
    pub waiting_for: Option<WaitingFor>,
    pub cancel_requested: bool,
    pub limits: Limits,
    pub approval: ApprovalPolicy,
    pub planning: Option<Planning>,
    pub usage: Usage,
    pub result: Option<TaskResult>,
    pub error: Option<TaskError>,
    /// Of a fork: where it comes from.
    #[serde(default)]
    pub forked_from: Option<ForkedFrom>,
    pub last_seq: Seq,
}
