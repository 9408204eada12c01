//! Where a command's answer goes: lines for people, or JSON for programs.
//!
//! When stdout is closed the rest is silent: a task is not given up because nobody reads.

use super::{
    arguments::ColorArgument,
    screen::{Line, Screen, Tone},
    story::{Story, duration},
    view::EventView,
};
use serde_json::Value;
use std::{
    io::{self, Write},
    time::Duration,
};

/// One command's output.
#[derive(Debug)]
pub(super) struct Output {
    kind: Kind,
    closed: bool,
}

#[derive(Debug)]
enum Kind {
    People { screen: Screen, story: Box<Story>, tick: usize },
    Json,
}

impl Output {
    pub(super) fn new(json: bool, color: ColorArgument) -> Self {
        let kind =
            if json { Kind::Json } else { Kind::People { screen: Screen::new(color), story: Box::default(), tick: 0 } };
        Self { kind, closed: false }
    }

    pub(super) fn is_json(&self) -> bool {
        matches!(self.kind, Kind::Json)
    }

    /// Nobody reads any more.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// How often [`Output::tick`] should be called.
    pub(super) fn tick_every(&self) -> Duration {
        match &self.kind {
            Kind::People { screen, .. } if screen.is_live() => Duration::from_millis(100),
            _ => Duration::from_secs(60),
        }
    }

    /// Lines for people; programs do not get them.
    pub(super) fn lines(&mut self, lines: &[Line]) {
        if let Kind::People { screen, .. } = &mut self.kind {
            let done = screen.print(lines);
            self.note(&done);
        }
    }

    /// An object for programs; people do not get it.
    pub(super) fn json(&mut self, value: &Value) {
        if self.is_json() {
            let done = writeln!(io::stdout().lock(), "{value}");
            self.note(&done);
        }
    }

    pub(super) fn event(&mut self, event: &EventView) {
        match &mut self.kind {
            Kind::Json => self.json(&event.raw),
            Kind::People { screen, story, tick } => {
                let lines = story.event(event);
                let done =
                    screen.print(&lines).and_then(|()| screen.status(story.status(Duration::ZERO, *tick).as_ref()));
                self.note(&done);
            }
        }
    }

    pub(super) fn live(&mut self, kind: &str, data: &Value) {
        if let Kind::People { story, .. } = &mut self.kind {
            story.live(kind, data);
        }
    }

    /// Says that the connection broke.
    pub(super) fn lost(&mut self, reason: &str, pause: Duration) {
        let text = format!("… {reason}; connecting again in {}", duration(pause));
        self.lines(&[Line::at(2).with(text, Tone::Warn)]);
    }

    /// Shows that time passes. `elapsed` is the time since the last event.
    pub(super) fn tick(&mut self, elapsed: Duration) {
        let Kind::People { screen, story, tick } = &mut self.kind else { return };
        *tick += 1;
        let Some(status) = story.status(elapsed, *tick) else { return };
        let done = if screen.is_live() {
            screen.status(Some(&status))
        } else {
            let mut line = Line::at(2).dim("… still: ");
            line.spans.extend(status.spans.into_iter().skip(1));
            line.right = status.right;
            screen.print(&[line])
        };
        self.note(&done);
    }

    /// Takes the status line away.
    pub(super) fn close(&mut self) {
        if let Kind::People { screen, .. } = &mut self.kind {
            let done = screen.close();
            self.note(&done);
        }
    }

    fn note(&mut self, done: &io::Result<()>) {
        self.closed |= done.is_err();
    }
}
