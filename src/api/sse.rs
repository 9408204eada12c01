//! Server-sent events (WHATWG HTML, 9.2).
//!
//! A stream holds what it is writing and nothing more: a slow reader is waited for, and what it
//! misses meanwhile it reads from the log afterwards.

use super::{ApiState, caller::Caller, error::ApiError, streams::Place, vigil::Vigil};
use crate::{
    domain::{Principal, Seq, Status, TaskId},
    events::Encoded,
    service::{self, TaskFilter},
};
use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, header},
    response::Response,
};
use futures::{Stream, StreamExt, stream, stream::BoxStream};
use serde::Deserialize;
use std::{collections::BTreeSet, convert::Infallible, fmt::Write, sync::Arc, time::Duration};
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

const HEARTBEAT: Duration = Duration::from_secs(15);
const HEARTBEAT_COMMENT: &[u8] = b": heartbeat\n\n";

/// How long a browser waits before it connects again.
const RETRY_MS: u32 = 2_000;

/// Tasks of a board's snapshot.
const SNAPSHOT_TASKS: u32 = 100;

/// Changes of a team are gathered so long before their tasks are read.
const TEAM_PAUSE: Duration = Duration::from_millis(100);

/// Between two looks whether the task is still there: rarely, so that the database's load does not grow with the watchers.
const LOOK_EVERY: Duration = Duration::from_secs(600);

/// The stream of one task, after `after`.
pub(super) async fn task(
    state: &ApiState,
    caller: &Caller,
    id: TaskId,
    after: Seq,
    follow: bool,
) -> Result<Response, ApiError> {
    let place = state.streams.take(caller.user)?;
    // Also says 404 and 410 while there can still be a status.
    let since = Instant::now();
    let now = state.service.events_from(caller, id, after).await?;
    let done = !follow && now.status.is_end() && after >= now.last_seq;
    let watcher = TaskWatcher {
        state: state.clone(),
        caller: caller.clone(),
        id,
        events: state.hub.follow(id, after).map(|event| event.map_err(service::Error::from)).boxed(),
        follow,
        cursor: after,
        known: now.last_seq,
        since,
        // The end may have been written before; then its last seq is known already.
        closes_at: (!follow && now.status.is_end()).then_some(now.last_seq),
        heartbeat: Instant::now() + HEARTBEAT,
        look: Instant::now() + LOOK_EVERY,
        vigil: Vigil::new(state, caller),
        draining: state.draining.clone(),
        _place: place,
    };
    let head = stream::iter([Ok(Bytes::from(format!("retry: {RETRY_MS}\n\n")))]);
    let rest = stream::unfold((!done).then_some(watcher), |watcher| async {
        let mut watcher = watcher?;
        let piece = watcher.next().await?;
        let more = !watcher.at_end();
        Some((Ok(piece), more.then_some(watcher)))
    });
    Ok(response(head.chain(rest)))
}

struct TaskWatcher {
    state: ApiState,
    caller: Caller,
    id: TaskId,
    events: BoxStream<'static, Result<Arc<Encoded>, service::Error>>,
    follow: bool,
    cursor: Seq,
    /// The last seq at the start: statuses before it have been overtaken.
    known: Seq,
    /// When the client connected.
    since: Instant,
    /// The last seq of a task that has ended.
    closes_at: Option<Seq>,
    heartbeat: Instant,
    look: Instant,
    vigil: Vigil,
    draining: CancellationToken,
    _place: Place,
}

impl TaskWatcher {
    fn at_end(&self) -> bool {
        self.closes_at.is_some_and(|last| self.cursor >= last)
    }

    /// The next piece to be written; `None` closes the stream.
    async fn next(&mut self) -> Option<Bytes> {
        if Instant::now() >= self.look {
            self.look = Instant::now() + LOOK_EVERY;
            if matches!(self.state.service.stands(&self.caller, self.id).await, Err(service::Error::NotFound)) {
                return None;
            }
        }
        tokio::select! {
            biased;
            () = self.draining.cancelled() => None,
            () = self.vigil.broken(&self.state) => None,
            event = self.events.next() => {
                let event = event?.inspect_err(|error| {
                    tracing::warn!(%error, task.id = %self.id, "a stream ends because the log cannot be read");
                }).ok()?;
                if let Some(seq) = event.seq {
                    self.cursor = seq;
                    self.look_for_end(seq, &event).await;
                }
                Some(frame(&event))
            }
            () = tokio::time::sleep_until(self.heartbeat) => {
                self.heartbeat = Instant::now() + HEARTBEAT;
                Some(Bytes::from_static(HEARTBEAT_COMMENT))
            }
        }
    }

    /// A status that ends the task closes the stream, unless the log has gone on since, wherever.
    async fn look_for_end(&mut self, seq: Seq, event: &Encoded) {
        if self.follow || event.kind != "task.status" || seq < self.known {
            return;
        }
        let ended = serde_json::from_str::<StatusEvent>(&event.json).is_ok_and(|event| event.data.status.is_end());
        if !ended {
            return;
        }
        let ended = self.state.service.has_ended(&self.caller, self.id, seq, self.since).await;
        // Where it cannot be asked, the stream ends: whoever connects again misses nothing.
        self.closes_at = ended.unwrap_or(true).then_some(seq);
    }
}

/// What the end of a stream is seen from.
#[derive(Deserialize)]
struct StatusEvent {
    data: StatusData,
}

#[derive(Deserialize)]
struct StatusData {
    status: Status,
}

/// The stream of a team's tasks: a snapshot, then changes.
pub(super) async fn team(state: &ApiState, caller: &Caller) -> Result<Response, ApiError> {
    let place = state.streams.take(caller.user)?;
    let changes = state.hub.team_changes(caller.team);
    let snapshot = snapshot(state, caller).await?;
    let watcher = TeamWatcher {
        state: state.clone(),
        caller: caller.clone(),
        changes,
        changed: BTreeSet::new(),
        heartbeat: Instant::now() + HEARTBEAT,
        vigil: Vigil::new(state, caller),
        _place: place,
    };
    let head = stream::iter([Ok(Bytes::from(format!("retry: {RETRY_MS}\n\n{snapshot}")))]);
    let rest = stream::unfold(watcher, |mut watcher| async {
        let piece = watcher.next().await?;
        Some((Ok(piece), watcher))
    });
    Ok(response(head.chain(rest)))
}

async fn snapshot(state: &ApiState, caller: &Principal) -> Result<String, service::Error> {
    let tasks = state.service.tasks(caller, &TaskFilter::default(), None, SNAPSHOT_TASKS).await?;
    let data = serde_json::json!({ "data": tasks });
    Ok(format!("event: snapshot\ndata: {data}\n\n"))
}

struct TeamWatcher {
    state: ApiState,
    caller: Caller,
    changes: Receiver<(TaskId, Seq)>,
    changed: BTreeSet<TaskId>,
    heartbeat: Instant,
    vigil: Vigil,
    _place: Place,
}

impl TeamWatcher {
    async fn next(&mut self) -> Option<Bytes> {
        tokio::select! {
            biased;
            () = self.state.draining.cancelled() => None,
            () = self.vigil.broken(&self.state) => None,
            change = self.changes.recv() => match change {
                Ok((task, _)) => {
                    self.changed.insert(task);
                    tokio::time::sleep(TEAM_PAUSE).await;
                    while let Ok((task, _)) = self.changes.try_recv() {
                        self.changed.insert(task);
                    }
                    self.heartbeat = Instant::now() + HEARTBEAT;
                    self.tell().await
                }
                Err(RecvError::Lagged(_)) => {
                    // Too far behind to name the changes: the board starts again.
                    self.changes = self.changes.resubscribe();
                    snapshot(&self.state, &self.caller).await.ok().map(Bytes::from)
                }
                Err(RecvError::Closed) => None,
            },
            () = tokio::time::sleep_until(self.heartbeat) => {
                self.heartbeat = Instant::now() + HEARTBEAT;
                Some(Bytes::from_static(HEARTBEAT_COMMENT))
            }
        }
    }

    async fn tell(&mut self) -> Option<Bytes> {
        let mut text = String::new();
        for id in std::mem::take(&mut self.changed) {
            match self.state.service.task_summary(&self.caller, id).await {
                Ok(task) => {
                    let data = serde_json::to_string(&task).ok()?;
                    let _ = write!(text, "event: task\ndata: {data}\n\n");
                }
                Err(service::Error::NotFound) => {
                    let _ = write!(text, "event: task.deleted\ndata: {{\"id\":\"{id}\"}}\n\n");
                }
                Err(_) => return None,
            }
        }
        Some(Bytes::from(text))
    }
}

/// One event. JSON has no line breaks outside of strings and escapes those within, so that one
/// `data` line holds it.
fn frame(event: &Encoded) -> Bytes {
    let mut text = String::with_capacity(event.json.len() + event.kind.len() + 40);
    if let Some(seq) = event.seq {
        let _ = writeln!(text, "id: {seq}");
    }
    let _ = write!(text, "event: {}\ndata: {}\n\n", event.kind, event.json);
    Bytes::from(text)
}

fn response(stream: impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static) -> Response {
    let mut response = Response::new(Body::from_stream(stream));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}
