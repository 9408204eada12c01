//! Changing what a task is called and may spend, deleting it.

use super::{
    Error, Faults, Service, access,
    access::Right,
    audit::{self, Action, Subject},
    create::{TITLE_CHARS_MAX, check_labels, check_priority},
    given::limits,
    input::optional_object,
    views::TaskJson,
};
use crate::{
    domain::{EventData, Principal, Status, TaskId, TaskSpec, limits::LimitsPatch},
    store::{
        StoreError, TeamTx,
        log::{self, Locked, NewEvent, TaskChange},
        task_edits::{self, TaskEdit},
        task_views,
    },
};
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// What of a task may be changed; what is absent stays.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskEditInput {
    pub title: Option<String>,
    /// All labels: those that are not here are taken away.
    pub labels: Option<BTreeMap<String, String>>,
    #[schema(minimum = -100, maximum = 100)]
    pub priority: Option<i32>,
    #[serde(default, deserialize_with = "optional_object")]
    pub limits: Option<LimitsPatch>,
}

impl Service {
    /// Changes a task and says so in its log.
    pub async fn edit_task(&self, principal: &Principal, id: TaskId, input: TaskEditInput) -> Result<TaskJson, Error> {
        access::require(principal, Right::WriteTasks)?;
        let mut faults = Faults::default();
        if let Some(title) = &input.title {
            faults.line("/title", title, TITLE_CHARS_MAX);
        }
        if let Some(labels) = &input.labels {
            check_labels(labels, &mut faults);
        }
        if let Some(priority) = input.priority {
            check_priority(priority, &mut faults);
        }
        if let Some(patch) = &input.limits {
            limits(patch, &mut faults);
        }
        faults.finish()?;
        let mut tx = self.store().person(principal).await?;
        let locked = log::lock(&mut tx, id).await?.ok_or(Error::NotFound)?;
        let said = self.amend(&mut tx, principal, id, &locked, &input).await?;
        let row = task_views::get(&mut tx, id).await?.ok_or(Error::NotFound)?;
        let creator = self.user(&mut tx, principal, row.created_by).await?;
        tx.commit().await?;
        if let Some(seq) = said {
            self.committed(principal.team, id, seq);
        }
        TaskJson::of(principal, creator, &row)
    }

    async fn amend(
        &self,
        tx: &mut TeamTx,
        principal: &Principal,
        id: TaskId,
        locked: &Locked,
        input: &TaskEditInput,
    ) -> Result<Option<i64>, Error> {
        if input.title.is_none() && input.labels.is_none() && input.priority.is_none() && input.limits.is_none() {
            return Ok(None);
        }
        let title = input.title.as_deref().map(str::trim);
        let mut spec: TaskSpec = read_spec(id, locked)?;
        spec.limits = spec.limits.patched(input.limits.unwrap_or_default());
        if input.limits.is_some() {
            self.can_be_capped(&spec.model, &spec.limits)?;
        }
        let spec = serde_json::to_string(&spec).map_err(Error::internal)?;
        let priority = input.priority.map(|priority| priority as i16);
        let edit = TaskEdit {
            title,
            labels: input.labels.as_ref(),
            priority,
            spec: input.limits.is_some().then_some(spec.as_str()),
        };
        task_edits::amend(tx, id, &edit).await?;
        if locked.status.is_end() {
            // The log of a run that has ended stays as it is; the next run begins by saying what changed.
            task_edits::count(tx, id).await?;
            return Ok(None);
        }
        if let Some(priority) = priority {
            task_edits::reprioritise(tx, id, priority).await?;
        }
        let updated = EventData::TaskUpdated {
            title: title.map(str::to_owned),
            limits: input.limits,
            author: principal.user_name.clone(),
        };
        let event = NewEvent { run: locked.run, turn: 0, data: updated, private: None };
        Ok(Some(log::append_locked(tx, principal.team, id, &[event], &TaskChange::default()).await?))
    }

    /// Deletes a task and its log. What others made only an admin deletes.
    pub async fn delete_task(&self, principal: &Principal, id: TaskId) -> Result<(), Error> {
        access::require(principal, Right::WriteTasks)?;
        let mut tx = self.store().person(principal).await?;
        let locked = log::lock(&mut tx, id).await?.ok_or(Error::NotFound)?;
        if locked.created_by != principal.user {
            access::require(principal, Right::DeleteOthersTasks)?;
        }
        if locked.status == Status::Running {
            return Err(Error::Conflict {
                code: "task_running",
                detail: "the task is running: cancel it first".into(),
                state: Some(locked.status.as_str().to_owned()),
            });
        }
        task_edits::delete(&mut tx, id).await?;
        let detail = json!({ "created_by": locked.created_by, "status": locked.status });
        audit::record(&mut tx, principal, Action::TaskDeleted, Subject::new("task", id), detail).await?;
        tx.commit().await?;
        self.standings().forget(principal.team, id);
        if let Some(removed) = &self.hooks().deleted {
            removed(id).await;
        }
        // Boards look and find it gone; there is no newer event for a stream to wait for.
        self.committed(principal.team, id, locked.last_seq);
        Ok(())
    }
}

pub(super) fn read_spec(id: TaskId, locked: &Locked) -> Result<TaskSpec, Error> {
    serde_json::from_str(&locked.spec).map_err(|_| StoreError::corrupt("tasks", "spec", id).into())
}
