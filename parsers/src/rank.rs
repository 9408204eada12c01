//! Which files and definitions the rest leans on: PageRank over "names something that the other
//! defines". The same outlines give the same scores.

use crate::{outline::Outline, table::Language};
use std::collections::{BTreeMap, HashMap};

const ROUNDS: usize = 25;
const DAMPING: f64 = 0.85;
/// Names shorter than this, or defined in more files, say nothing about who means whom.
const NAME_LETTERS_MIN: usize = 3;
const DEFINERS_MAX: usize = 12;
/// What tests define is seldom what a reader looks for.
const TEST_WEIGHT: f64 = 0.1;
const MILLION: f64 = 1_000_000.0;

/// One file as the ranking sees it.
pub(crate) struct Ranked<'a> {
    pub(crate) path: &'a str,
    pub(crate) language: &'static Language,
    pub(crate) outline: &'a Outline,
}

/// The scores of files, and of the definitions of each, with their users.
pub(crate) struct Scores {
    pub(crate) files: Vec<u32>,
    /// (score, users), in the order of the outline's definitions.
    pub(crate) definitions: Vec<Vec<(u32, u32)>>,
}

/// "names it": from which file, to which definition (file, place), how strongly.
struct Edge {
    from: usize,
    to: (usize, usize),
    weight: f64,
}

pub(crate) fn rank(files: &[Ranked<'_>]) -> Scores {
    let edges = edges(files);
    let count = files.len().max(1) as f64;
    let mut out = vec![0.0; files.len()];
    for edge in &edges {
        out[edge.from] += edge.weight;
    }
    let mut scores = vec![1.0 / count; files.len()];
    for _ in 0..ROUNDS {
        let lost: f64 = scores.iter().zip(&out).filter(|(_, out)| **out == 0.0).map(|(score, _)| score).sum();
        let mut next = vec![(1.0 - DAMPING) / count + DAMPING * lost / count; files.len()];
        for edge in &edges {
            next[edge.to.0] += DAMPING * scores[edge.from] * edge.weight / out[edge.from];
        }
        scores = next;
    }
    let mut flows: Vec<Vec<(f64, u32)>> =
        files.iter().map(|file| vec![(0.0, 0); file.outline.definitions.len()]).collect();
    for edge in &edges {
        let (flow, users) = &mut flows[edge.to.0][edge.to.1];
        *flow += scores[edge.from] * edge.weight / out[edge.from];
        *users += 1;
    }
    let whole = |score: f64| (score * MILLION).round() as u32;
    let own = |flows: Vec<(f64, u32)>| flows.into_iter().map(|(flow, users)| (whole(flow), users)).collect();
    Scores { files: scores.into_iter().map(whole).collect(), definitions: flows.into_iter().map(own).collect() }
}

fn edges(files: &[Ranked<'_>]) -> Vec<Edge> {
    let mut definers: HashMap<(u8, &str), Vec<(usize, usize)>> = HashMap::new();
    for (number, file) in files.iter().enumerate() {
        for (place, definition) in file.outline.definitions.iter().enumerate() {
            if definition.name.chars().count() >= NAME_LETTERS_MIN {
                definers.entry((file.language.family, &definition.name)).or_default().push((number, place));
            }
        }
    }
    let mut edges = Vec::new();
    for (number, file) in files.iter().enumerate() {
        for (name, times) in &file.outline.names {
            let Some(places) = definers.get(&(file.language.family, name.as_str())) else { continue };
            // A name that the file itself defines means its own; one of many places means none.
            if places.len() > DEFINERS_MAX || places.iter().any(|(definer, _)| *definer == number) {
                continue;
            }
            let strength = f64::from(*times).sqrt() / places.len() as f64;
            for to in places {
                let definition = &files[to.0].outline.definitions[to.1];
                let hidden = if definition.exported { 1.0 } else { 0.3 };
                let test = if is_test(files[to.0].path) { TEST_WEIGHT } else { 1.0 };
                edges.push(Edge { from: number, to: *to, weight: strength * hidden * test });
            }
        }
    }
    edges
}

/// Whether a path looks like one of tests.
pub(crate) fn is_test(path: &str) -> bool {
    let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
    let stem = name.split('.').next().unwrap_or(name);
    directory.split('/').any(|part| matches!(part, "test" | "tests" | "__tests__" | "spec" | "testdata" | "fixtures"))
        || stem.starts_with("test_")
        || stem.ends_with("_test")
        || stem.ends_with("_spec")
        || stem.ends_with("Test")
        || name.contains(".test.")
        || name.contains(".spec.")
}

/// Words that tell a file from the others: frequent in it, in few others, and not in the names of
/// its definitions, which are known already.
pub(crate) fn telling_words(files: &[Ranked<'_>], most: usize) -> Vec<Vec<String>> {
    let counted: Vec<BTreeMap<String, u32>> = files
        .iter()
        .map(|file| {
            let mut words: BTreeMap<String, u32> = BTreeMap::new();
            for (name, times) in &file.outline.names {
                for word in crate::words::of(name) {
                    *words.entry(word).or_default() += times;
                }
            }
            words
        })
        .collect();
    let mut spread: HashMap<&str, u32> = HashMap::new();
    for word in counted.iter().flat_map(BTreeMap::keys) {
        *spread.entry(word).or_default() += 1;
    }
    let count = files.len() as f64;
    let telling = |words: &BTreeMap<String, u32>| {
        let weight = |word: &str, times: u32| {
            let spread = f64::from(spread.get(word).copied().unwrap_or(1));
            (1.0 + f64::from(times).ln()) * (1.0 + count / spread).ln()
        };
        let mut weighed: Vec<(f64, &String)> = words.iter().map(|(word, times)| (weight(word, *times), word)).collect();
        weighed.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
        weighed.into_iter().take(most).map(|(_, word)| word.clone()).collect()
    };
    counted.iter().map(telling).collect()
}
