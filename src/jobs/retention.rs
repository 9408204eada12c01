//! What is kept, and for how long: the history of ended tasks, the tasks, contents that nobody needs, objects that no
//! row names.
//!
//! Each step is a transaction of its own, or leaves only what the next round finds: a crash in between loses nothing that
//! somebody needs and keeps nothing for ever.

use crate::{
    clock,
    objects::{ObjectError, Objects},
    runner::{self, BlobError, Blobs},
    store::{
        Store, StoreError, blobs,
        retention::{self, Ended, Kept},
    },
};
use futures::TryStreamExt;
use std::time::Duration;

/// Of one round.
const TASKS_MAX: u32 = 50;
const BLOBS_MAX: u32 = 500;
const KEYS_AT_ONCE: usize = 500;

#[derive(Clone, Copy, Debug)]
pub struct RetentionSettings {
    /// How long the history of an ended task is kept; absent: as long as the task.
    pub history: Option<Duration>,
    /// How long ended tasks are kept; absent: for ever.
    pub tasks: Option<Duration>,
    /// How long a content stays that nobody holds, and an object that no row names.
    pub grace: Duration,
}

/// What one round has removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    pub tasks: u64,
    /// Contents that ended tasks let go.
    pub let_go: u64,
    pub blobs: u64,
    pub objects: u64,
}

#[derive(Clone, Debug)]
pub struct Retention {
    store: Store,
    blobs: Blobs,
    objects: Objects,
    settings: RetentionSettings,
}

#[derive(Debug, thiserror::Error)]
pub enum RetentionError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Objects(#[from] ObjectError),
}

impl Retention {
    pub fn new(store: Store, blobs: Blobs, objects: Objects, settings: RetentionSettings) -> Self {
        Self { store, blobs, objects, settings }
    }

    /// Does some of what is due; what is left is done in later rounds.
    pub async fn round(&self) -> Result<Round, RetentionError> {
        let mut round = Round::default();
        for (one, kept) in retention::ended(&self.store, Kept::Tasks, self.settings.tasks, TASKS_MAX).await? {
            round.tasks += u64::from(retention::delete(&self.store, one, kept).await?);
        }
        for (one, _) in retention::ended(&self.store, Kept::History, self.settings.history, TASKS_MAX).await? {
            round.let_go += self.let_history_go(one).await?;
        }
        let removed = blobs::remove_unused(&self.store, self.settings.grace, BLOBS_MAX).await?;
        round.blobs = removed.blobs;
        for key in &removed.objects {
            // What stays is found by listing.
            match self.objects.remove(key).await {
                Ok(()) => round.objects += 1,
                Err(error) => tracing::warn!(%error, "an object that nobody needs could not be removed"),
            }
        }
        Ok(round)
    }

    async fn let_history_go(&self, one: Ended) -> Result<u64, StoreError> {
        let (last, needed) = match runner::needed(&self.store, &self.blobs, one.team, one.task).await {
            Ok(found) => found,
            Err(BlobError::Store(error)) => return Err(error),
            // What it needs is not known: it keeps all that it has.
            Err(error) => {
                tracing::warn!(task.id = %one.task, %error, "the history of a task cannot be let go");
                return Ok(0);
            }
        };
        let needed: Vec<&str> = needed.iter().map(crate::domain::BlobHash::as_str).collect();
        retention::let_history_go(&self.store, one, last, &needed).await
    }

    /// Removes objects that no row names and that are older than the grace: what crashes have left. How many.
    pub async fn sweep_objects(&self) -> Result<u64, RetentionError> {
        let before = clock::now().0 - self.settings.grace;
        let (mut found, mut keys, mut removed) = (self.objects.list(), Vec::new(), 0);
        while let Some(object) = found.try_next().await? {
            if object.written_at.0 < before {
                keys.push(object.key);
            }
            if keys.len() >= KEYS_AT_ONCE {
                removed += self.remove_unnamed(&std::mem::take(&mut keys)).await?;
            }
        }
        Ok(removed + self.remove_unnamed(&keys).await?)
    }

    async fn remove_unnamed(&self, keys: &[String]) -> Result<u64, RetentionError> {
        let unnamed = blobs::unnamed(&self.store, keys).await?;
        for key in &unnamed {
            self.objects.remove(key).await?;
        }
        Ok(unnamed.len() as u64)
    }
}
