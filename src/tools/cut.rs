//! The form in which an output is recorded and shown: clean text, cut in the middle.
//!
//! Done once, when the result is recorded, so that a conversation's bytes never change later.

use std::fmt::Write;

/// The most that a recorded output holds: 10,000 tokens at an estimated 4 bytes each.
pub const OUTPUT_LIMIT_BYTES: usize = 40_000;

const NOTICE_BYTES: usize = 200;

/// The text to record for `output`, at most [`OUTPUT_LIMIT_BYTES`] long, and whether it lacks
/// something of the bytes: then the whole is worth keeping.
///
/// Bytes that are no UTF-8 become U+FFFD, terminal escapes are taken out, lines that a program
/// has overwritten are counted instead of shown, other control characters are written `\xNN`.
/// What is too long loses its middle, at line borders where they are near, and says how much.
pub fn cut(output: &[u8]) -> (String, bool) {
    let text = clean(output);
    if text.len() <= OUTPUT_LIMIT_BYTES {
        let lacks = text.as_bytes() != output;
        return (text, lacks);
    }
    let half = (OUTPUT_LIMIT_BYTES - NOTICE_BYTES) / 2;
    let head = &text[..head_end(&text, half)];
    let tail = &text[tail_start(&text, half)..];
    let middle = &text[head.len()..text.len() - tail.len()];
    let mut short = String::with_capacity(OUTPUT_LIMIT_BYTES);
    short.push_str(head);
    if !head.ends_with('\n') {
        short.push('\n');
    }
    let _ = writeln!(
        short,
        "[... {} bytes in {} lines are left out here; the whole output has {} bytes, about {} tokens, in {} lines ...]",
        grouped(middle.len()),
        grouped(lines(middle)),
        grouped(output.len()),
        grouped(output.len().div_ceil(4)),
        grouped(lines(&text)),
    );
    short.push_str(tail);
    (short, true)
}

/// A number with commas between thousands.
pub(super) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The last border between characters at or before `at`.
pub(super) fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// The first border between characters at or after `at`.
pub(super) fn ceil(text: &str, at: usize) -> usize {
    (at..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len())
}

/// At most `limit` bytes of `text` in whole characters, ending after a line where one ends in
/// the last quarter.
fn head_end(text: &str, limit: usize) -> usize {
    let end = floor(text, limit);
    text[..end].rfind('\n').map(|at| at + 1).filter(|at| *at >= limit / 4 * 3).unwrap_or(end)
}

fn tail_start(text: &str, limit: usize) -> usize {
    let start = ceil(text, text.len() - limit);
    text[start..].find('\n').map(|at| start + at + 1).filter(|at| text.len() - at >= limit / 4 * 3).unwrap_or(start)
}

fn lines(text: &str) -> usize {
    text.lines().count()
}

/// Text that any terminal, JSON document and database column can hold.
pub(super) fn clean(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    if !text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
        return text.into_owned();
    }
    let mut out = String::with_capacity(text.len());
    let unescaped = without_escapes(&text);
    for line in unescaped.split_inclusive('\n') {
        let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
        push_line(&mut out, line.trim_end_matches('\r'));
        out.push_str(end);
    }
    out
}

/// One line as a terminal would show it in the end: what carriage returns and backspaces have
/// overwritten is left out.
fn push_line(out: &mut String, line: &str) {
    let mut shown = line;
    let mut overwritten = 0;
    if line.contains('\r') {
        let mut parts = line.split('\r').filter(|part| !part.trim().is_empty());
        let last = parts.next_back().unwrap_or("");
        overwritten = parts.count();
        shown = last;
    }
    if overwritten > 0 {
        let _ = write!(out, "[{} overwritten before] ", grouped(overwritten));
    }
    let start = out.len();
    for c in shown.chars() {
        match c {
            '\u{8}' => {
                if out.len() > start {
                    out.pop();
                }
            }
            '\u{7}' => {}
            '\t' => out.push(c),
            c if c.is_control() => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
}

/// Without the control sequences of ECMA-48: colours, cursor movements, window titles. A
/// sequence that is not ended on its own line ends with it.
fn without_escapes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let introducer = match c {
            '\u{1b}' => match chars.next_if(|n| *n != '\n') {
                Some(next) => next,
                None => continue,
            },
            '\u{9b}' => '[',
            _ => {
                out.push(c);
                continue;
            }
        };
        match introducer {
            '[' => {
                while chars.next_if(|n| ('\u{20}'..='\u{3f}').contains(n)).is_some() {}
                let _ = chars.next_if(|n| ('\u{40}'..='\u{7e}').contains(n));
            }
            ']' | 'P' | 'X' | '^' | '_' => {
                while let Some(n) = chars.next_if(|n| *n != '\n') {
                    if n == '\u{7}' || n == '\u{9c}' {
                        break;
                    }
                    if n == '\u{1b}' {
                        let _ = chars.next_if_eq(&'\\');
                        break;
                    }
                }
            }
            '\u{20}'..='\u{2f}' => {
                while chars.next_if(|n| ('\u{20}'..='\u{2f}').contains(n)).is_some() {}
                let _ = chars.next_if(|n| ('\u{30}'..='\u{7e}').contains(n));
            }
            _ => {}
        }
    }
    out
}
