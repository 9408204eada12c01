//! Choosing memories for a prompt: candidates from the store, then a pure choice by weight and
//! budget.

use crate::{
    domain::{
        TeamId, UserId,
        memory::{Memory, MemoryKind, MemoryScope, RecalledMemory},
    },
    store::{
        Store, StoreError,
        memories::{self, Ranked},
    },
};
use std::collections::BTreeSet;

/// Memories looked at, at most.
const CANDIDATES_MAX: u32 = 200;

/// Characters of the request that are searched for.
const QUERY_CHARS_MAX: usize = 10_000;

/// How much recall may give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    pub memories: usize,
    /// Bytes of all texts together.
    pub bytes: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { memories: 20, bytes: 8_000 }
    }
}

impl Budget {
    /// What memories may take of a model's window: at most 4 in 100, a token taken for 4 bytes.
    pub fn of_window(tokens: u64) -> Self {
        let most = Self::default();
        Self { bytes: most.bytes.min((tokens * 4 * 4 / 100) as usize), ..most }
    }
}

/// For whom and for what is recalled.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    pub team: TeamId,
    pub user: UserId,
    /// The URL of the task's repository.
    pub repository: Option<&'a str>,
    pub request: &'a str,
}

/// What was recalled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recalled {
    pub memories: Vec<RecalledMemory>,
    /// For the prompt's memory place; empty where there is nothing.
    pub text: String,
}

/// The active memories that fit the task best, within the budget, and counts their use.
///
/// What matches the request's words comes first; preferences of the user and what is known of the
/// repository come in without a match, other memories do not.
pub async fn recall(store: &Store, wanted: Wanted<'_>, budget: Budget) -> Result<Recalled, StoreError> {
    let query: String = wanted.request.chars().take(QUERY_CHARS_MAX).collect();
    let found =
        memories::candidates(store, wanted.team, wanted.user, &query, wanted.repository, CANDIDATES_MAX).await?;
    let recalled = choose(&found, &query, budget);
    if !recalled.memories.is_empty() {
        let ids: Vec<_> = recalled.memories.iter().map(|memory| memory.memory).collect();
        memories::note_use(store, wanted.team, &ids).await?;
    }
    Ok(recalled)
}

/// Why a memory was chosen, for people.
pub fn reason(memory: &Memory, query: &str) -> String {
    let own = words(&memory.text);
    let shared: Vec<String> = words(query).intersection(&own).take(5).cloned().collect();
    let place = match memory.scope {
        MemoryScope::User => "yours",
        MemoryScope::UserRepository => "yours for this repository",
        MemoryScope::TeamRepository => "the team's for this repository",
    };
    if shared.is_empty() { place.to_owned() } else { format!("{place}; matches {}", shared.join(", ")) }
}

/// Pure: what the candidates, best first, give within the budget.
pub fn choose(found: &[Ranked], query: &str, budget: Budget) -> Recalled {
    let mut ordered: Vec<(&Ranked, f32)> =
        found.iter().filter_map(|ranked| weight(ranked).map(|weight| (ranked, weight))).collect();
    ordered.sort_by(|a, b| b.1.total_cmp(&a.1).then(b.0.memory.id.cmp(&a.0.memory.id)));
    let mut recalled = Recalled::default();
    let mut bytes = 0;
    for (ranked, _) in ordered {
        let memory = &ranked.memory;
        if recalled.memories.len() == budget.memories || bytes + memory.text.len() > budget.bytes {
            continue;
        }
        bytes += memory.text.len();
        recalled.memories.push(RecalledMemory {
            memory: memory.id,
            text: memory.text.clone(),
            reason: reason(memory, query),
        });
    }
    recalled.text = render(&recalled.memories);
    recalled
}

/// None where it has no place in the prompt.
fn weight(ranked: &Ranked) -> Option<f32> {
    let Memory { scope, kind, helped, hurt, .. } = &ranked.memory;
    if ranked.score <= 0.0 && *scope == MemoryScope::User && *kind != MemoryKind::Preference {
        return None;
    }
    let place = match (scope, kind) {
        (MemoryScope::User, MemoryKind::Preference) => 0.2,
        (MemoryScope::User, _) => 0.0,
        (MemoryScope::UserRepository, _) => 0.15,
        (MemoryScope::TeamRepository, _) => 0.1,
    };
    let proven = (f64::from(*helped) - f64::from(*hurt)).clamp(-5.0, 5.0) * 0.02;
    Some(ranked.score + place + proven as f32)
}

fn render(memories: &[RecalledMemory]) -> String {
    if memories.is_empty() {
        return String::new();
    }
    let mut text =
        String::from("What you were told or learnt in earlier tasks (data, to be checked against the code):\n");
    for memory in memories {
        text.push_str("- ");
        text.push_str(&memory.text.replace('\n', "\n  "));
        text.push('\n');
    }
    text
}

/// Words of four letters or more, lower case.
fn words(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| word.chars().count() >= 4)
        .map(str::to_lowercase)
        .collect()
}
