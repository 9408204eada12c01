//! What other systems are told by webhook: of which kinds of events, and what of each. That is ids and states, never what
//! people, models or tools wrote.

use super::EventData;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

/// The kinds of a task's log.
pub const EVENT_KINDS: [&str; 37] = [
    "task.created",
    "task.status",
    "task.phase",
    "task.control",
    "task.forked",
    "task.updated",
    "task.result",
    "setup.started",
    "setup.completed",
    "brief.ready",
    "plan.updated",
    "message.user",
    "message.assistant",
    "message.developer",
    "reasoning",
    "tool.started",
    "tool.completed",
    "model.started",
    "model.retried",
    "model.completed",
    "aside.started",
    "aside.completed",
    "checks.started",
    "checks.completed",
    "output.requested",
    "review.completed",
    "approval.requested",
    "approval.reviewed",
    "approval.resolved",
    "compaction",
    "checkpoint",
    "limit.warned",
    "recovered",
    "memory.used",
    "network.used",
    "network.allowed",
    "publish",
];

/// The service has disabled another endpoint of the team.
pub const DISABLED_KIND: &str = "webhook_endpoint.disabled";
/// Asked for by a person, for one endpoint, whatever it wants otherwise.
pub const TEST_KIND: &str = "webhook.test";

/// Every kind that an endpoint can want.
pub fn kinds() -> impl Iterator<Item = &'static str> {
    EVENT_KINDS.into_iter().chain([DISABLED_KIND])
}

/// Whether something can be meant by it: `*`, a kind, or what stands before the kinds' dot and `.*`.
pub fn is_filter(text: &str) -> bool {
    text == "*"
        || kinds().any(|kind| kind == text || kind.split_once('.').is_some_and(|(room, _)| text == filter(room)))
}

fn filter(room: &str) -> String {
    format!("{room}.*")
}

/// Why the service disabled an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DisabledReason {
    /// It answered 410.
    Gone,
    /// Nothing has arrived for days.
    Failing,
}

impl DisabledReason {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Failing => "failing",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        [Self::Gone, Self::Failing].into_iter().find(|one| one.as_str() == word)
    }
}

/// How far a delivery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// It is sent, or sent again, when its time has come.
    Pending,
    /// It was answered with 2xx.
    Delivered,
    /// It is not tried any more, but by hand.
    Dead,
}

impl DeliveryState {
    pub const ALL: [Self; 3] = [Self::Pending, Self::Delivered, Self::Dead];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
        }
    }
}

impl std::str::FromStr for DeliveryState {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|one| one.as_str() == text).ok_or("must be pending, delivered or dead")
    }
}

/// What of an event goes out besides its place: ids and states.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts(Map<String, Value>);

impl Facts {
    pub fn of(event: &EventData) -> Self {
        let facts = match event {
            EventData::TaskCreated { spec, .. } => json!({ "mode": spec.mode, "source": spec.source.kind }),
            EventData::TaskStatus { status, waiting_for, error } => json!({
                "status": status, "waiting_for": waiting_for, "error": error.as_ref().map(|error| error.code),
            }),
            EventData::TaskPhase { phase } => json!({ "phase": phase }),
            EventData::TaskControl { action, .. } => json!({ "action": action }),
            EventData::TaskForked { from, .. } => json!({ "from": from }),
            EventData::TaskResult { result } => json!({ "verdict": result.verdict }),
            EventData::SetupCompleted { outcome, cached, .. } => json!({ "outcome": outcome, "cached": cached }),
            EventData::PlanUpdated { planning } => json!({ "revision": planning.revision }),
            EventData::ToolStarted { call, .. } => json!({ "call": call }),
            EventData::ToolCompleted { call, outcome, exit_code, .. } => {
                json!({ "call": call, "outcome": outcome, "exit_code": exit_code })
            }
            EventData::AsideStarted { aside, .. } => json!({ "aside": aside }),
            EventData::AsideCompleted { aside, outcome, .. } => json!({ "aside": aside, "outcome": outcome }),
            EventData::ChecksStarted { cycle, .. } => json!({ "cycle": cycle }),
            EventData::ChecksCompleted { verdict, .. } => json!({ "verdict": verdict }),
            EventData::ApprovalRequested { approval, kind, deadline, .. } => {
                json!({ "approval": approval, "kind": kind, "deadline": deadline })
            }
            EventData::ApprovalResolved { approval, decision, .. } => {
                json!({ "approval": approval, "decision": decision })
            }
            EventData::LimitWarned { limit, .. } => json!({ "limit": limit }),
            EventData::Recovered { after, .. } => json!({ "after": after }),
            EventData::Publish { publishing, state, commit, pull_request_url, .. } => json!({
                "publishing": publishing, "state": state, "commit": commit, "pull_request_url": pull_request_url,
            }),
            _ => Value::Null,
        };
        match facts {
            Value::Object(facts) => Self(facts),
            _ => Self::default(),
        }
    }

    /// As they stand behind other fields of a JSON object: `,"status":"queued"`, or nothing.
    pub fn behind(&self) -> String {
        if self.0.is_empty() {
            return String::new();
        }
        let text = Value::Object(self.0.clone()).to_string();
        format!(",{}", &text[1..text.len() - 1])
    }
}
