//! The code that is nearest to the request: its words against names, signatures and paths.

use super::Symbols;
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
/// How much words count by where they stand.
const IN_NAME: f64 = 3.0;
const IN_SIGNATURE: f64 = 1.0;
const IN_PATH: f64 = 1.5;
const IN_FILE: f64 = 0.7;

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
    let mut documents: Vec<(Near<'a>, BTreeMap<&str, f64>, f64)> = Vec::new();
    let mut spread: BTreeMap<&str, f64> = BTreeMap::new();
    let mut lengths = 0.0;
    for file in &symbols.index.files {
        let path = symbols.path(file.file);
        let mut of_file: BTreeMap<&str, f64> = BTreeMap::new();
        count(path, IN_PATH, words, &mut of_file);
        for word in file.words.iter().filter_map(|word| words.get(word)) {
            *of_file.entry(word).or_default() += IN_FILE;
        }
        for definition in &file.definitions {
            let mut found = of_file.clone();
            let name = count(&definition.name, IN_NAME, words, &mut found);
            let signature = count(&definition.signature, IN_SIGNATURE, words, &mut found);
            let length = name + signature;
            lengths += length;
            for word in found.keys() {
                *spread.entry(word).or_default() += 1.0;
            }
            documents.push((Near { path, definition }, found, length));
        }
    }
    let count = documents.len().max(1) as f64;
    let mean = (lengths / count).max(1.0);
    let mut scored: Vec<(f64, Near<'a>)> = Vec::new();
    for (near, found, length) in documents {
        let of_word = |(word, times): (&&str, &f64)| {
            let spread = spread.get(word).copied().unwrap_or(1.0);
            let rare = (1.0 + (count - spread + 0.5) / (spread + 0.5)).ln();
            rare * times * (K1 + 1.0) / (times + K1 * (1.0 - B + B * length / mean))
        };
        let score: f64 = found.iter().map(of_word).sum();
        if score > 0.0 {
            scored.push((score, near));
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

/// Adds the words of a text that are wanted; how many it has in all.
fn count<'a>(text: &str, weight: f64, wanted: &'a BTreeSet<String>, found: &mut BTreeMap<&'a str, f64>) -> f64 {
    let mut all = 0.0;
    for word in parsers::words::of(text) {
        all += 1.0;
        if let Some(word) = wanted.get(&word) {
            *found.entry(word).or_default() += weight;
        }
    }
    all
}
