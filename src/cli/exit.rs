//! How a command ends, as calling programs see it.

use std::{
    io::Write,
    process::{ExitCode, Termination},
};

/// The exit codes; documented in `docs/command-line.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: what was asked for holds.
    Done,
    /// 1: the task failed, or is not verified where that was required; `doctor` found that the
    /// main job could not run; the server is not healthy.
    Failed,
    /// 2: wrong usage, or a server that could not be reached or refused.
    Unusable,
    /// 130: Ctrl-C.
    Interrupted,
}

impl Exit {
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Unusable => 2,
            Self::Interrupted => 130,
        }
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self.code())
    }
}

/// Says what went wrong on stderr, with its causes in one line.
pub(super) fn complain(error: &anyhow::Error) -> Exit {
    // A closed stderr leaves nobody to tell.
    let _ = writeln!(std::io::stderr(), "journeyman: {error:#}");
    Exit::Unusable
}
