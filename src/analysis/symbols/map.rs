//! The symbol map: what the rest refers to most, cut to a budget.

use super::{super::brief::plain, Symbols};
use parsers::{Definition, IndexedFile};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

/// Definitions shown of one file.
const OF_FILE_MAX: usize = 24;
/// Definitions that did not fit, after which no further one is tried.
const MISSES_MAX: usize = 40;
/// How much more a definition weighs for each word of the request that it shares, and how many
/// words count.
const WORD_WEIGHT: f64 = 2.0;
const WORDS_MAX: usize = 3;

/// The map in at most `room` bytes; empty where nothing fits.
pub(super) fn render(symbols: &Symbols, words: &BTreeSet<String>, room: usize) -> String {
    let mut weighed: Vec<(f64, usize, usize)> = Vec::new();
    let postings = symbols.postings();
    let with_words = postings.with_words(words);
    for (number, file) in symbols.index.files.iter().enumerate() {
        let of_path = shared(symbols.path(file.file), words);
        for (place, definition) in file.definitions.iter().enumerate() {
            let may_share = with_words.contains(&postings.document(number, place));
            let of_name = if may_share { shared(&definition.name, words) } else { 0 };
            let common = (of_path + of_name).min(WORDS_MAX) as f64;
            let weight = weight(file, definition) * (1.0 + WORD_WEIGHT * common);
            if weight > 0.0 {
                weighed.push((weight, number, place));
            }
        }
    }
    weighed.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));

    let mut chosen: BTreeMap<usize, (f64, BTreeMap<usize, String>)> = BTreeMap::new();
    let (mut left, mut misses) = (room, 0);
    for (weight, number, place) in weighed {
        let file = &symbols.index.files[number];
        let known = chosen.get(&number).map_or(0, |(_, lines)| lines.len());
        if known == OF_FILE_MAX {
            continue;
        }
        let line = line(&file.definitions[place]);
        let head = if known == 0 { head(symbols, file).len() } else { 0 };
        if line.len() + head > left {
            misses += 1;
            if misses == MISSES_MAX {
                break;
            }
            continue;
        }
        left -= line.len() + head;
        let (sum, lines) = chosen.entry(number).or_default();
        *sum += weight;
        lines.insert(place, line);
    }
    let mut files: Vec<_> = chosen.into_iter().collect();
    files.sort_by(|a, b| b.1.0.total_cmp(&a.1.0).then(a.0.cmp(&b.0)));
    let mut text = String::new();
    for (number, (_, lines)) in files {
        text.push_str(&head(symbols, &symbols.index.files[number]));
        text.extend(lines.into_values());
    }
    text
}

/// What others refer to counts most; what is merely there for others to see counts where its file
/// does.
fn weight(file: &IndexedFile, definition: &Definition) -> f64 {
    let seen = if definition.exported { 0.05 } else { 0.005 };
    f64::from(definition.score) + f64::from(file.score) * seen
}

fn shared(text: &str, words: &BTreeSet<String>) -> usize {
    if words.is_empty() { 0 } else { parsers::words::of(text).filter(|word| words.contains(word)).count() }
}

fn head(symbols: &Symbols, file: &IndexedFile) -> String {
    format!("{}:\n", plain(symbols.path(file.file), 200))
}

pub(super) fn line(definition: &Definition) -> String {
    let mut line = format!("  {}: ", definition.line);
    if let Some(holder) = &definition.holder {
        let _ = write!(line, "{}: ", plain(holder, 60));
    }
    line.push_str(&plain(&definition.signature, 140));
    line.push('\n');
    line
}
