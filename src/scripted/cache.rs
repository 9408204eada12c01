//! What a provider's prompt cache would still hold: hashes of prompts' prefixes, bounded.

use std::{collections::HashSet, mem};

/// So many prefixes are remembered for certain; at most twice as many.
const GENERATION: usize = 1 << 17;

/// Prefixes in two generations: the older is dropped when the younger is full.
#[derive(Debug, Default)]
pub(super) struct PrefixCache {
    young: HashSet<u64>,
    old: HashSet<u64>,
}

impl PrefixCache {
    /// The size in bytes of the longest prefix in `chain` that an earlier request had; the whole
    /// chain is remembered.
    pub(super) fn visit(&mut self, chain: &[(u64, usize)]) -> usize {
        let known = |hash: &u64| self.young.contains(hash) || self.old.contains(hash);
        let cached = chain.iter().rposition(|(hash, _)| known(hash));
        for (hash, _) in chain {
            self.young.insert(*hash);
        }
        if self.young.len() >= GENERATION {
            self.old = mem::take(&mut self.young);
        }
        cached.map_or(0, |at| chain[at].1)
    }
}
