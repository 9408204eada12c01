//! Which definitions have which words, made once per base: a request is compared with what it shares
//! words with, not with everything.

use super::Symbols;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// How much words count by where they stand, in tenths.
const IN_NAME: u32 = 30;
const IN_SIGNATURE: u32 = 10;
const IN_PATH: u32 = 15;
const IN_FILE: u32 = 7;

/// Where a definition stands, as places in the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: usize,
    pub(super) definition: usize,
    /// Of its name and its signature.
    pub(super) words: u32,
}

/// Definitions are documents, numbered in the order of the index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Postings {
    places: Vec<Place>,
    /// Of each file the number of its first definition, and behind the last file their count.
    firsts: Vec<u32>,
    /// Of each word the place of its posting.
    words: HashMap<String, usize>,
    lists: Vec<Posting>,
}

/// Where one word stands, with its weight there in tenths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Posting {
    /// In a path or in the body of a file, which counts for all of its definitions.
    files: Vec<(u32, u32)>,
    documents: Vec<(u32, u32)>,
}

impl Postings {
    pub(super) fn of(symbols: &Symbols) -> Self {
        let mut made = Self::default();
        for (number, file) in symbols.index.files.iter().enumerate() {
            made.firsts.push(made.documents());
            for word in parsers::words::of(symbols.path(file.file)) {
                add(&mut made.posting(&word).files, number as u32, IN_PATH);
            }
            for word in &file.words {
                add(&mut made.posting(word).files, number as u32, IN_FILE);
            }
            for (definition, found) in file.definitions.iter().enumerate() {
                let document = made.documents();
                let mut words = 0;
                for (text, weight) in [(&found.name, IN_NAME), (&found.signature, IN_SIGNATURE)] {
                    for word in parsers::words::of(text) {
                        words += 1;
                        add(&mut made.posting(&word).documents, document, weight);
                    }
                }
                made.places.push(Place { file: number, definition, words });
            }
        }
        made.firsts.push(made.documents());
        made
    }

    /// How many documents there are.
    pub(super) fn documents(&self) -> u32 {
        self.places.len() as u32
    }

    /// Words of a document on average; 0 where there is none.
    pub(super) fn mean_length(&self) -> f64 {
        let all: f64 = self.places.iter().map(|place| f64::from(place.words)).sum();
        all / f64::from(self.documents().max(1))
    }

    /// The document must be of these.
    pub(super) fn place(&self, document: u32) -> Place {
        self.places[document as usize]
    }

    /// The document of a definition; both places must be of the index.
    pub(super) fn document(&self, file: usize, definition: usize) -> u32 {
        self.firsts[file] + definition as u32
    }

    /// The documents that have one of the words in their name or signature.
    pub(super) fn with_words(&self, words: &BTreeSet<String>) -> HashSet<u32> {
        let known = words.iter().filter_map(|word| self.words.get(word));
        known.flat_map(|at| self.lists[*at].documents.iter().map(|(document, _)| *document)).collect()
    }

    /// The documents that a word counts for, with its weight.
    pub(super) fn of_word(&self, word: &str) -> BTreeMap<u32, f64> {
        let mut found: BTreeMap<u32, f64> = BTreeMap::new();
        let Some(posting) = self.words.get(word).map(|at| &self.lists[*at]) else { return found };
        for (file, weight) in &posting.files {
            let file = *file as usize;
            for document in self.firsts[file]..self.firsts[file + 1] {
                *found.entry(document).or_default() += f64::from(*weight) / 10.0;
            }
        }
        for (document, weight) in &posting.documents {
            *found.entry(*document).or_default() += f64::from(*weight) / 10.0;
        }
        found
    }

    fn posting(&mut self, word: &str) -> &mut Posting {
        let known = self.words.get(word).copied();
        let at = known.unwrap_or_else(|| {
            self.words.insert(word.to_owned(), self.lists.len());
            self.lists.push(Posting::default());
            self.lists.len() - 1
        });
        &mut self.lists[at]
    }
}

/// Numbers come in rising order.
fn add(list: &mut Vec<(u32, u32)>, number: u32, weight: u32) {
    match list.last_mut() {
        Some((last, sum)) if *last == number => *sum += weight,
        _ => list.push((number, weight)),
    }
}
