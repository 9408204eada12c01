//! One execd's pipe: calls multiplexed over it, credit kept, nothing believed.
//!
//! One task per open workspace reads, writes, listens for the heart and waits for the process;
//! callers put frames into a shared state and wait for their answer. Whatever comes that the
//! protocol does not allow ends the link.

use super::WorkspaceError;
use bytes::Bytes;
use execd::{
    flow,
    frame::{self, FrameError, Header, Kind, OPEN_PREFIX_BYTES, PAYLOAD_LIMIT_BYTES},
    message::{Answer, Failure, FailureKind, REQUEST_LIMIT_BYTES, Request},
};
use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::sync::{Notify, mpsc, oneshot, watch};

/// Answers that may wait to be written; execd reads at once unless it is hostile.
const CONTROL_BYTES_MAX: usize = 256 << 10;
/// Connections that the workspace made and that nobody has taken yet.
const ACCEPTED_MAX: usize = 32;
/// What one write takes from the queues.
const WRITE_BYTES: usize = 64 * 1024;

/// A call's bulk data and its answer.
pub(super) type Answered = Result<(Vec<u8>, Answer), WorkspaceError>;

/// What a call may give back.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) data_limit_bytes: usize,
    pub(super) live: Option<mpsc::Sender<Bytes>>,
}

#[derive(Debug)]
struct Call {
    credit: flow::Sender,
    /// Of the request, what has not been sent.
    rest: Bytes,
    received: flow::Receiver,
    data: Vec<u8>,
    wanted: Wanted,
    /// Absent once nobody waits.
    answer: Option<oneshot::Sender<Answered>>,
}

/// A connection from inside the workspace, as the server's side sees it.
#[derive(Debug)]
pub(super) struct Relayed {
    pub(super) credit: flow::Sender,
    pub(super) received: flow::Receiver,
    pub(super) to_send: VecDeque<u8>,
    pub(super) inbox: Vec<u8>,
    pub(super) we_ended: bool,
    pub(super) end_sent: bool,
    pub(super) they_ended: bool,
    pub(super) cut: bool,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) control: Vec<u8>,
    calls: HashMap<u32, Call>,
    pub(super) relayed: HashMap<u32, Relayed>,
    pub(super) accepted: VecDeque<(u32, u16)>,
    last_stream: u32,
    greeted: bool,
    shutdown: bool,
    /// Set once; nothing works any more.
    pub(super) gone: Option<String>,
}

/// Whether calls can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Connected,
    /// Calls wait until there is a stream again.
    Lost,
    Gone,
}

/// Shared by callers and the task that owns the pipes.
#[derive(Debug)]
pub(super) struct Link {
    state: Mutex<State>,
    /// There is something to write, or the link is to end.
    pub(super) work: Notify,
    /// Something happened to a relayed connection.
    pub(super) relay_work: Notify,
    standing: watch::Sender<Standing>,
}

impl Link {
    pub(super) fn new() -> Self {
        let state = State { control: frame::hello(), ..State::default() };
        let (standing, _) = watch::channel(Standing::Connected);
        Self { state: Mutex::new(state), work: Notify::new(), relay_work: Notify::new(), standing }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a call. Dropped before its end, the call is given up.
    pub(super) async fn call(&self, request: &Request, attached: &[u8], wanted: Wanted) -> Answered {
        let json = serde_json::to_vec(request).map_err(|error| WorkspaceError::Refused { why: error.to_string() })?;
        let total_bytes = 4 + json.len() + attached.len();
        if total_bytes > REQUEST_LIMIT_BYTES {
            return Err(WorkspaceError::Refused { why: "the request is larger than 64 MiB".to_owned() });
        }
        let mut body = Vec::with_capacity(OPEN_PREFIX_BYTES + total_bytes);
        body.extend_from_slice(&(total_bytes as u32).to_le_bytes());
        body.extend_from_slice(&(json.len() as u32).to_le_bytes());
        body.extend_from_slice(&json);
        body.extend_from_slice(attached);
        let (sender, receiver) = oneshot::channel();
        let stream = self.begin(&Bytes::from(body), wanted, sender)?;
        let guard = GiveUp { link: self, stream };
        let answered = receiver.await;
        std::mem::forget(guard);
        answered.unwrap_or_else(|_| Err(self.gone()))
    }

    fn begin(&self, body: &Bytes, wanted: Wanted, answer: oneshot::Sender<Answered>) -> Result<u32, WorkspaceError> {
        let mut state = self.state();
        if let Some(why) = &state.gone {
            return Err(WorkspaceError::Gone { why: why.clone() });
        }
        // Numbers come round again after two thousand million calls.
        let mut stream = state.last_stream.wrapping_add(2) | 1;
        while state.calls.contains_key(&stream) {
            stream = stream.wrapping_add(2);
        }
        state.last_stream = stream;
        let first = body.len().min(PAYLOAD_LIMIT_BYTES);
        frame::push(&mut state.control, Kind::Open, stream, &body[..first]);
        let call = Call {
            credit: flow::Sender::default(),
            rest: body.slice(first..),
            received: flow::Receiver::default(),
            data: Vec::new(),
            wanted,
            answer: Some(answer),
        };
        state.calls.insert(stream, call);
        drop(state);
        self.work.notify_one();
        Ok(stream)
    }

    pub(super) fn gone(&self) -> WorkspaceError {
        let why = self.state().gone.clone();
        WorkspaceError::Gone { why: why.unwrap_or_else(|| "it is being closed".to_owned()) }
    }

    /// Asks execd to end everything.
    pub(super) fn shut_down(&self) {
        let mut state = self.state();
        if !state.shutdown {
            state.shutdown = true;
            frame::push(&mut state.control, Kind::Shutdown, 0, &[]);
        }
        drop(state);
        self.work.notify_one();
    }

    /// Whether execd has been heard over the stream that there is.
    pub(super) fn is_greeted(&self) -> bool {
        self.state().greeted
    }

    pub(super) fn is_shutting_down(&self) -> bool {
        self.state().shutdown
    }

    pub(super) fn ping(&self) {
        frame::push(&mut self.state().control, Kind::Ping, 0, &[]);
        self.work.notify_one();
    }

    /// Completes once the link is to end.
    pub(super) async fn shutting_down(&self) {
        while !self.is_shutting_down() {
            self.work.notified().await;
        }
    }

    /// The stream is lost: every call in flight is `Gone`, later ones wait for the next stream.
    pub(super) fn interrupt(&self, why: &str) {
        let mut state = self.state();
        if state.gone.is_some() {
            return;
        }
        state.greeted = false;
        state.control = frame::hello();
        self.standing.send_replace(Standing::Lost);
        self.fail_calls(state, why.to_owned());
    }

    /// There is a stream again, and execd at its other end: that somebody holds the line is not enough.
    fn reconnected(&self) {
        self.standing.send_if_modified(|standing| {
            let was_lost = *standing == Standing::Lost;
            if was_lost {
                *standing = Standing::Connected;
            }
            was_lost
        });
    }

    /// Whether calls can be made, once that is known.
    pub(super) async fn lives(&self) -> bool {
        let mut standing = self.standing.subscribe();
        let settled = standing.wait_for(|standing| *standing != Standing::Lost).await;
        settled.is_ok_and(|standing| *standing == Standing::Connected)
    }

    /// Whether calls can be made now; asks nobody.
    pub(super) fn is_connected(&self) -> bool {
        *self.standing.borrow() == Standing::Connected
    }

    pub(super) fn is_gone(&self) -> bool {
        *self.standing.borrow() == Standing::Gone
    }

    /// Ends the link: every call in flight and every later one is `Gone`.
    pub(super) fn end(&self, why: &str) {
        let mut state = self.state();
        let why = state.gone.get_or_insert_with(|| why.to_owned()).clone();
        state.control.clear();
        self.standing.send_replace(Standing::Gone);
        self.fail_calls(state, why);
    }

    fn fail_calls(&self, mut state: MutexGuard<'_, State>, why: String) {
        let calls = std::mem::take(&mut state.calls);
        state.relayed.clear();
        state.accepted.clear();
        drop(state);
        let gone = WorkspaceError::Gone { why };
        for call in calls.into_values() {
            if let Some(answer) = call.answer {
                let _ = answer.send(Err(gone.clone()));
            }
        }
        self.relay_work.notify_waiters();
    }

    /// Frames to write now: control first, then a share of each stream that has data and credit.
    pub(super) fn outgoing(&self, out: &mut Vec<u8>) {
        let mut state = self.state();
        let state = &mut *state;
        out.append(&mut state.control);
        for (stream, call) in &mut state.calls {
            while !call.rest.is_empty() && out.len() < WRITE_BYTES {
                let count = call.rest.len().min(call.credit.available()).min(PAYLOAD_LIMIT_BYTES);
                if count == 0 {
                    break;
                }
                frame::push(out, Kind::Data, *stream, &call.rest.split_to(count));
                call.credit.spend(count);
            }
        }
        for (stream, relayed) in &mut state.relayed {
            while !relayed.to_send.is_empty() && out.len() < WRITE_BYTES {
                let count = relayed.to_send.len().min(relayed.credit.available()).min(PAYLOAD_LIMIT_BYTES);
                if count == 0 {
                    break;
                }
                let piece: Vec<u8> = relayed.to_send.drain(..count).collect();
                frame::push(out, Kind::Data, *stream, &piece);
                relayed.credit.spend(count);
            }
            if relayed.we_ended && !relayed.end_sent && relayed.to_send.is_empty() {
                relayed.end_sent = true;
                frame::push(out, Kind::End, *stream, &[]);
            }
        }
        if !state.relayed.is_empty() {
            self.relay_work.notify_waiters();
        }
    }

    /// Takes a frame from execd. An error ends the link.
    pub(super) fn hear(&self, header: Header, payload: &[u8]) -> Result<(), FrameError> {
        let mut guard = self.state();
        let state = &mut *guard;
        let stream = header.stream;
        if !state.greeted {
            if header.kind != Kind::Hello {
                return Err(FrameError("no hello"));
            }
            frame::check_hello(payload)?;
            state.greeted = true;
            drop(guard);
            self.reconnected();
            return Ok(());
        }
        if state.control.len() > CONTROL_BYTES_MAX {
            return Err(FrameError("asks for answers and does not read them"));
        }
        match header.kind {
            Kind::Ping => frame::push(&mut state.control, Kind::Pong, 0, &[]),
            Kind::Pong => return Ok(()),
            Kind::Credit => match (state.calls.get_mut(&stream), state.relayed.get_mut(&stream)) {
                (Some(call), _) => call.credit.grant(frame::number(payload)?)?,
                (None, Some(relayed)) => relayed.credit.grant(frame::number(payload)?)?,
                // The call ended while this was under way.
                (None, None) => return Ok(()),
            },
            Kind::Data if stream.is_multiple_of(2) => return self.hear_relayed(state, stream, payload),
            Kind::Data => {
                let call = state.calls.get_mut(&stream).ok_or(FrameError("data for a call that is not made"))?;
                if let Some(credit) = call.take(payload)? {
                    frame::push(&mut state.control, Kind::Credit, stream, &credit.to_le_bytes());
                } else {
                    return Ok(());
                }
            }
            Kind::Live => {
                if let Some(live) = state.calls.get(&stream).and_then(|call| call.wanted.live.as_ref()) {
                    let _ = live.try_send(Bytes::copy_from_slice(payload));
                }
                return Ok(());
            }
            Kind::Done | Kind::Failed => return finish(state, header.kind, stream, payload),
            Kind::Accept => self.hear_accept(state, stream, payload)?,
            Kind::End | Kind::Cancel => {
                if let Some(relayed) = state.relayed.get_mut(&stream) {
                    relayed.they_ended = true;
                    if header.kind == Kind::Cancel {
                        relayed.cut = true;
                        relayed.end_sent = true;
                        relayed.to_send.clear();
                    }
                    self.relay_work.notify_waiters();
                }
                return Ok(());
            }
            Kind::Hello | Kind::Open | Kind::Shutdown => return Err(FrameError("not for the server to hear")),
        }
        drop(guard);
        self.work.notify_one();
        Ok(())
    }

    fn hear_accept(&self, state: &mut State, stream: u32, payload: &[u8]) -> Result<(), FrameError> {
        if stream % 2 == 1 || state.relayed.contains_key(&stream) {
            return Err(FrameError("stream number is taken or not execd's"));
        }
        let port = payload.first_chunk().map_or(0, |bytes| u16::from_le_bytes(*bytes));
        // Of port 0 is a process's own stream, which the answer to its start names.
        if state.accepted.len() >= ACCEPTED_MAX || state.relayed.len() >= 4 * ACCEPTED_MAX {
            frame::push(&mut state.control, Kind::Cancel, stream, &[]);
            return Ok(());
        }
        let relayed = Relayed {
            credit: flow::Sender::default(),
            received: flow::Receiver::default(),
            to_send: VecDeque::new(),
            inbox: Vec::new(),
            we_ended: false,
            end_sent: false,
            they_ended: false,
            cut: false,
        };
        state.relayed.insert(stream, relayed);
        if port != 0 {
            state.accepted.push_back((stream, port));
        }
        self.relay_work.notify_waiters();
        Ok(())
    }

    fn hear_relayed(&self, state: &mut State, stream: u32, payload: &[u8]) -> Result<(), FrameError> {
        // Data for a connection that has just been cut here is no offence.
        if let Some(relayed) = state.relayed.get_mut(&stream) {
            if relayed.they_ended {
                return Err(FrameError("data behind its end"));
            }
            relayed.received.receive(payload.len())?;
            relayed.inbox.extend_from_slice(payload);
            self.relay_work.notify_waiters();
        }
        Ok(())
    }
}

impl Call {
    /// Takes data; gives the credit to send back.
    fn take(&mut self, payload: &[u8]) -> Result<Option<u32>, FrameError> {
        self.received.receive(payload.len())?;
        if self.answer.is_some() {
            if self.data.len() + payload.len() > self.wanted.data_limit_bytes {
                return Err(FrameError("more data than was asked for"));
            }
            self.data.extend_from_slice(payload);
            if let Some(live) = &self.wanted.live {
                let _ = live.try_send(Bytes::copy_from_slice(payload));
            }
        }
        Ok(self.received.take(payload.len()))
    }
}

/// A call's last frame.
fn finish(state: &mut State, kind: Kind, stream: u32, payload: &[u8]) -> Result<(), FrameError> {
    let call = state.calls.remove(&stream).ok_or(FrameError("answer to a call that is not made"))?;
    let answered = if kind == Kind::Done {
        let answer = serde_json::from_slice(payload).map_err(|_| FrameError("an answer that cannot be read"))?;
        Ok((call.data, answer))
    } else {
        let failure = serde_json::from_slice(payload).map_err(|_| FrameError("a failure that cannot be read"))?;
        Err(error_of(failure))
    };
    if let Some(answer) = call.answer {
        let _ = answer.send(answered);
    }
    Ok(())
}

fn error_of(Failure { kind, what, why }: Failure) -> WorkspaceError {
    match kind {
        FailureKind::NotFound => WorkspaceError::NotFound { path: what },
        FailureKind::Conflict => WorkspaceError::Conflict { path: what, why },
        FailureKind::Refused if what.is_empty() => WorkspaceError::Refused { why },
        FailureKind::Refused => WorkspaceError::Refused { why: format!("{what} {why}") },
        FailureKind::Io => WorkspaceError::Io { what, why },
    }
}

/// Gives a call up when its caller is dropped.
struct GiveUp<'a> {
    link: &'a Link,
    stream: u32,
}

impl Drop for GiveUp<'_> {
    fn drop(&mut self) {
        let mut state = self.link.state();
        let Some(call) = state.calls.get_mut(&self.stream) else { return };
        call.answer = None;
        call.data = Vec::new();
        // What execd has of the request is a part; it must not wait for the rest.
        call.rest = Bytes::new();
        frame::push(&mut state.control, Kind::Cancel, self.stream, &[]);
        drop(state);
        self.link.work.notify_one();
    }
}
