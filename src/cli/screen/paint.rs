//! Gives a row its colours, from the terminal's own sixteen, so that themes hold.

use super::line::{Span, Tone};

/// One row as text; without colours it is the text alone, with nothing at its end.
pub fn paint(row: &[Span], colours: bool) -> String {
    let mut text = String::new();
    for span in row {
        match code(span.tone).filter(|_| colours && !span.text.trim().is_empty()) {
            Some(code) => {
                text.push_str("\u{1b}[");
                text.push_str(code);
                text.push('m');
                text.push_str(&span.text);
                text.push_str("\u{1b}[0m");
            }
            None => text.push_str(&span.text),
        }
    }
    text.truncate(text.trim_end_matches(' ').len());
    text
}

fn code(tone: Tone) -> Option<&'static str> {
    Some(match tone {
        Tone::Plain => return None,
        Tone::Strong => "1",
        Tone::Dim => "2",
        Tone::Accent => "1;36",
        Tone::Good => "1;32",
        Tone::Bad => "1;31",
        Tone::Warn => "33",
        Tone::Added => "32",
        Tone::Removed => "31",
        Tone::Hunk => "36",
    })
}
