//! What a publishing is made of: the patch, and what commit and pull request say.

use super::{
    Stop, Way,
    text::{About, Text, person},
};
use crate::{
    domain::{TaskSpec, Timestamp, publish::PublishState, task::TaskDetail},
    store::{StoreError, publishings, task_views, users},
};
use bytes::Bytes;
use std::io;

pub(super) struct Gathered {
    pub(super) patch: Bytes,
    pub(super) text: Text,
    /// The task is for somebody who is no member of the team, or has words in it of somebody of whom nobody says that he may.
    pub(super) outsider: bool,
    /// How long people have to decide; absent: a day.
    pub(super) deadline_seconds: Option<u32>,
}

impl Way<'_> {
    pub(super) async fn gather(&self) -> Result<Gathered, Stop> {
        let (store, row) = (&self.publisher.store, &self.row);
        let mut tx = store.team(self.job.team).await?;
        let task = task_views::get(&mut tx, row.task).await?.ok_or(Stop::Fenced)?;
        tx.commit().await?;
        let corrupt = |column| Stop::Store(StoreError::corrupt("tasks", column, row.task));
        let spec: TaskSpec = serde_json::from_str(&task.spec).map_err(|_| corrupt("spec"))?;
        let kept = row.composed.as_deref().and_then(|text| serde_json::from_str(text).ok());
        let text = if let Some(text) = kept {
            text
        } else {
            let detail: TaskDetail = serde_json::from_str(&task.detail).map_err(|_| corrupt("detail"))?;
            let at = task.finished_at.unwrap_or(row.created_at);
            self.composed(&task, &spec, &detail, at).await?
        };
        let patch = self.publisher.blobs.get(self.job.team, &row.patch).await.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                Stop::Ends(PublishState::Failed, "the patch is not kept any more: run the task again".to_owned())
            }
            _ => Stop::Later("the patch cannot be read now".to_owned()),
        })?;
        // Of what came by an integration it is known who may.
        let source = &spec.source;
        let outsider = if source.integration.is_some() { source.untrusted } else { source.outsider };
        Ok(Gathered { patch, text, outsider, deadline_seconds: spec.approval_deadline_seconds })
    }

    /// Makes the text, or takes what another worker has made meanwhile.
    async fn composed(
        &self,
        task: &task_views::TaskRow,
        spec: &TaskSpec,
        detail: &TaskDetail,
        at: Timestamp,
    ) -> Result<Text, Stop> {
        let (store, row, settings) = (&self.publisher.store, &self.row, &self.publisher.settings);
        let creator = users::get(store, task.created_by).await?.and_then(|user| {
            // An address that leads nowhere says who it was all the same (RFC 2606).
            let address = user.email.unwrap_or_else(|| format!("{}@users.invalid", user.id));
            person(&user.name, &address)
        });
        let own = &settings.signature;
        let text = Text::of(&About {
            task: row.task,
            title: &task.title,
            request: &task.request,
            given: (row.title.as_deref(), row.body.as_deref()),
            result: detail.result.as_ref(),
            usage: detail.usage,
            model: &spec.model,
            creator,
            sign_off: person(&own.name, &own.email).filter(|_| settings.sign_off),
            link: settings
                .public_url
                .as_ref()
                .map(|url| format!("{}/v1/tasks/{}", url.trim_end_matches('/'), row.task)),
            at,
        });
        let unwritable = |_| Stop::Store(StoreError::corrupt("publishings", "composed", row.id));
        let made = serde_json::to_string(&text).map_err(unwritable)?;
        let kept = publishings::compose(store, &self.job, &made).await?.ok_or(Stop::Fenced)?;
        serde_json::from_str(&kept).map_err(unwritable)
    }
}
