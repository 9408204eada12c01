//! Which candidates a prompt gets, and why: pure. How well one matches (words, meaning) is weighed with where it holds, what
//! it did when it was used before, and its age; what says the same as a better one is left out.

use super::vectors::Quantised;
use crate::domain::{
    Timestamp,
    memory::{Memory, MemoryKind, MemoryScope},
};
use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher},
};

/// Of memories and earlier tasks together.
const CHOSEN_MAX: usize = 20;
/// Of earlier tasks.
const TASKS_MAX: usize = 3;
/// Of what comes in without a match.
const UNMATCHED_MAX: usize = 8;
/// BM25 at which words count for half of what they can.
const WORDS_HALF: f32 = 8.0;
/// What words count beside the cosine, at most.
const WORDS_WEIGHT: f32 = 0.3;
/// From here on it is a match: two words of the usual rarity, or a cosine that says as much.
const MATCH_LEAST: f32 = 0.2;
/// Tasks are alike in their words more easily than a memory is to the point.
const TASK_MATCH_LEAST: f32 = 0.4;
/// From here on a reason tells of the cosine.
const COSINE_TOLD: f32 = 0.3;
/// What texts that have nothing to do with each other have in common, where the model is a usual one.
const COSINE_USUAL: f32 = 0.15;
/// Texts from which on it is known what they all have in common.
const COSINES_LEAST: usize = 10;
/// What a little likeness counts beside what comes in without a match; a match outranks both.
const UNMATCHED_WEIGHT: f32 = 0.5;
const TASK_WEIGHT: f32 = 0.9;
/// Texts that share so much of their words, or are so near to each other, say the same.
const SAME_WORDS: f32 = 0.8;
const SAME_COSINE: f32 = 0.93;
/// What a memory that has not been touched for long loses, and in which time most of it.
const AGE_WEIGHT: f32 = 0.1;
const AGE_DAYS: f32 = 180.0;
/// A token is taken for so many bytes, as everywhere before the provider has counted.
const TOKEN_BYTES: u64 = 4;
/// Of a model's window, at most.
const WINDOW_PERCENT: u64 = 4;
/// What a line of the prompt has besides its text.
const LINE_BYTES: usize = 12;

/// What could be recalled.
#[derive(Clone, Debug)]
pub struct Candidate<T> {
    pub what: T,
    /// As the prompt has it.
    pub text: String,
    pub vector: Option<Quantised>,
    /// None: it has no place in the prompt.
    pub score: Option<f32>,
    pub matched: bool,
    pub is_task: bool,
    pub reason: String,
    /// Hashes of its words, sorted: what it says.
    pub says: Vec<u64>,
}

/// How well a query found something.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Found {
    pub words: f32,
    pub cosine: Option<f32>,
}

impl<T> Candidate<T> {
    pub(super) fn map<U>(self, into: impl FnOnce(T) -> U) -> Candidate<U> {
        let Self { what, text, vector, score, matched, is_task, reason, says } = self;
        Candidate { what: into(what), text, vector, score, matched, is_task, reason, says }
    }
}

/// What to take off cosines, of which there are `count` with this mean, of a model for which everything is near to
/// everything.
pub(super) fn in_common(count: usize, mean: f32) -> f32 {
    if count < COSINES_LEAST { 0.0 } else { (mean - COSINE_USUAL).max(0.0) }
}

/// Whether an earlier task asked for the like.
pub(super) fn is_like(found: Found) -> bool {
    found.fused() >= TASK_MATCH_LEAST
}

impl Found {
    /// From 0 on; comparable within one recall.
    pub(super) fn fused(self) -> f32 {
        let words = self.words / (self.words + WORDS_HALF);
        self.cosine.map_or(words, |cosine| cosine.max(0.0) + WORDS_WEIGHT * words)
    }

    pub(super) fn is_match(self) -> bool {
        self.fused() >= MATCH_LEAST
    }
}

/// What memories and earlier tasks may take of a prompt, in bytes.
pub(super) fn budget_bytes(recall_tokens: u64, window_tokens: u64) -> usize {
    (recall_tokens * TOKEN_BYTES).min(window_tokens * TOKEN_BYTES * WINDOW_PERCENT / 100) as usize
}

/// A memory as a candidate.
pub(super) fn memory(
    memory: Memory,
    found: Found,
    vector: Option<Quantised>,
    query: &BTreeSet<String>,
    now: Timestamp,
) -> Candidate<Memory> {
    let matched = found.is_match();
    let reason = why(&memory, found, matched, query);
    let base = if matched {
        Some(found.fused())
    } else {
        unmatched(&memory).map(|base| base + found.fused() * UNMATCHED_WEIGHT)
    };
    let score = base.map(|base| base * standing(&memory, now));
    Candidate {
        says: says(&memory.text),
        text: memory.text.clone(),
        what: memory,
        vector,
        score,
        matched,
        is_task: false,
        reason,
    }
}

/// The score and reason of a memory that somebody searched for and that was found like this.
pub fn sought(memory: &Memory, found: Found, query: &str, now: Timestamp) -> (f32, String) {
    (found.fused() * standing(memory, now), why(memory, found, true, &words(query)))
}

/// What a memory is worth apart from how well it matches.
fn standing(memory: &Memory, now: Timestamp) -> f32 {
    place(memory.scope) * kind(memory.kind) * proven(memory) * age(memory, now)
}

/// An earlier task as a candidate.
pub(super) fn task<T>(what: T, text: String, found: Found, vector: Option<Quantised>) -> Candidate<T> {
    let matched = is_like(found);
    let score = matched.then(|| found.fused() * TASK_WEIGHT);
    let mut reason = "your earlier task on this repository".to_owned();
    if let Some(cosine) = found.cosine.filter(|cosine| *cosine >= COSINE_TOLD) {
        reason += &close(cosine);
    } else {
        reason.push_str("; asks in the same words");
    }
    Candidate { says: says(&text), what, text, vector, score, matched, is_task: true, reason }
}

/// What comes in without a match: preferences and what is agreed on in this repository first.
fn unmatched(memory: &Memory) -> Option<f32> {
    match (memory.scope, memory.kind) {
        (MemoryScope::User, MemoryKind::Preference) => Some(0.10),
        (MemoryScope::User, _) => None,
        (_, MemoryKind::Preference | MemoryKind::Convention) => Some(0.08),
        (_, MemoryKind::Fact | MemoryKind::Lesson) => Some(0.05),
    }
}

fn place(scope: MemoryScope) -> f32 {
    match scope {
        MemoryScope::User => 0.85,
        MemoryScope::UserRepository => 1.05,
        MemoryScope::TeamRepository => 1.0,
    }
}

fn kind(kind: MemoryKind) -> f32 {
    match kind {
        MemoryKind::Lesson => 1.03,
        MemoryKind::Convention => 1.02,
        MemoryKind::Preference | MemoryKind::Fact => 1.0,
    }
}

/// The share of uses that helped, with one of each presumed: 1 where nothing is known, from 0.6 to 1.4.
fn proven(memory: &Memory) -> f32 {
    let (helped, hurt) = (memory.helped as f32, memory.hurt as f32);
    0.6 + 0.8 * (helped + 1.0) / (helped + hurt + 2.0)
}

fn age(memory: &Memory, now: Timestamp) -> f32 {
    let touched = memory.last_used_at.map_or(memory.updated_at, |used| used.max(memory.updated_at));
    let days = (now.0 - touched.0).as_seconds_f32().max(0.0) / 86_400.0;
    1.0 - AGE_WEIGHT + AGE_WEIGHT * (-days / AGE_DAYS).exp()
}

fn close(cosine: f32) -> String {
    format!("; close in meaning ({cosine:.2})")
}

/// Why a memory was found, for people.
fn reason_by(memory: &Memory, query: &BTreeSet<String>) -> String {
    let own = words(&memory.text);
    let shared: Vec<&str> = own.intersection(query).take(5).map(String::as_str).collect();
    let place = match memory.scope {
        MemoryScope::User => "yours",
        MemoryScope::UserRepository => "yours for this repository",
        MemoryScope::TeamRepository => "the team's for this repository",
    };
    if shared.is_empty() { place.to_owned() } else { format!("{place}; matches {}", shared.join(", ")) }
}

fn why(memory: &Memory, found: Found, matched: bool, query: &BTreeSet<String>) -> String {
    let mut reason = reason_by(memory, query);
    if let Some(cosine) = found.cosine.filter(|cosine| *cosine >= COSINE_TOLD) {
        reason += &close(cosine);
    } else if matched && !reason.contains("matches") {
        reason.push_str("; matches related words");
    }
    if memory.helped + memory.hurt > 0 {
        let Memory { helped, hurt, used, .. } = memory;
        let told = format!("; helped {helped}, hurt {hurt} of {used} uses");
        reason.push_str(&told);
    }
    reason
}

/// The best candidates in their order, within the budget, none of which says what a better one says.
pub fn choose<T>(
    mut candidates: Vec<Candidate<T>>,
    budget_bytes: usize,
    key: impl Fn(&T) -> uuid::Uuid,
) -> Vec<Candidate<T>> {
    candidates.retain(|candidate| candidate.score.is_some_and(|score| score > 0.0));
    let score = |candidate: &Candidate<T>| candidate.score.unwrap_or(0.0);
    // Equal ones have an order too, or the same recall would give another prompt.
    candidates.sort_by(|a, b| score(b).total_cmp(&score(a)).then_with(|| key(&b.what).cmp(&key(&a.what))));
    let mut chosen: Vec<Candidate<T>> = Vec::new();
    let (mut bytes, mut tasks, mut unmatched) = (0, 0, 0);
    for candidate in candidates {
        let cost = candidate.text.len() + LINE_BYTES;
        let full = chosen.len() == CHOSEN_MAX
            || bytes + cost > budget_bytes
            || (candidate.is_task && tasks == TASKS_MAX)
            || (!candidate.matched && unmatched == UNMATCHED_MAX);
        if full || chosen.iter().any(|better| say_the_same(better, &candidate)) {
            continue;
        }
        bytes += cost;
        tasks += usize::from(candidate.is_task);
        unmatched += usize::from(!candidate.matched);
        chosen.push(candidate);
    }
    chosen
}

fn say_the_same<T>(a: &Candidate<T>, b: &Candidate<T>) -> bool {
    if a.is_task != b.is_task {
        return false;
    }
    if let Some((a, b)) = a.vector.as_ref().zip(b.vector.as_ref())
        && a.cosine(b) >= SAME_COSINE
    {
        return true;
    }
    let both = a.says.iter().filter(|word| b.says.binary_search(word).is_ok()).count() as f32;
    let all = (a.says.len() + b.says.len()) as f32 - both;
    both > 0.0 && both >= SAME_WORDS * all
}

/// What a text says, to be compared.
fn says(text: &str) -> Vec<u64> {
    let hash = |word: &String| {
        let mut hasher = DefaultHasher::new();
        word.hash(&mut hasher);
        hasher.finish()
    };
    let mut says: Vec<u64> = words(text).iter().map(hash).collect();
    says.sort_unstable();
    says
}

/// Words of four letters or more, lower case.
pub(super) fn words(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| word.chars().count() >= 4)
        .map(str::to_lowercase)
        .collect()
}
