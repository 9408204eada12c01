//! The memories of one place, or a person's earlier tasks, as they are searched: an inverted index over stems, and vectors.
//!
//! Ranking by words is BM25 (Robertson and Zaragoza, "The Probabilistic Relevance Framework", 2009) with three additions:
//! words that stand for another count for less, words that nothing has count by their trigrams, and a place with few
//! memories is taken for a larger one, in which a word that is rare there is rare.

use super::{query::Query, vectors::Quantised};
use crate::domain::memory::MemoryKind;
use std::{collections::HashMap, hash::Hash};

/// How fast a longer text loses against a shorter one, and how soon more of the same says no more.
const K: f32 = 1.2;
const B: f32 = 0.3;
/// A place is taken for one of at least so many texts.
const TEXTS_LEAST: f32 = 50.0;
/// What a word counts that stands for the one that was asked for.
const RELATED_WEIGHT: f32 = 0.35;
/// Trigrams that two words must share, of all that they have, and what a word that is only alike counts.
const ALIKE_LEAST: f32 = 0.5;
const ALIKE_WEIGHT: f32 = 0.7;
/// Letters from which on words are compared by trigrams, and words of one query for which it is done.
const ALIKE_CHARS_MIN: usize = 4;
const ALIKE_WORDS_MAX: usize = 12;

/// What is searched, under its id.
#[derive(Clone, Debug)]
pub(super) struct Index<I> {
    /// Those that were removed or replaced leave a hole.
    entries: Vec<Option<Entry<I>>>,
    /// Their stems; 0 of a hole.
    lengths: Vec<u32>,
    by_id: HashMap<I, usize>,
    words: Vec<Word>,
    by_word: HashMap<Box<str>, u32>,
    /// The words that have a trigram.
    by_trigram: HashMap<[char; 3], Vec<u32>>,
    /// Stems of all entries together.
    length: usize,
    bytes: usize,
}

#[derive(Clone, Debug)]
struct Entry<I> {
    id: I,
    version: i64,
    kind: Option<MemoryKind>,
    vector: Option<Quantised>,
}

/// A stem, the entries that have it, and how many trigrams it has itself.
#[derive(Clone, Debug)]
struct Word {
    text: Box<str>,
    entries: Vec<u32>,
    trigrams: u32,
}

/// An entry as a query finds it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Hit<I> {
    pub(super) id: I,
    pub(super) kind: Option<MemoryKind>,
    pub(super) version: i64,
    /// BM25; 0 where no word matches.
    pub(super) words: f32,
    /// None where one of the two has no vector.
    pub(super) cosine: Option<f32>,
}

impl<I> Default for Index<I> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            lengths: Vec::new(),
            by_id: HashMap::new(),
            words: Vec::new(),
            by_word: HashMap::new(),
            by_trigram: HashMap::new(),
            length: 0,
            bytes: 0,
        }
    }
}

impl<I: Copy + Eq + Hash> Index<I> {
    /// Adds an entry, or puts it in the place of the one that has its id.
    pub(super) fn put(
        &mut self,
        id: I,
        version: i64,
        kind: Option<MemoryKind>,
        words: &[String],
        vector: Option<&[f32]>,
    ) {
        self.remove(id);
        let number = self.entries.len();
        for word in words {
            let word = self.word(word);
            self.words[word].entries.push(number as u32);
        }
        let vector = vector.and_then(Quantised::of);
        self.bytes += words.len() * 4 + 96 + vector.as_ref().map_or(0, Quantised::bytes);
        self.length += words.len();
        self.entries.push(Some(Entry { id, version, kind, vector }));
        self.lengths.push(words.len() as u32);
        self.by_id.insert(id, number);
    }

    /// A word's number; it is added where it is new.
    fn word(&mut self, word: &str) -> usize {
        if let Some(number) = self.by_word.get(word) {
            return *number as usize;
        }
        let number = self.words.len() as u32;
        let trigrams = trigrams(word);
        self.words.push(Word { text: word.into(), entries: Vec::new(), trigrams: trigrams.len() as u32 });
        self.by_word.insert(word.into(), number);
        self.bytes += 2 * word.len() + 128 + trigrams.len() * 4;
        for trigram in trigrams {
            self.by_trigram.entry(trigram).or_default().push(number);
        }
        number as usize
    }

    pub(super) fn remove(&mut self, id: I) {
        if let Some(number) = self.by_id.remove(&id)
            && let Some(entry) = self.entries[number].take()
        {
            self.length -= std::mem::take(&mut self.lengths[number]) as usize;
            self.bytes -= entry.vector.as_ref().map_or(0, Quantised::bytes).min(self.bytes);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether so much was removed that it is better made anew.
    pub(super) fn is_worn(&self) -> bool {
        self.entries.len() - self.by_id.len() > 64 + self.by_id.len() / 4
    }

    /// About what it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn version(&self, id: I) -> Option<i64> {
        self.entry(id).map(|entry| entry.version)
    }

    pub(super) fn vector(&self, id: I) -> Option<&Quantised> {
        self.entry(id)?.vector.as_ref()
    }

    fn entry(&self, id: I) -> Option<&Entry<I>> {
        self.entries[*self.by_id.get(&id)?].as_ref()
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = I> + '_ {
        self.by_id.keys().copied()
    }

    fn find(&self, word: &str) -> Option<&Word> {
        self.by_word.get(word).map(|number| &self.words[*number as usize])
    }

    /// What each entry's words count for the query: `meant` has for each word of it the words that count, the best first.
    fn weigh(&self, meant: &[Vec<(&str, f32)>], mean: f32) -> Vec<f32> {
        let mut weights = vec![0.0_f32; self.entries.len()];
        let mut counted = vec![0_u32; self.entries.len()];
        for (at, meant) in (1..).zip(meant) {
            for (word, weight) in meant {
                for number in self.find(word).into_iter().flat_map(|word| &word.entries) {
                    let number = *number as usize;
                    let length = self.lengths[number];
                    // What counts once counts no more for the same word of the query.
                    if length > 0 && counted[number] != at {
                        counted[number] = at;
                        let long = 1.0 - B + B * length as f32 / mean;
                        weights[number] += weight * (K + 1.0) / (1.0 + K * long);
                    }
                }
            }
        }
        weights
    }

    /// Words that are written like `stem`, each with the share of trigrams in common.
    fn alike(&self, stem: &str) -> Vec<(&str, f32)> {
        let wanted = trigrams(stem);
        let mut shared: HashMap<u32, u32> = HashMap::new();
        for number in wanted.iter().filter_map(|trigram| self.by_trigram.get(trigram)).flatten() {
            *shared.entry(*number).or_default() += 1;
        }
        let share = |(number, both): (u32, u32)| {
            let word = &self.words[number as usize];
            let all = word.trigrams + wanted.len() as u32 - both;
            (&*word.text, both as f32 / all.max(1) as f32)
        };
        shared.into_iter().map(share).filter(|(_, share)| *share >= ALIKE_LEAST).collect()
    }
}

/// Every entry of some indexes that are searched as one, as the query finds it.
pub(super) fn search<I: Copy + Eq + Hash>(indexes: &[&Index<I>], query: &Query) -> Vec<Vec<Hit<I>>> {
    let meant = meant(indexes, query);
    let count: usize = indexes.iter().map(|index| index.len()).sum();
    let length: usize = indexes.iter().map(|index| index.length).sum();
    let mean = (length as f32 / count.max(1) as f32).max(1.0);
    let hits = |index: &&Index<I>| {
        let weights = index.weigh(&meant, mean);
        let hit = |(entry, words): (&Option<Entry<I>>, f32)| {
            let Entry { id, version, kind, vector } = entry.as_ref()?;
            let cosine = query.vector.as_ref().zip(vector.as_ref()).map(|(a, b)| a.cosine(b));
            Some(Hit { id: *id, kind: *kind, version: *version, words, cosine })
        };
        index.entries.iter().zip(weights).filter_map(hit).collect()
    };
    indexes.iter().map(hits).collect()
}

/// For each word of the query the words of the indexes that count for it, the best first.
fn meant<'a, I: Copy + Eq + Hash>(indexes: &[&'a Index<I>], query: &Query) -> Vec<Vec<(&'a str, f32)>> {
    let count = indexes.iter().map(|index| index.len()).sum::<usize>() as f32;
    let known = |word: &str| {
        let found: Vec<&Word> = indexes.iter().filter_map(|index| index.find(word)).collect();
        let with: usize = found.iter().map(|word| word.entries.len()).sum();
        found.first().map(|word| (&*word.text, rarity(count, with as f32)))
    };
    let mut compared = 0;
    let mut all = Vec::new();
    for (stem, others) in &query.stems {
        let mut words: Vec<(&str, f32)> = known(stem).into_iter().collect();
        let unknown = words.is_empty();
        let related = others.iter().filter_map(|other| known(other));
        words.extend(related.map(|(word, weight)| (word, weight * RELATED_WEIGHT)));
        if unknown && compared < ALIKE_WORDS_MAX && stem.chars().count() >= ALIKE_CHARS_MIN {
            compared += 1;
            for (word, share) in indexes.iter().flat_map(|index| index.alike(stem)) {
                words.extend(known(word).map(|(word, weight)| (word, weight * share * ALIKE_WEIGHT)));
            }
        }
        words.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(b.0)));
        words.dedup_by(|a, b| a.0 == b.0);
        all.push(words);
    }
    all
}

/// What a word counts that `with` of `count` texts have.
fn rarity(count: f32, with: f32) -> f32 {
    let count = count.max(TEXTS_LEAST);
    (1.0 + (count - with + 0.5).max(0.5) / (with + 0.5)).ln()
}

/// As `pg_trgm` has them: of the word with two blanks before and one after it, each once.
fn trigrams(word: &str) -> Vec<[char; 3]> {
    let padded: Vec<char> = [' ', ' '].into_iter().chain(word.chars()).chain([' ']).collect();
    let mut grams: Vec<[char; 3]> = padded.windows(3).map(|gram| [gram[0], gram[1], gram[2]]).collect();
    grams.sort_unstable();
    grams.dedup();
    grams
}
