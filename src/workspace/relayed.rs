//! A connection that something in the workspace made to its loopback, or the stdin and stdout of a
//! process there, which execd carries: the server's end of it. Who may be spoken to through it is
//! decided elsewhere.

use super::{
    WorkspaceError,
    link::{Link, State},
};
use execd::{
    flow,
    frame::{self, Kind},
};
use std::sync::Arc;

/// A connection from inside the workspace. Dropped, it is cut.
#[derive(Debug)]
pub struct RelayedStream {
    link: Arc<Link>,
    stream: u32,
    /// The port in the workspace that it came to; 0: none, it is a process's stdin and stdout.
    pub port: u16,
}

impl RelayedStream {
    /// The next connection that the workspace makes.
    pub(super) async fn accept(link: &Arc<Link>) -> Result<Self, WorkspaceError> {
        loop {
            let notified = link.relay_work.notified();
            {
                let mut state = link.state();
                if let Some((stream, port)) = state.accepted.pop_front() {
                    return Ok(Self { link: Arc::clone(link), stream, port });
                }
                if let Some(why) = &state.gone {
                    return Err(WorkspaceError::Gone { why: why.clone() });
                }
            }
            notified.await;
        }
    }

    /// The stream of a process that was started with one; absent where execd has announced none.
    pub(super) fn of_process(link: &Arc<Link>, stream: u32) -> Option<Self> {
        let known = link.state().relayed.contains_key(&stream);
        known.then(|| Self { link: Arc::clone(link), stream, port: 0 })
    }

    /// The next bytes, at most a window of them; empty: the workspace has nothing more to say.
    /// Cancel safe.
    pub async fn read(&self) -> Result<Vec<u8>, WorkspaceError> {
        loop {
            let notified = self.link.relay_work.notified();
            {
                let mut state = self.link.state();
                let state = &mut *state;
                let Some(relayed) = state.relayed.get_mut(&self.stream) else { return Err(over(state)) };
                if !relayed.inbox.is_empty() {
                    let bytes = std::mem::take(&mut relayed.inbox);
                    if let Some(credit) = relayed.received.take(bytes.len()) {
                        frame::push(&mut state.control, Kind::Credit, self.stream, &credit.to_le_bytes());
                        self.link.work.notify_one();
                    }
                    return Ok(bytes);
                }
                if relayed.cut {
                    return Err(WorkspaceError::Io {
                        what: "relayed connection".to_owned(),
                        why: "cut by the workspace".to_owned(),
                    });
                }
                if relayed.they_ended {
                    return Ok(Vec::new());
                }
            }
            notified.await;
        }
    }

    /// Writes all of `bytes`, waiting for credit. Cancelled, a part of them may be written.
    pub async fn write(&self, mut bytes: &[u8]) -> Result<(), WorkspaceError> {
        while !bytes.is_empty() {
            let notified = self.link.relay_work.notified();
            {
                let mut state = self.link.state();
                let state = &mut *state;
                let Some(relayed) = state.relayed.get_mut(&self.stream) else { return Err(over(state)) };
                if relayed.cut || relayed.we_ended {
                    return Err(WorkspaceError::Io {
                        what: "relayed connection".to_owned(),
                        why: "is ended".to_owned(),
                    });
                }
                let room = (flow::WINDOW_BYTES as usize).saturating_sub(relayed.to_send.len());
                let (now, later) = bytes.split_at(room.min(bytes.len()));
                relayed.to_send.extend(now);
                bytes = later;
            }
            self.link.work.notify_one();
            if !bytes.is_empty() {
                notified.await;
            }
        }
        Ok(())
    }

    /// Nothing more will be written.
    pub fn end(&self) {
        if let Some(relayed) = self.link.state().relayed.get_mut(&self.stream) {
            relayed.we_ended = true;
        }
        self.link.work.notify_one();
    }
}

impl Drop for RelayedStream {
    fn drop(&mut self) {
        let mut state = self.link.state();
        if let Some(relayed) = state.relayed.remove(&self.stream)
            && !(relayed.end_sent && relayed.they_ended)
        {
            frame::push(&mut state.control, Kind::Cancel, self.stream, &[]);
            drop(state);
            self.link.work.notify_one();
        }
    }
}

fn over(state: &State) -> WorkspaceError {
    WorkspaceError::Gone { why: state.gone.clone().unwrap_or_else(|| "the connection is over".to_owned()) }
}
