//! What a tracker's task has come to goes out by itself, as its integration says.

use super::people;
use crate::{
    domain::{IntegrationId, Status, TaskId, TeamId, integration::Publish},
    service::{Error, PublishInput, Service},
    store::{log, publishings, trackers::integrations},
};

impl Service {
    /// Has the patch of a run that succeeded published, once for a run. Nothing where the integration says so, there is nothing
    /// to publish, or whoever the task is of is no member any more.
    pub async fn publish_for_tracker(&self, team: TeamId, task: TaskId, by: IntegrationId) -> Result<(), Error> {
        let mut tx = self.store().team(team).await?;
        let Some(locked) = log::lock(&mut tx, task).await?.filter(|locked| locked.status == Status::Succeeded) else {
            return Ok(());
        };
        let Some(row) = integrations::get(&mut tx, by).await? else { return Ok(()) };
        if row.spec.publish == Publish::Off || publishings::is_any_of_run(&mut tx, task, locked.run).await? {
            return Ok(());
        }
        let Some(principal) = people::principal(&mut tx, &row, locked.created_by).await? else { return Ok(()) };
        tx.in_the_name_of(principal.user).await?;
        let input = PublishInput { pull_request: row.spec.publish == Publish::PullRequest, ..PublishInput::default() };
        let accepted = match self.wish_published(&mut tx, &principal, task, &input).await {
            Ok((accepted, _)) => accepted,
            // It has changed nothing, or its repository has no host.
            Err(Error::Conflict { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        tx.commit().await?;
        self.committed(team, task, accepted.seq);
        Ok(())
    }
}
