//! What a tool call gives back.

use crate::{analysis::symbols::Edited, domain::tool::ToolOutcome};
use std::time::Duration;

/// The answer to one call, whole: the recorder passes `output` through [`super::cut`] and keeps
/// the bytes themselves where that left something out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolAnswer {
    pub outcome: ToolOutcome,
    /// At most about 1 MiB; may hold any bytes.
    pub output: Vec<u8>,
    /// Bytes at its beginning that are the server's words and not the command's output.
    pub head_bytes: usize,
    /// Of `shell` and `write_stdin` alone, once the process has ended by itself.
    pub exit_code: Option<i32>,
    /// Files of the working copy were changed or, after a command, may have been.
    pub changed_files: bool,
    /// Of `apply_patch` and `edit`: the files as they left them.
    pub edited: Vec<Edited>,
    pub duration: Duration,
}

impl ToolAnswer {
    /// The call was not performed, or failed before it had any effect; `text` says how to mend it.
    pub fn refused(text: impl Into<String>) -> Self {
        Self { outcome: ToolOutcome::Error, ..Self::said(text) }
    }

    /// The call went well and changed nothing.
    pub fn said(text: impl Into<String>) -> Self {
        Self {
            outcome: ToolOutcome::Ok,
            output: text.into().into_bytes(),
            head_bytes: 0,
            exit_code: None,
            changed_files: false,
            edited: Vec::new(),
            duration: Duration::ZERO,
        }
    }
}
