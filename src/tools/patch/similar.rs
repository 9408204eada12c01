//! The lines of a file that are most like the ones that were looked for.

use super::text::Text;
use std::{collections::HashMap, fmt::Write};

/// The most comparisons of two lines; beyond that only the beginning of what is wanted counts.
const COMPARISONS_MAX: usize = 4_000_000;
const SHOWN_LINES_MAX: usize = 12;
const SHOWN_LINE_CHARS_MAX: usize = 160;

/// A run of lines of the file, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) start: usize,
    pub(super) end: usize,
}

/// The most similar run of as many lines as are wanted; none where less than a quarter of it is
/// alike.
pub(super) fn window(text: &Text<'_>, wanted: &[&str]) -> Option<Window> {
    let (lines, most) = (text.lines.len(), COMPARISONS_MAX.checked_div(text.lines.len())?);
    let wanted: &[&str] = &wanted[..wanted.len().min(most.max(1))];
    let mut words = Words::default();
    let file: Vec<Vec<u32>> = text.lines.iter().map(|line| words.of(&line.text)).collect();
    let wanted: Vec<Vec<u32>> = wanted.iter().map(|line| words.of(line)).collect();
    let weight: usize = wanted.iter().map(|line| line.len().min(1) * 1_000).sum();
    let mut best = (weight / 4, None);
    for start in 0..lines {
        let pairs = file[start..].iter().zip(&wanted);
        let score: usize = pairs.map(|(have, want)| alike(have, want)).sum();
        if score > best.0 {
            best = (score, Some(start));
        }
    }
    let start = best.1?;
    Some(Window { start, end: (start + wanted.len()).min(lines) })
}

/// The window's lines with their numbers, those that differ from what was wanted marked with `*`.
pub(super) fn shown(text: &Text<'_>, window: Window, wanted: &[&str]) -> String {
    let mut out = String::new();
    let width = window.end.to_string().len();
    for (i, line) in (window.start..window.end).enumerate().take(SHOWN_LINES_MAX) {
        let want = wanted.get(i).copied().unwrap_or("");
        let mark = if text.line(line).trim() == want.trim() { ' ' } else { '*' };
        let _ = writeln!(out, "{mark} {:>width$}| {}", line + 1, short(text.line(line)));
    }
    if window.end - window.start > SHOWN_LINES_MAX {
        let _ = writeln!(out, "  ... to line {}", window.end);
    }
    out
}

/// A line as it is quoted in a refusal.
pub(super) fn short(line: &str) -> String {
    let mut shown: String = line.chars().take(SHOWN_LINE_CHARS_MAX).collect();
    if shown.len() < line.len() {
        shown.push('…');
    }
    shown
}

/// Words as numbers, so that lines compare quickly.
#[derive(Debug, Default)]
struct Words(HashMap<String, u32>);

impl Words {
    /// The numbers of the line's words and signs, sorted.
    fn of(&mut self, line: &str) -> Vec<u32> {
        let mut numbers = Vec::new();
        let mut word = String::new();
        for c in line.chars().take(1_000).chain([' ']) {
            if c.is_alphanumeric() || c == '_' {
                word.push(c);
                continue;
            }
            if !word.is_empty() {
                numbers.push(self.number(std::mem::take(&mut word)));
            }
            if !c.is_whitespace() {
                numbers.push(self.number(c.to_string()));
            }
        }
        numbers.sort_unstable();
        numbers
    }

    fn number(&mut self, word: String) -> u32 {
        let next = self.0.len() as u32;
        *self.0.entry(word).or_insert(next)
    }
}

/// From 0 to 1,000: twice the words that both have among the words of both.
fn alike(a: &[u32], b: &[u32]) -> usize {
    if a.is_empty() || b.is_empty() {
        return 0;
    }
    let (mut i, mut j, mut common) = (0, 0, 0);
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        if x == y {
            common += 1;
        }
        i += usize::from(x <= y);
        j += usize::from(y <= x);
    }
    2_000 * common / (a.len() + b.len())
}
