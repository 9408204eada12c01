//! Following a task on a screen until it ends or the person leaves.

use super::{
    client::{ApiError, Follow, Piece},
    output::Output,
};
use crate::clock::Stopwatch;
use std::pin::pin;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{MissedTickBehavior, interval},
};

/// What ended the watching.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Watched {
    /// The task has ended and all of it was shown.
    Ended,
    /// Ctrl-C or SIGTERM; watching can go on.
    Interrupted,
    /// Nobody reads the output.
    Unread,
}

/// Ctrl-C and SIGTERM.
#[derive(Debug)]
pub(super) struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupts {
    pub(super) fn new() -> anyhow::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// The next one.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Shows what the stream brings. With `while_read`, watching ends when nobody reads.
pub(super) async fn watch(
    follow: &mut Follow,
    output: &mut Output,
    interrupts: &mut Interrupts,
    while_read: bool,
) -> Result<Watched, ApiError> {
    let mut ticks = interval(output.tick_every());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut since = Stopwatch::start();
    ticks.reset();
    loop {
        if while_read && output.is_closed() {
            return Ok(Watched::Unread);
        }
        let mut next = pin!(follow.next());
        let piece = loop {
            tokio::select! {
                piece = &mut next => break piece?,
                () = interrupts.next() => return Ok(Watched::Interrupted),
                _ = ticks.tick() => output.tick(since.elapsed()),
            }
        };
        match piece {
            Piece::Event(event) => {
                since = Stopwatch::start();
                ticks.reset();
                output.event(&event);
            }
            Piece::Live { kind, data } => output.live(&kind, &data),
            Piece::Lost { attempt: 1, .. } => {}
            Piece::Lost { reason, pause, .. } => output.lost(&reason, pause),
            Piece::End => return Ok(Watched::Ended),
        }
    }
}
