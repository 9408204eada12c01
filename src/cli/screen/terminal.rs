//! The one writer to stdout: lines above, and on a terminal one status line below them.

use super::{Line, layout, paint};
use crate::cli::arguments::ColorArgument;
use std::io::{self, IsTerminal, Write};

/// Where lines go. On a terminal the last row is a status line that is rewritten in place; each
/// update is one write, between the marks that make terminals show it at once. Elsewhere there
/// is no status line and no control sequence.
#[derive(Debug)]
pub struct Screen {
    colours: bool,
    live: bool,
    /// The status row that stands on the terminal now.
    status: String,
}

impl Screen {
    /// A screen on stdout. `NO_COLOR` counts when it is not empty (no-color.org).
    #[expect(clippy::disallowed_methods, reason = "NO_COLOR and TERM belong to the terminal, not to the settings")]
    pub fn new(color: ColorArgument) -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let terminal = io::stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let colours = match color {
            ColorArgument::Auto => terminal && !no_color,
            ColorArgument::Always => true,
            ColorArgument::Never => false,
        };
        Self { colours, live: terminal && color != ColorArgument::Never, status: String::new() }
    }

    /// Whether there is a status line.
    pub fn is_live(&self) -> bool {
        self.live
    }

    /// Writes lines above the status line. Errors when stdout is closed: nobody is watching.
    pub fn print(&mut self, lines: &[Line]) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let columns = self.columns();
        let mut text = String::new();
        for line in lines {
            for row in layout(line, columns) {
                text.push_str(&paint(&row, self.colours));
                text.push('\n');
            }
        }
        self.write(&text, self.status.clone())
    }

    /// Rewrites the status line; nothing where there is none.
    pub fn status(&mut self, line: Option<&Line>) -> io::Result<()> {
        if !self.live {
            return Ok(());
        }
        // One column is left free: a full row would wrap, and clearing it would miss a part.
        let columns = self.columns().map(|columns| columns - 1);
        let fits = columns.is_none_or(|columns| columns >= 20);
        let row = line.filter(|_| fits).and_then(|line| layout(&line.clone().cut(), columns).into_iter().next());
        let status = row.map(|row| paint(&row, self.colours)).unwrap_or_default();
        if status == self.status { Ok(()) } else { self.write("", status) }
    }

    /// Takes the status line away, for good.
    pub fn close(&mut self) -> io::Result<()> {
        self.status(None)?;
        io::stdout().flush()
    }

    fn write(&mut self, text: &str, status: String) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.live {
            let update = format!("\u{1b}[?2026h\r\u{1b}[2K{text}{status}\u{1b}[?2026l");
            out.write_all(update.as_bytes())?;
        } else {
            out.write_all(text.as_bytes())?;
        }
        self.status = status;
        out.flush()
    }

    /// The terminal's width now; `None` where lines are not fitted to one.
    fn columns(&self) -> Option<usize> {
        if !self.live {
            return None;
        }
        let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
        Some(usize::from(size.ws_col)).filter(|columns| *columns > 0).map(|columns| columns.min(120))
    }
}
