//! Durations, counts and sums as people read them.

use std::time::Duration;

/// `12 ms`, `3.2 s`, `2 min 03 s`, `1 h 20 min`.
pub fn duration(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0 if span.as_millis() < 1_000 => format!("{} ms", span.as_millis()),
        0..60 => format!("{:.1} s", span.as_secs_f64()),
        60..3_600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3_600, seconds % 3_600 / 60),
    }
}

/// `1 file`, `3 files`.
pub fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// `812`, `12.3k`, `1.2M`.
pub(super) fn tokens(number: u64) -> String {
    match number {
        0..10_000 => number.to_string(),
        10_000..1_000_000 => format!("{:.1}k", number as f64 / 1e3),
        _ => format!("{:.1}M", number as f64 / 1e6),
    }
}

/// Dollars, with enough digits that a small sum is no zero.
pub(super) fn dollars(sum: f64) -> String {
    if sum > 0.0 && sum < 0.01 { format!("${sum:.4}") } else { format!("${sum:.2}") }
}

/// The first line of a text, at most `limit` characters.
pub(super) fn first_line(text: &str, limit: usize) -> String {
    let line = text.trim().lines().next().unwrap_or_default().trim();
    shorten(line, limit)
}

/// The text, cut in its end to at most `limit` characters.
pub(super) fn shorten(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// The end of a text that is being written, as one line.
pub(super) fn last_words(text: &str) -> String {
    let line = text.trim_end().lines().last().unwrap_or_default();
    crate::cli::screen::clean(line)
}
