//! What is to be learnt from: the sources that a log, somebody's feedback or a merge holds, with every secret taken out.

use super::{Stop, merged};
use crate::{
    domain::{
        ApprovalId, TaskSpec, UserId,
        approval::DecidedBy as By,
        event::Record,
        learning::LearningTrigger,
        task::{RepositorySource, TaskDetail},
    },
    memory::learning::{
        question::About,
        sources::{self, DecidedBy, Reader, Source},
    },
    runner::{deps::Deps, journal::patiently, secret},
    secrets::Redactor,
    store::{StoreError, approvals, jobs::ClaimedJob, learnings::Due, log, task_edits, task_views},
};
use std::{collections::BTreeMap, sync::Arc};

/// Rows read at a time, and approvals of a task.
const PAGE: u32 = 500;
const APPROVALS_MAX: u32 = 1_000;

/// What there is to learn from, and about what.
pub(super) struct Gathered {
    pub(super) spec: TaskSpec,
    pub(super) detail: TaskDetail,
    pub(super) created_by: UserId,
    pub(super) about: About,
    /// None of it empty.
    pub(super) sources: Vec<Source>,
    /// Hides the process's secrets and the task's own.
    pub(super) redactor: Arc<Redactor>,
}

impl Gathered {
    /// The URL of the task's repository.
    pub(super) fn repository(&self) -> Option<&str> {
        match &self.spec.repository {
            Some(RepositorySource::Git { url, .. }) => Some(url),
            _ => None,
        }
    }
}

pub(super) async fn gather(deps: &Deps, job: &ClaimedJob, due: &Due) -> Result<Gathered, Stop> {
    let mut tx = deps.store.team(job.team).await?;
    let Some(row) = task_views::get(&mut tx, due.task).await? else { return Err(Stop::nothing("the task is gone")) };
    drop(tx);
    let corrupt = |column| StoreError::corrupt("tasks", column, due.task);
    let spec: TaskSpec = serde_json::from_str(&row.spec).map_err(|_| corrupt("spec"))?;
    let detail: TaskDetail = serde_json::from_str(&row.detail).map_err(|_| corrupt("detail"))?;
    let redactor = match secret::of_task(deps, job.team, &spec).await? {
        Ok(hidden) => Arc::clone(&hidden.redactor),
        // What cannot be hidden is not shown to anybody.
        Err(error) => return Err(Stop::Fails(error.to_string())),
    };
    let about = about(&spec, &detail, &row.status);
    let mut gathered = Gathered { spec, detail, created_by: row.created_by, about, sources: Vec::new(), redactor };
    gathered.sources = match due.trigger {
        LearningTrigger::Run | LearningTrigger::Decision => of_run(deps, job, due, &gathered).await?,
        LearningTrigger::Feedback => of_feedback(deps, job, due, &gathered).await?,
        LearningTrigger::Merge => merged::sources(deps, job, due, &gathered).await?,
    };
    if gathered.sources.is_empty() {
        return Err(Stop::nothing("nobody said, denied or mended anything"));
    }
    scrub(&mut gathered);
    Ok(gathered)
}

fn about(spec: &TaskSpec, detail: &TaskDetail, status: &str) -> About {
    let result = detail.result.as_ref();
    let verdict = result.and_then(|result| result.verdict).and_then(|verdict| serde_json::to_value(verdict).ok());
    let verdict = verdict.as_ref().and_then(|word| word.as_str()).map_or_else(String::new, |word| format!(", {word}"));
    let words = result.and_then(|result| result.summary.clone().or_else(|| result.answer.clone()));
    About {
        request: spec.request.clone(),
        repository: match &spec.repository {
            Some(RepositorySource::Git { url, .. }) => Some(url.clone()),
            _ => None,
        },
        ended: format!("{status}{verdict}"),
        summary: words.unwrap_or_default(),
    }
}

async fn of_run(deps: &Deps, job: &ClaimedJob, due: &Due, gathered: &Gathered) -> Result<Vec<Source>, Stop> {
    let decided = decided(deps, job, due).await?;
    let after = gathered.detail.forked_from.map_or(0, |from| from.seq);
    let mut reader = Reader::new(due.run, after, &decided);
    let mut last = 0;
    loop {
        let records: Vec<Record> = patiently(&deps.cut, || log::records(&deps.store, due.task, last, PAGE)).await?;
        for record in &records {
            reader.read(record);
        }
        match records.last() {
            Some(record) if records.len() == PAGE as usize => last = record.event.seq,
            _ => return Ok(reader.finish()),
        }
    }
}

/// Who decided about what the task asked.
async fn decided(deps: &Deps, job: &ClaimedJob, due: &Due) -> Result<BTreeMap<ApprovalId, DecidedBy>, Stop> {
    let mut tx = deps.store.team(job.team).await?;
    let rows = approvals::list(&mut tx, Some(due.task), false, None, APPROVALS_MAX).await?;
    let one = |row: approvals::ApprovalRow| {
        let approval = row.approval;
        let user = match approval.decided_by {
            Some(By::User(user)) => Some(user),
            Some(By::Model(_)) | None => None,
        };
        (approval.id, DecidedBy { user, kind: approval.kind, subject: approval.subject })
    };
    Ok(rows.into_iter().map(one).collect())
}

async fn of_feedback(deps: &Deps, job: &ClaimedJob, due: &Due, gathered: &Gathered) -> Result<Vec<Source>, Stop> {
    let mut tx = deps.store.team(job.team).await?;
    let Some(row) = task_edits::feedback(&mut tx, due.subject).await? else { return Ok(Vec::new()) };
    // A mere thumb says nothing that could be remembered.
    if row.comment.as_ref().is_none_or(|comment| comment.trim().is_empty()) {
        return Ok(Vec::new());
    }
    let before = format!("said: {}", gathered.about.summary);
    Ok(sources::bounded(vec![sources::of_feedback(
        due.subject,
        row.user,
        &row.rating,
        row.comment.as_deref(),
        &before,
    )]))
}

/// Text by text: in the midst of JSON a secret's end may be taken for more than it is.
fn scrub(gathered: &mut Gathered) {
    let redactor = Arc::clone(&gathered.redactor);
    let hide = |text: &mut String| {
        if let std::borrow::Cow::Owned(hidden) = redactor.redact(text) {
            *text = hidden;
        }
    };
    let About { request, repository, ended: _, summary } = &mut gathered.about;
    [request, summary].into_iter().chain(repository).for_each(hide);
    for source in &mut gathered.sources {
        [&mut source.text, &mut source.own, &mut source.before].into_iter().for_each(hide);
    }
}
