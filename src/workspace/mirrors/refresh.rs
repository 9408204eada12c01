//! Fetching mirrors in the background: for each repository that tasks have asked for lately, what its refs are now, the
//! commits that are missing, and their layout.
//!
//! It goes the way of a task's own fetch: the address is checked, the team's credential asked for anew each time (what a
//! team may no longer reach is not fetched), one git at a time writes to a mirror, time and size are bounded. A task
//! still asks the origin itself what its ref is.

use super::{lately::Due, refs::Found};
use crate::{
    clock,
    workspace::repository::{Origin, Repositories, RepositoryError},
};

/// What looking after one mirror came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refreshed {
    /// It had everything.
    Fresh,
    Fetched,
    Failed,
}

impl Refreshed {
    fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Fetched => "fetched",
            Self::Failed => "failed",
        }
    }
}

impl Repositories {
    /// Looks after the mirror that is due for longest; absent: none is. Dropped, what has begun goes on within its own
    /// limits.
    pub async fn refresh_next(&self) -> Option<Refreshed> {
        let due = self.inner.lately.next()?;
        let turn = Turn { repositories: self, due: &due, ended: None };
        Some(turn.take().await)
    }

    /// Whether mirrors are to be fetched in the background at all.
    pub fn refreshes(&self) -> bool {
        !self.inner.lately.is_off()
    }

    async fn refresh(&self, due: &Due, gone: &mut Vec<Option<String>>) -> Result<Refreshed, RepositoryError> {
        let mirror = self.mirror(due.team, Origin::Url(&due.url))?;
        let mut refreshed = Refreshed::Fresh;
        for reference in &due.references {
            let commit = match mirror.look_up(reference.as_deref()).await {
                Ok(Found::Reference { commit, .. }) => commit,
                Ok(Found::CommitId(_)) | Err(RepositoryError::NoSuchRef { .. }) => {
                    gone.push(reference.clone());
                    continue;
                }
                Err(error) => return Err(error),
            };
            if !mirror.has(commit) {
                refreshed = Refreshed::Fetched;
            }
            mirror.snapshot(commit).await?;
        }
        if refreshed == Refreshed::Fetched {
            mirror.tidy().await;
        }
        Ok(refreshed)
    }
}

/// One turn at a mirror; given back also where it is cut off.
struct Turn<'a> {
    repositories: &'a Repositories,
    due: &'a Due,
    ended: Option<(bool, Vec<Option<String>>)>,
}

impl Turn<'_> {
    async fn take(mut self) -> Refreshed {
        let (clock, mut gone) = (clock::Stopwatch::start(), Vec::new());
        let refreshed = self.repositories.refresh(self.due, &mut gone).await.unwrap_or_else(|error| {
            tracing::info!(team.id = %self.due.team, error = %error, "a mirror could not be fetched in the background");
            Refreshed::Failed
        });
        self.ended = Some((refreshed != Refreshed::Failed, gone));
        metrics::counter!("journeyman_mirror_refreshes_total", "result" => refreshed.as_str()).increment(1);
        metrics::histogram!("journeyman_mirror_refresh_seconds").record(clock.elapsed().as_secs_f64());
        refreshed
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let (succeeded, gone) = self.ended.take().unwrap_or_default();
        self.repositories.inner.lately.done(self.due, succeeded, &gone);
    }
}
