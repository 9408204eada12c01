//! What the API answers, as this client reads it: fields, kinds and words that it does not know
//! are passed over, so that it works with later servers too.

use crate::domain::{
    Timestamp,
    check::{CheckResult, Finding},
    event::{Event, EventData},
    plan::Planning,
    task::{CriterionResult, PatchStat},
    usage::Usage,
};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::Value;

/// One event of a stream or a page.
#[derive(Clone, Debug)]
pub struct EventView {
    pub seq: i64,
    pub turn: u32,
    pub at: Option<Timestamp>,
    pub kind: String,
    /// The data, where this build knows the kind and all of its words.
    pub known: Option<EventData>,
    /// The whole event as it came.
    pub raw: Value,
}

impl EventView {
    /// Reads an event; `None` where it has no kind at all.
    pub fn read(raw: Value) -> Option<Self> {
        let kind = raw.get("kind")?.as_str()?.to_owned();
        let data = raw.get("data").cloned().unwrap_or_default();
        Some(Self {
            seq: raw.get("seq").and_then(Value::as_i64).unwrap_or_default(),
            turn: raw.get("turn").and_then(Value::as_u64).unwrap_or_default() as u32,
            at: raw.get("at").and_then(|at| Timestamp::deserialize(at).ok()),
            known: serde_json::from_value(serde_json::json!({ "kind": kind, "data": data })).ok(),
            kind,
            raw,
        })
    }
}

impl From<&Event> for EventView {
    fn from(event: &Event) -> Self {
        Self {
            seq: event.seq,
            turn: event.turn,
            at: Some(event.at),
            kind: event.data.kind().to_owned(),
            known: Some(event.data.clone()),
            raw: serde_json::to_value(event).unwrap_or_default(),
        }
    }
}

/// A task, as far as this client shows it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct TaskView {
    pub id: String,
    pub status: String,
    pub phase: String,
    pub title: String,
    pub request: String,
    pub model: String,
    pub run: u32,
    pub waiting_for: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub repository: Option<RepositoryView>,
    #[serde(deserialize_with = "lenient")]
    pub created_by: Option<NamedView>,
    #[serde(deserialize_with = "lenient")]
    pub team: Option<NamedView>,
    #[serde(deserialize_with = "lenient")]
    pub created_at: Option<Timestamp>,
    #[serde(deserialize_with = "lenient")]
    pub started_at: Option<Timestamp>,
    #[serde(deserialize_with = "lenient")]
    pub finished_at: Option<Timestamp>,
    #[serde(deserialize_with = "lenient")]
    pub planning: Option<Planning>,
    #[serde(deserialize_with = "lenient")]
    pub usage: Option<Usage>,
    #[serde(deserialize_with = "lenient")]
    pub result: Option<ResultView>,
    #[serde(deserialize_with = "lenient")]
    pub error: Option<ErrorView>,
    pub last_seq: i64,
}

impl TaskView {
    /// No run is under way and none will start by itself.
    pub fn is_end(&self) -> bool {
        matches!(self.status.as_str(), "succeeded" | "failed" | "cancelled")
    }

    pub fn verdict(&self) -> Option<&str> {
        self.result.as_ref()?.verdict.as_deref()
    }

    /// The front of the id, as far as people need it.
    pub fn short_id(&self) -> &str {
        self.id.get(..13).unwrap_or(&self.id)
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct RepositoryView {
    pub url: Option<String>,
    #[serde(rename = "ref")]
    pub reference: Option<String>,
    pub commit: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NamedView {
    pub name: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ErrorView {
    pub code: String,
    pub message: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ResultView {
    pub summary: Option<String>,
    pub answer: Option<String>,
    pub verdict: Option<String>,
    pub reason: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub criteria: Option<Vec<CriterionResult>>,
    #[serde(deserialize_with = "lenient")]
    pub checks: Option<Vec<CheckResult>>,
    #[serde(deserialize_with = "lenient")]
    pub patch: Option<PatchStat>,
    #[serde(deserialize_with = "lenient")]
    pub findings: Option<Vec<Finding>>,
    pub branch: Option<String>,
    pub pull_request_url: Option<String>,
    pub structured: Option<Value>,
}

/// An approval that somebody waits for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ApprovalView {
    pub id: String,
    pub kind: String,
    pub subject: Value,
    pub deadline: Option<String>,
    pub decision: Option<String>,
}

/// The value, or `None` where this build cannot read it.
fn lenient<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    Ok(serde_json::from_value(Value::deserialize(deserializer)?).ok())
}
