//! The code that is nearest to the request: its words against names, signatures and paths.

use super::{Symbols, postings::Postings};
use parsers::Definition;
use std::collections::{BTreeMap, BTreeSet};

/// Places given, and how many of them of one file.
const PLACES_MAX: usize = 6;
const OF_FILE_MAX: usize = 2;
/// Words of a request that count.
const WORDS_MAX: usize = 60;
/// The usual constants of BM25.
const K1: f64 = 1.2;
const B: f64 = 0.5;

/// A definition near to the request.
pub(super) struct Near<'a> {
    pub(super) path: &'a str,
    pub(super) definition: &'a Definition,
}

/// The words of a request, of which the first many count.
pub(super) fn words_of(request: &str) -> BTreeSet<String> {
    parsers::words::of(request).take(WORDS_MAX * 4).collect::<BTreeSet<_>>().into_iter().take(WORDS_MAX).collect()
}

/// The files of the places nearest to the request, nearest first: those whose contents are worth
/// reading for the brief.
pub fn nearest(symbols: &Symbols, request: &str) -> Vec<String> {
    let mut paths: Vec<String> = Vec::new();
    for near in find(symbols, &words_of(request)) {
        if !paths.iter().any(|path| path == near.path) {
            paths.push(near.path.to_owned());
        }
    }
    paths
}

/// Nearest first.
pub(super) fn find<'a>(symbols: &'a Symbols, words: &BTreeSet<String>) -> Vec<Near<'a>> {
    if words.is_empty() {
        return Vec::new();
    }
    let mut scored: Vec<(f64, Near<'a>)> = Vec::new();
    let postings = symbols.postings();
    for (document, score) in score(postings, words) {
        let place = postings.place(document);
        if let Some(file) = symbols.index.files.get(place.file)
            && let Some(definition) = file.definitions.get(place.definition)
        {
            scored.push((score, Near { path: symbols.path(file.file), definition }));
        }
    }
    let place = |near: &Near<'a>| (near.path, near.definition.line);
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| place(&a.1).cmp(&place(&b.1))));
    let best = scored.first().map_or(0.0, |(score, _)| *score);
    let mut chosen: Vec<Near<'a>> = Vec::new();
    // What shares far less with the request than the nearest is only noise.
    for (_, near) in scored.into_iter().take_while(|(score, _)| *score >= best / 3.0) {
        if chosen.iter().filter(|one| one.path == near.path).count() < OF_FILE_MAX {
            chosen.push(near);
        }
        if chosen.len() == PLACES_MAX {
            break;
        }
    }
    chosen
}

/// The documents that share a word with the request, each with its score by BM25.
fn score(postings: &Postings, words: &BTreeSet<String>) -> BTreeMap<u32, f64> {
    let count = f64::from(postings.documents().max(1));
    let mean = postings.mean_length().max(1.0);
    let mut scores: BTreeMap<u32, f64> = BTreeMap::new();
    for word in words {
        let found = postings.of_word(word);
        let spread = found.len() as f64;
        let rare = (1.0 + (count - spread + 0.5) / (spread + 0.5)).ln();
        for (document, times) in found {
            let length = f64::from(postings.place(document).words);
            *scores.entry(document).or_default() +=
                rare * times * (K1 + 1.0) / (times + K1 * (1.0 - B + B * length / mean));
        }
    }
    scores
}
