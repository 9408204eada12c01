//! How tasks look to the outside. What is stored as JSON goes out as it is: a task that is asked
//! for often is not taken apart and put together each time.

use super::error::Error;
use crate::{
    domain::{
        Principal, TaskError, TaskId, Timestamp,
        check::Verdict,
        task::{ForkedFrom, PatchStat, RepositorySource, TaskRepository, TeamRef, UserRef},
    },
    store::{StoreError, task_views::TaskRow},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

const USAGE_NONE: &str =
    r#"{"model_calls":0,"turns":0,"input_tokens":0,"cached_input_tokens":0,"output_tokens":0,"cost_usd":null}"#;

/// A task as JSON ([`crate::domain::task::Task`]), and the seq by which it is tagged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskJson {
    pub id: TaskId,
    pub last_seq: i64,
    pub edits: i32,
    pub body: Vec<u8>,
}

/// The parts of a stored spec that a view shows.
#[derive(Deserialize)]
struct SpecParts<'a> {
    #[serde(borrow)]
    mode: &'a RawValue,
    repository: Option<RepositorySource>,
    #[serde(borrow)]
    model: &'a RawValue,
    #[serde(borrow)]
    environment: Option<&'a RawValue>,
    #[serde(borrow)]
    limits: &'a RawValue,
    #[serde(borrow)]
    approval: &'a RawValue,
    #[serde(borrow)]
    source: &'a RawValue,
}

/// The parts of a stored detail that a view shows.
#[derive(Deserialize)]
struct DetailParts<'a> {
    commit: Option<crate::domain::Oid>,
    #[serde(borrow)]
    planning: Option<&'a RawValue>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    forked_from: Option<ForkedFrom>,
}

#[derive(Serialize)]
struct TaskBody<'a> {
    id: TaskId,
    status: &'a str,
    phase: &'a str,
    title: &'a str,
    request: &'a str,
    mode: &'a RawValue,
    repository: Option<TaskRepository>,
    model: &'a RawValue,
    environment: Option<&'a RawValue>,
    source: &'a RawValue,
    labels: &'a RawValue,
    priority: i16,
    team: TeamRef,
    created_by: UserRef,
    created_at: Timestamp,
    updated_at: Timestamp,
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    run: i32,
    waiting_for: Option<&'a str>,
    cancel_requested: bool,
    limits: &'a RawValue,
    approval: &'a RawValue,
    planning: Option<&'a RawValue>,
    usage: &'a RawValue,
    result: Option<&'a RawValue>,
    error: Option<&'a RawValue>,
    forked_from: Option<ForkedFrom>,
    last_seq: i64,
}

impl TaskJson {
    pub(super) fn of(principal: &Principal, created_by: UserRef, row: &TaskRow) -> Result<Self, Error> {
        let corrupt = |column| Error::from(StoreError::corrupt("tasks", column, row.id));
        let spec: SpecParts<'_> = serde_json::from_str(&row.spec).map_err(|_| corrupt("spec"))?;
        let detail: DetailParts<'_> = serde_json::from_str(&row.detail).map_err(|_| corrupt("detail"))?;
        let usage = match detail.usage {
            Some(usage) => usage,
            None => serde_json::from_str(USAGE_NONE).map_err(Error::internal)?,
        };
        let body = TaskBody {
            id: row.id,
            status: &row.status,
            phase: &row.phase,
            title: &row.title,
            request: &row.request,
            mode: spec.mode,
            repository: repository(spec.repository, detail.commit),
            model: spec.model,
            environment: spec.environment,
            source: spec.source,
            labels: serde_json::from_str(&row.labels).map_err(|_| corrupt("labels"))?,
            priority: row.priority,
            team: team(principal),
            created_by,
            created_at: row.created_at,
            updated_at: row.updated_at,
            started_at: row.started_at,
            finished_at: row.finished_at,
            run: row.run,
            waiting_for: row.waiting_for.as_deref(),
            cancel_requested: row.cancel_requested,
            limits: spec.limits,
            approval: spec.approval,
            planning: detail.planning,
            usage,
            result: detail.result,
            error: detail.error,
            forked_from: detail.forked_from,
            last_seq: row.last_seq,
        };
        let body = serde_json::to_vec(&body).map_err(Error::internal)?;
        Ok(Self { id: row.id, last_seq: row.last_seq, edits: row.edits, body })
    }
}

/// What a list shows of a task's result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ResultSummary {
    pub verdict: Option<Verdict>,
    pub reason: Option<String>,
    pub patch: Option<PatchStat>,
    pub branch: Option<String>,
    pub pull_request_url: Option<String>,
}

/// A task as lists show it: without request, limits, plan, and the long parts of its result.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct TaskSummary {
    pub id: TaskId,
    pub status: String,
    pub phase: String,
    pub title: String,
    pub mode: crate::domain::Mode,
    pub repository: Option<TaskRepository>,
    pub model: String,
    pub environment: Option<String>,
    pub source: crate::domain::task::Source,
    pub labels: std::collections::BTreeMap<String, String>,
    pub priority: i16,
    pub team: TeamRef,
    pub created_by: UserRef,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub run: i32,
    pub waiting_for: Option<String>,
    pub cancel_requested: bool,
    pub usage: crate::domain::usage::Usage,
    pub result: Option<ResultSummary>,
    pub error: Option<TaskError>,
    pub last_seq: i64,
}

#[derive(Deserialize)]
struct SpecSummary {
    mode: crate::domain::Mode,
    repository: Option<RepositorySource>,
    model: String,
    environment: Option<String>,
    source: crate::domain::task::Source,
}

#[derive(Deserialize)]
struct DetailSummary {
    commit: Option<crate::domain::Oid>,
    #[serde(default)]
    usage: crate::domain::usage::Usage,
    result: Option<ResultSummary>,
    error: Option<TaskError>,
}

impl TaskSummary {
    pub(super) fn of(principal: &Principal, created_by: UserRef, row: TaskRow) -> Result<Self, Error> {
        let corrupt = |column| Error::from(StoreError::corrupt("tasks", column, row.id));
        let spec: SpecSummary = serde_json::from_str(&row.spec).map_err(|_| corrupt("spec"))?;
        let detail: DetailSummary = serde_json::from_str(&row.detail).map_err(|_| corrupt("detail"))?;
        Ok(Self {
            id: row.id,
            mode: spec.mode,
            repository: repository(spec.repository, detail.commit),
            model: spec.model,
            environment: spec.environment,
            source: spec.source,
            labels: serde_json::from_str(&row.labels).map_err(|_| corrupt("labels"))?,
            priority: row.priority,
            team: team(principal),
            created_by,
            created_at: row.created_at,
            updated_at: row.updated_at,
            started_at: row.started_at,
            finished_at: row.finished_at,
            run: row.run,
            cancel_requested: row.cancel_requested,
            usage: detail.usage,
            result: detail.result,
            error: detail.error,
            last_seq: row.last_seq,
            status: row.status,
            phase: row.phase,
            title: row.title,
            waiting_for: row.waiting_for,
        })
    }
}

fn repository(source: Option<RepositorySource>, commit: Option<crate::domain::Oid>) -> Option<TaskRepository> {
    Some(match source? {
        RepositorySource::Git { url, reference } => TaskRepository { url: Some(url), upload: None, reference, commit },
        RepositorySource::Upload { upload, reference } => {
            TaskRepository { url: None, upload: Some(upload), reference, commit }
        }
    })
}

fn team(principal: &Principal) -> TeamRef {
    TeamRef { id: principal.team, name: principal.team_name.clone() }
}
