//! One watcher's stream of one task: first what lies behind, then what comes.

use super::{Hub, channel::Encoded};
use crate::{
    domain::{Seq, TaskId},
    store::StoreError,
};
use futures::{Stream, stream};
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::sync::{broadcast, watch};

/// How long a stream waits before it tries a failed read again, and how often.
const RETRY: Duration = Duration::from_secs(1);
const RETRIES_MAX: u32 = 60;

impl Hub {
    /// The events of a task after `after`, in order, each once, followed for ever; live pieces come
    /// between them. Whoever watches has been checked by the caller. Dropping the stream ends it.
    ///
    /// # Errors
    /// Ends with the error after a minute without the database; the caller resumes by the last seq.
    pub fn follow(
        &self,
        task: TaskId,
        after: Seq,
    ) -> impl Stream<Item = Result<Arc<Encoded>, StoreError>> + Send + use<> {
        let channel = self.channel(task);
        let follower = Follower {
            hub: self.clone(),
            task,
            cursor: after,
            behind: true,
            last: channel.watch(),
            live: channel.live(),
            ready: VecDeque::new(),
            failed: 0,
            missing: 0,
        };
        stream::unfold(Some(follower), |follower| async {
            let mut follower = follower?;
            match follower.next().await {
                Ok(event) => Some((Ok(event), Some(follower))),
                Err(error) => Some((Err(error), None)),
            }
        })
    }
}

struct Follower {
    hub: Hub,
    task: TaskId,
    cursor: Seq,
    /// The log may hold more than what was read; true until a read gives nothing.
    behind: bool,
    last: watch::Receiver<Seq>,
    live: broadcast::Receiver<Arc<Encoded>>,
    ready: VecDeque<Arc<Encoded>>,
    failed: u32,
    /// A seq that was told of but is not in the log: the task was deleted.
    missing: Seq,
}

impl Follower {
    async fn next(&mut self) -> Result<Arc<Encoded>, StoreError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.cursor = event.seq.unwrap_or(self.cursor);
                return Ok(event);
            }
            let known = *self.last.borrow_and_update();
            if self.behind || known > self.cursor.max(self.missing) {
                self.read(known).await?;
                continue;
            }
            tokio::select! {
                changed = self.last.changed() => if changed.is_err() { self.behind = true },
                piece = self.live.recv() => match piece {
                    Ok(piece) => return Ok(piece),
                    Err(broadcast::error::RecvError::Lagged(_) | broadcast::error::RecvError::Closed) => {}
                },
            }
        }
    }

    async fn read(&mut self, known: Seq) -> Result<(), StoreError> {
        let channel = self.hub.channel(self.task);
        match channel.after(self.hub.store(), self.cursor, known).await {
            Ok(events) => {
                self.failed = 0;
                self.behind = !events.is_empty() && self.behind;
                if events.is_empty() {
                    self.missing = known;
                }
                self.ready.extend(events);
                Ok(())
            }
            Err(error) if error.is_transient() && self.failed < RETRIES_MAX => {
                self.failed += 1;
                tokio::time::sleep(RETRY).await;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}
