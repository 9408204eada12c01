//! The brief's sections about code, within their budget.

use super::{
    super::brief::plain,
    Known, map,
    nearest::{self, Near},
    style,
};
use std::fmt::Write;

/// Below this no section says anything.
const ROOM_MIN: usize = 300;
/// Parts of the room, in hundredths; the map has what is left.
const STYLE_PERCENT: usize = 15;
const NEAREST_PERCENT: usize = 25;
/// Places of which lines are shown, how many, and how long one may be.
const SHOWN_MAX: usize = 2;
const LINES_MAX: usize = 8;
const LINE_LETTERS_MAX: usize = 140;

const MAP_HEAD: &str =
    "\n## Symbols\nWhat the rest of the code refers to most (line: signature); there is more: search for it.\n";

/// The sections in at most `room` bytes; empty where there is nothing to say.
pub(crate) fn render(known: &Known<'_>, request: &str, room: usize) -> String {
    if room < ROOM_MIN || known.symbols.index.files.is_empty() {
        return String::new();
    }
    let words = nearest::words_of(request);
    let mut text = String::new();
    let styles = style::render(&known.symbols.index.styles, room * STYLE_PERCENT / 100);
    if !styles.is_empty() {
        let _ = write!(text, "\n## How this code is written, counted\n{styles}");
    }
    let near = near(known, &nearest::find(known.symbols, &words), room * NEAREST_PERCENT / 100);
    let skipped = skipped(known);
    let taken = text.len() + near.len() + MAP_HEAD.len() + skipped.len();
    let map = map::render(known.symbols, &words, room.saturating_sub(taken));
    if !map.is_empty() {
        text.push_str(MAP_HEAD);
        text.push_str(&map);
        text.push_str(&skipped);
    }
    text.push_str(&near);
    text
}

/// What the map does not cover.
fn skipped(known: &Known<'_>) -> String {
    let skipped = known.symbols.index.skipped;
    let counts = [
        (skipped.generated, "generated"),
        (skipped.minified, "minified"),
        (skipped.binary, "binary"),
        (skipped.unread, "not read in time"),
    ];
    let told: Vec<String> =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    let left_out = if told.is_empty() { String::new() } else { format!("; left out: {}", told.join(", ")) };
    format!("(from {} files of code{left_out})\n", known.symbols.index.files.len())
}

fn near(known: &Known<'_>, places: &[Near<'_>], room: usize) -> String {
    let head = "\n## Nearest to the request, by words\n";
    let mut text = String::new();
    for (number, place) in places.iter().enumerate() {
        let definition = place.definition;
        let mut block = format!("{}:{}", plain(place.path, 200), map::line(definition).trim_start());
        if number < SHOWN_MAX
            && let Some(content) = known.samples.get(place.path)
        {
            block.push_str(&lines(content, definition.line, definition.end));
        }
        if head.len() + text.len() + block.len() > room {
            continue;
        }
        text.push_str(&block);
    }
    if text.is_empty() { text } else { format!("{head}{text}") }
}

/// The first lines after the signature's, indented once more.
fn lines(content: &[u8], first: u32, last: u32) -> String {
    let text = String::from_utf8_lossy(content);
    let count = (last.saturating_sub(first) as usize).min(LINES_MAX);
    let mut shown = String::new();
    for line in text.lines().skip(first as usize).take(count) {
        let line: String = plain(&line.replace('\t', "    "), LINE_LETTERS_MAX);
        let _ = writeln!(shown, "    | {}", line.trim_end());
    }
    shown
}
