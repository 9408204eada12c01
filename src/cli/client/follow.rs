//! A task's events, in order and each once, over as many connections as it takes.

use super::{Api, ApiError, SseDecoder, SseEvent, api::segment};
use crate::{cli::view::EventView, clock};
use reqwest::{Method, Response, header};
use serde_json::Value;
use std::{collections::VecDeque, time::Duration};

/// The server sends a comment every 15 s: a stream that is silent for longer is dead.
const SILENCE_MAX: Duration = Duration::from_secs(45);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// Connections in a row that brought nothing; with the pauses about five minutes.
const FAILURES_MAX: u32 = 32;

/// What following gives next.
#[derive(Debug)]
pub enum Piece {
    Event(Box<EventView>),
    /// Live text or output: not stored, may be missing.
    Live {
        kind: String,
        data: Value,
    },
    /// The connection broke for this reason and is made again after the pause. `attempt` counts
    /// the connections in a row that brought nothing: at 1 it is hardly worth a word.
    Lost {
        reason: String,
        pause: Duration,
        attempt: u32,
    },
    /// The task has ended and every event of it was given.
    End,
}

/// The follower. It resumes after the last event that it gave, so nothing is lost or doubled
/// by broken connections, restarts or other replicas. Dropping the future of [`Follow::next`]
/// loses no event, but its pauses and timeouts start again: keep it until it is ready.
#[derive(Debug)]
pub struct Follow {
    api: Api,
    task: String,
    after: i64,
    beyond_end: bool,
    stream: Option<(Response, SseDecoder)>,
    ready: VecDeque<SseEvent>,
    /// Connections in a row that brought no event.
    failures: u32,
    /// When the next connection may be made.
    pause: Option<Duration>,
}

impl Follow {
    pub(super) fn new(api: Api, task: String, after: i64, beyond_end: bool) -> Self {
        Self { api, task, after, beyond_end, stream: None, ready: VecDeque::new(), failures: 0, pause: None }
    }

    /// The next piece. Errors when the server refuses the stream for good (no such task, a wrong
    /// key, events that are no longer kept) or stays away for too long.
    pub async fn next(&mut self) -> Result<Piece, ApiError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                match self.take(&event) {
                    Some(piece) => return Ok(piece),
                    None => continue,
                }
            }
            if let Some(pause) = self.pause {
                tokio::time::sleep(pause).await;
                self.pause = None;
            }
            match self.receive().await {
                Ok(true) => {}
                Ok(false) => {
                    self.stream = None;
                    if self.ready.is_empty() && !self.beyond_end && self.has_ended().await {
                        return Ok(Piece::End);
                    }
                    if self.ready.is_empty() {
                        return self.lost("the server closed the stream".into(), None);
                    }
                }
                Err(error) if error.is_passing() => {
                    self.stream = None;
                    let after = error.retry_after();
                    return if self.failures >= FAILURES_MAX {
                        Err(error)
                    } else {
                        self.lost(error.to_string(), after)
                    };
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// An event that was not given before, or a live piece.
    fn take(&mut self, event: &SseEvent) -> Option<Piece> {
        let data: Value = serde_json::from_str(&event.data).ok()?;
        if event.id.is_none() {
            return Some(Piece::Live { kind: event.event.clone(), data });
        }
        let event = EventView::read(data)?;
        if event.seq <= self.after {
            return None;
        }
        self.after = event.seq;
        self.failures = 0;
        Some(Piece::Event(Box::new(event)))
    }

    /// Reads once from the stream, which is opened where there is none; false at its end.
    async fn receive(&mut self) -> Result<bool, ApiError> {
        if self.stream.is_none() {
            self.stream = Some((self.open().await?, SseDecoder::default()));
        }
        let Some((response, decoder)) = &mut self.stream else { return Ok(false) };
        let silent = |_| ApiError::Unreachable { base: self.api.base.clone(), reason: "the stream fell silent".into() };
        let chunk = tokio::time::timeout(SILENCE_MAX, response.chunk()).await.map_err(silent)?;
        match chunk.map_err(|error| self.api.unreachable(error))? {
            Some(bytes) => {
                let events = decoder.feed(&bytes).map_err(|error| ApiError::Nonsense(error.to_string()))?;
                self.ready.extend(events);
                Ok(true)
            }
            None => Ok(false),
        }
    }

    async fn open(&self) -> Result<Response, ApiError> {
        let path = format!("/v1/tasks/{}/events", segment(&self.task));
        let query: &[_] = if self.beyond_end { &[("follow", "true".to_owned())] } else { &[] };
        let mut request = self.api.request(Method::GET, &path, query).header(header::ACCEPT, "text/event-stream");
        if self.after > 0 {
            request = request.header("last-event-id", self.after.to_string());
        }
        let late = |_| ApiError::Unreachable { base: self.api.base.clone(), reason: "no answer in time".into() };
        tokio::time::timeout(CONNECT_TIMEOUT, self.api.send(request)).await.map_err(late)?
    }

    /// Whether the task has ended and nothing of its log is missing here.
    async fn has_ended(&self) -> bool {
        self.api.task(&self.task).await.is_ok_and(|task| task.is_end() && task.last_seq <= self.after)
    }

    fn lost(&mut self, reason: String, after: Option<Duration>) -> Result<Piece, ApiError> {
        self.failures += 1;
        if self.failures > FAILURES_MAX {
            return Err(ApiError::Unreachable { base: self.api.base.clone(), reason });
        }
        let pause = (PAUSE_MIN * 2_u32.saturating_pow(self.failures.min(10) - 1)).min(PAUSE_MAX);
        let pause = after.unwrap_or(pause + clock::jitter(pause / 4)).min(PAUSE_MAX);
        self.pause = Some(pause);
        Ok(Piece::Lost { reason, pause, attempt: self.failures })
    }
}
