//! Whether the server still listens: one that says nothing is asked for a sign of life, and taken for gone when it gives
//! none. Without this an engine that hangs with an open stream would keep a workspace for ever.

use std::time::{Duration, Instant};

/// Between two signs of life, where the server says nothing else. It asks as often by itself.
const BEAT: Duration = Duration::from_secs(15);
/// Questions, and not time, are counted: this process may have stood still itself.
const UNANSWERED_MAX: u32 = 3;

/// What there is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beat {
    Wait,
    /// For a sign of life.
    Ask,
    /// The server is gone.
    Silent,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Heart {
    beat: Duration,
    /// When something is to be done next.
    due: Instant,
    unanswered: u32,
}

impl Heart {
    pub(crate) fn new(beat: Option<Duration>) -> Self {
        let beat = beat.unwrap_or(BEAT);
        Self { beat, due: Instant::now() + beat * 2, unanswered: 0 }
    }

    /// The server said something, whatever it was. Its own question is given time to come before ours.
    pub(crate) fn heard(&mut self) {
        self.unanswered = 0;
        self.due = Instant::now() + self.beat * 2;
    }

    pub(crate) fn due(&self) -> Instant {
        self.due
    }

    pub(crate) fn look(&mut self, now: Instant) -> Beat {
        if now < self.due {
            return Beat::Wait;
        }
        if self.unanswered == UNANSWERED_MAX {
            return Beat::Silent;
        }
        self.unanswered += 1;
        self.due = now + self.beat;
        Beat::Ask
    }
}
