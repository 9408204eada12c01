//! What a tracker's task has come to goes out by itself, as its integration says.

use super::people;
use crate::{
    domain::{IntegrationId, Status, TaskId, TeamId, integration::Publish},
    service::{Error, PublishInput, Service, actions::Said},
    store::{log, publishings, task_views, trackers::integrations},
};

/// Of how many conflicts a task is told.
const CONFLICTS_MAX: u32 = 3;

impl Service {
    /// Has the patch of a run that succeeded published, once for a run; where it met what others have changed, its task is told
    /// that, a few times at most, and what it makes of both is published. Nothing where the integration says so, there is nothing
    /// to publish, or whoever the task is of is no member any more.
    pub async fn publish_for_tracker(&self, team: TeamId, task: TaskId, by: IntegrationId) -> Result<(), Error> {
        let mut tx = self.store().team(team).await?;
        // Asked at each of a task's news: nobody who appends to one at work waits for this.
        let state = task_views::state(&mut tx, task).await?;
        if state.is_none_or(|state| state.status != Status::Succeeded) {
            return Ok(());
        }
        let Some(locked) = log::lock(&mut tx, task).await?.filter(|locked| locked.status == Status::Succeeded) else {
            return Ok(());
        };
        let Some(row) = integrations::get(&mut tx, by).await? else { return Ok(()) };
        if row.spec.publish == Publish::Off {
            return Ok(());
        }
        let Some(principal) = people::principal(&mut tx, &row, locked.created_by).await? else { return Ok(()) };
        if let Some((publishing, conflict, before)) = publishings::conflict_of_run(&mut tx, task, locked.run).await? {
            let Some(theirs) = conflict.theirs.filter(|_| before < CONFLICTS_MAX) else { return Ok(()) };
            publishings::give_back(&mut tx, publishing).await?;
            let said =
                Said { text: conflicting(&conflict.paths, &theirs), author: "journeyman".to_owned(), user: None };
            return self.tell_in(tx, &principal, task, said).await;
        }
        if publishings::is_any_of_run(&mut tx, task, locked.run).await? {
            return Ok(());
        }
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

/// What a task is told of its conflict.
fn conflicting(paths: &[String], theirs: &str) -> String {
    format!(
        "Your work could not be published: since you began, others have changed the same places of {}. Below is what these files \
         are at the repository now, behind \"> \". Make of each of your files what it is to be once both are in: keep what they \
         have changed, and what you were asked for. These files are published as you leave them; everything else of theirs is \
         there already and is not yours to bring.\n\n{theirs}",
        paths.join(", ")
    )
}
