//! Makes a line fit a width.

use super::line::{Line, Overflow, Span, Tone};

/// Columns that a line's text has at least.
const ROOM_MIN: usize = 8;

/// Columns of a text on a terminal: 0 for marks that combine, 2 for wide letters and emoji
/// (Unicode's East Asian Width, the blocks that matter), else 1.
pub fn width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

/// The rows that a line takes. Without a width it is one row, whole, with its right part two
/// spaces behind it.
pub fn layout(line: &Line, columns: Option<usize>) -> Vec<Vec<Span>> {
    let indent = padding(line.indent);
    let Some(columns) = columns.filter(|_| line.overflow != Overflow::Keep) else {
        let mut row = indent;
        row.extend(line.spans.iter().cloned());
        if !line.right.is_empty() {
            row.extend(padding(2));
            row.extend(line.right.iter().cloned());
        }
        return vec![row];
    };
    let columns = columns.max(20);
    let indent = line.indent.min(columns - ROOM_MIN);
    let tail = cut(&line.right, columns);
    let right: usize = tail.iter().map(|span| width(&span.text)).sum();
    // Where there is no room beside it, the right part has a row of its own.
    let beside = right > 0 && columns - indent >= right + 2 + ROOM_MIN;
    let room = columns - indent - if beside { right + 2 } else { 0 };
    let hang = line.hang.min(room - ROOM_MIN / 2);
    let mut rows = match line.overflow {
        Overflow::Wrap => wrap(&line.spans, room, hang),
        Overflow::Cut | Overflow::Keep => vec![cut(&line.spans, room)],
    };
    for (index, row) in rows.iter_mut().enumerate() {
        let mut whole = padding(indent + if index == 0 { 0 } else { hang });
        whole.append(row);
        *row = whole;
    }
    if right > 0 {
        if !beside {
            rows.push(Vec::new());
        }
        if let Some(row) = rows.last_mut() {
            let used: usize = row.iter().map(|span| width(&span.text)).sum();
            row.extend(padding(columns.saturating_sub(used + right)));
            row.extend(tail);
        }
    }
    rows
}

fn padding(columns: usize) -> Vec<Span> {
    if columns == 0 { Vec::new() } else { vec![Span { text: " ".repeat(columns), tone: Tone::Plain }] }
}

/// One row of at most `room` columns.
fn cut(spans: &[Span], room: usize) -> Vec<Span> {
    let total: usize = spans.iter().map(|span| width(&span.text)).sum();
    if total <= room {
        return spans.to_vec();
    }
    let mut left = room - 1;
    let mut row = Vec::new();
    for span in spans {
        let mut text = String::new();
        for char in span.text.chars() {
            let columns = char_width(char);
            if columns > left {
                row.push(Span { text, tone: span.tone });
                row.push(Span { text: "…".into(), tone: Tone::Dim });
                return row;
            }
            left -= columns;
            text.push(char);
        }
        row.push(Span { text, tone: span.tone });
    }
    row
}

/// Rows of at most `room` columns, broken between words where there are any; rows after the
/// first have `hang` columns less.
fn wrap(spans: &[Span], room: usize, hang: usize) -> Vec<Vec<Span>> {
    let mut rows = vec![Vec::new()];
    let mut used = 0;
    for span in spans {
        for word in span.text.split_inclusive(' ') {
            for (at, piece) in pieces(word, room - hang).into_iter().enumerate() {
                let limit = if rows.len() == 1 { room } else { room - hang };
                // A word goes to the next row whole, its pieces where they have to.
                let needed = if at == 0 { width(word.trim_end()).min(limit) } else { width(piece.trim_end()) };
                if used > 0 && used + needed > limit {
                    rows.push(Vec::new());
                    used = 0;
                }
                used += width(piece);
                if let Some(row) = rows.last_mut() {
                    push(row, piece, span.tone);
                }
            }
        }
    }
    for row in &mut rows {
        if let Some(last) = row.last_mut() {
            last.text.truncate(last.text.trim_end().len());
        }
    }
    rows
}

/// A word, in pieces of at most `limit` columns.
fn pieces(word: &str, limit: usize) -> Vec<&str> {
    let mut pieces = Vec::new();
    let (mut start, mut used) = (0, 0);
    for (at, char) in word.char_indices() {
        let columns = char_width(char);
        if used + columns > limit && char != ' ' {
            pieces.push(&word[start..at]);
            (start, used) = (at, 0);
        }
        used += columns;
    }
    pieces.push(&word[start..]);
    pieces
}

fn push(row: &mut Vec<Span>, text: &str, tone: Tone) {
    match row.last_mut() {
        Some(last) if last.tone == tone => last.text.push_str(text),
        _ => row.push(Span { text: text.to_owned(), tone }),
    }
}

fn char_width(char: char) -> usize {
    match char as u32 {
        0x300..=0x36f | 0x200b..=0x200f | 0x20d0..=0x20ff | 0xfe00..=0xfe0f | 0xfe20..=0xfe2f | 0xe0100..=0xe01ef => 0,
        0x1100..=0x115f
        | 0x2e80..=0x303e
        | 0x3041..=0xa4cf
        | 0xa960..=0xa97f
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1f64f
        | 0x1f680..=0x1f6ff
        | 0x1f900..=0x1f9ff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}
