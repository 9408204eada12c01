//! What came of a publishing, written into the task's log in one transaction.

use super::{Asked, REASON_CHARS_MAX, Stop, Way, open::Opened, push::Pushed};
use crate::{
    clock,
    domain::{
        ApprovalId, EventData, Oid, Timestamp,
        approval::ApprovalKind,
        audit::{Action, Actor, AuditResult, Subject},
        publish::{Conflict, PublishState},
        task::TaskDetail,
    },
    store::{
        StoreError, TeamTx, approvals,
        audit::{self, NewEntry},
        jobs,
        log::{self, Locked, NewApproval, NewEvent, TaskChange},
        publishings::{self, Done},
        task_views,
        trackers::issues,
    },
};
use serde_json::json;
use std::time::Duration;

/// How long people have to decide, where the task does not say.
const DEADLINE: Duration = Duration::from_secs(86_400);
/// Files that people are shown.
const FILES_MAX: usize = 100;

impl Way<'_> {
    /// The branch stands at its host.
    pub(super) async fn done(&self, pushed: &Pushed, opened: Option<&Opened>) -> Result<(), Stop> {
        let (url, reason) = match opened {
            None => (None, None),
            Some(Opened::At(pull_request, _)) => (Some(pull_request.url.as_str()), None),
            Some(Opened::Not(reason)) => (None, Some(reason.as_str())),
        };
        let Some((mut tx, locked)) = self.locked().await? else { return Err(Stop::Fenced) };
        if let Some(Opened::At(pull_request, known)) = opened {
            let key = known.forge.key_of(&known.repository, pull_request.number);
            issues::link(&mut tx, known.integration, &key, self.row.task).await?;
        }
        let state = PublishState::Done;
        publishings::done(&mut tx, self.row.id, Done { state, pull_request_url: url, reason }).await?;
        let detail = if locked.status.is_rest() { self.detail(&mut tx, url).await? } else { None };
        let event = self.event(state, Some(&pushed.commit), url, reason);
        let change = TaskChange { detail: detail.as_ref(), ..TaskChange::default() };
        log::append_locked(&mut tx, self.job.team, self.row.task, &[written(&locked, event)], &change).await?;
        let told = json!({
            "publishing": self.row.id, "branch": self.row.branch, "commit": pushed.commit, "pull_request": url,
            "user": self.row.user,
        });
        self.record(&mut tx, &told.to_string()).await?;
        self.finish(tx).await
    }

    /// It is not published, and will not be.
    pub(super) async fn fail(&self, state: PublishState, reason: &str) -> Result<(), Stop> {
        let reason: String = reason.chars().take(REASON_CHARS_MAX).collect();
        let Some((mut tx, locked)) = self.locked().await? else { return Err(Stop::Fenced) };
        publishings::done(&mut tx, self.row.id, Done { state, pull_request_url: None, reason: Some(&reason) }).await?;
        let event = self.event(state, None, None, Some(&reason));
        let change = TaskChange::default();
        log::append_locked(&mut tx, self.job.team, self.row.task, &[written(&locked, event)], &change).await?;
        self.finish(tx).await
    }

    /// The repository has changed where the patch does: it is kept where, for the task to make one of both.
    pub(super) async fn conflict(&self, conflict: &Conflict) -> Result<(), Stop> {
        let reason = format!(
            "the repository has changed where the patch does: {}. Fork the task or create it again on what the repository \
             has now",
            conflict.paths.iter().take(20).map(String::as_str).collect::<Vec<_>>().join(", ")
        );
        publishings::note_conflict(&self.publisher.store, &self.job, conflict).await?;
        self.fail(PublishState::Conflict, &reason).await
    }

    /// People are asked first.
    pub(super) async fn ask(&self, asked: &Asked) -> Result<(), Stop> {
        let Asked { files, outsider, deadline_seconds } = asked;
        let wait = deadline_seconds.map_or(DEADLINE, |seconds| Duration::from_secs(seconds.into()));
        let deadline = Timestamp(clock::now().0 + wait);
        let Some((mut tx, locked)) = self.locked().await? else { return Err(Stop::Fenced) };
        let id: ApprovalId = clock::new_id();
        let shown: Vec<&String> = files.iter().take(FILES_MAX).collect();
        let subject = json!({
            "publishing": self.row.id, "repository": self.row.url, "branch": self.row.branch,
            "pull_request": self.row.pull_request, "files": shown, "outsider": outsider,
        })
        .to_string();
        let approval =
            NewApproval { id, kind: "publish", subject: &subject, deadline, default_decision: "deny", decided: None };
        approvals::insert(&mut tx, self.job.team, self.row.task, &approval).await?;
        publishings::wait_for(&mut tx, self.row.id, id).await?;
        let reason = if files.is_empty() {
            "the task is for somebody who is no member of the team".to_owned()
        } else {
            format!("it changes {}", shown.iter().take(5).map(|path| path.as_str()).collect::<Vec<_>>().join(", "))
        };
        let asked = EventData::ApprovalRequested { approval: id, kind: ApprovalKind::Publish, deadline, call: None };
        let events = [asked, self.event(PublishState::WaitingApproval, None, None, Some(&reason))];
        let events = events.map(|event| written(&locked, event));
        log::append_locked(&mut tx, self.job.team, self.row.task, &events, &TaskChange::default()).await?;
        self.finish(tx).await
    }

    /// The task, locked; none where it is gone.
    async fn locked(&self) -> Result<Option<(TeamTx, Locked)>, StoreError> {
        let mut tx = self.publisher.store.team(self.job.team).await?;
        Ok(log::lock(&mut tx, self.row.task).await?.map(|locked| (tx, locked)))
    }

    /// The task's detail with the branch in its result; none where it has no result.
    async fn detail(&self, tx: &mut TeamTx, url: Option<&str>) -> Result<Option<TaskDetail>, Stop> {
        let Some(task) = task_views::get(tx, self.row.task).await? else { return Ok(None) };
        let corrupt = |_| Stop::Store(StoreError::corrupt("tasks", "detail", self.row.task));
        let mut detail: TaskDetail = serde_json::from_str(&task.detail).map_err(corrupt)?;
        let Some(result) = &mut detail.result else { return Ok(None) };
        result.branch = Some(self.row.branch.clone());
        if url.is_some() {
            result.pull_request_url = url.map(str::to_owned);
        }
        Ok(Some(detail))
    }

    fn event(&self, state: PublishState, commit: Option<&Oid>, url: Option<&str>, reason: Option<&str>) -> EventData {
        EventData::Publish {
            publishing: self.row.id,
            state,
            branch: self.row.branch.clone(),
            commit: commit.cloned(),
            pull_request_url: url.map(str::to_owned),
            reason: reason.map(str::to_owned),
            author: None,
        }
    }

    async fn record(&self, tx: &mut TeamTx, detail: &str) -> Result<(), StoreError> {
        let subject = Subject::new("task", self.row.task);
        let entry = NewEntry {
            team: self.job.team,
            id: clock::new_id(),
            actor: Actor::SERVICE,
            action: Action::TaskPublished.as_str(),
            subject: &subject,
            result: AuditResult::Ok,
            address: None,
            request: None,
            detail,
        };
        audit::insert(tx, &entry).await
    }

    /// Takes the job out of the queue and commits; nothing counts where somebody else has it.
    async fn finish(&self, mut tx: TeamTx) -> Result<(), Stop> {
        if !jobs::finish(&mut tx, &self.job).await? {
            return Err(Stop::Fenced);
        }
        Ok(tx.commit().await?)
    }
}

fn written(locked: &Locked, data: EventData) -> NewEvent {
    NewEvent { run: locked.run, turn: 0, data, private: None }
}
