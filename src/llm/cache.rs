//! How the provider's prompt cache did: what a call repeated, what was read of it, and why not more.
//!
//! Each request has a chain of hashes: of the instructions, the tools, and each item as it is
//! serialised, every one hashed together with those before it. Cache markers are no part of it.
//! What differs between two calls' chains is why a prefix is not there any more; where nothing
//! differs, time or the provider is.

use super::Model;
use crate::domain::{
    Timestamp,
    event::{CacheMiss, CacheUse, MissCause, PrefixMark, PromptSeen},
    tool::ToolSpec,
    usage::TokenUsage,
};
use sha2::{Digest, Sha256};

/// Hashes as sixteen hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    instructions: String,
    tools: String,
    items: Vec<String>,
}

impl Chain {
    pub(super) fn new(instructions: &str, tools: &[ToolSpec]) -> Self {
        let tools = tools.iter().fold(String::new(), |before, tool| {
            link(&before, &[tool.name.as_bytes(), tool.description.as_bytes(), tool.parameters.as_bytes()])
        });
        Self { instructions: link("", &[instructions.as_bytes()]), tools, items: Vec::new() }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        let before = self.items.last().map_or("", String::as_str);
        self.items.push(link(before, &[bytes]));
    }

    pub fn items(&self) -> &[String] {
        &self.items
    }

    /// What is recorded of it with a call: the items that the log does not know yet.
    fn mark(&self, known: &[String], thinking: Option<u32>) -> PrefixMark {
        let same = self.items.iter().zip(known).take_while(|(new, old)| new == old).count();
        PrefixMark {
            instructions: self.instructions.clone(),
            tools: self.tools.clone(),
            from: u32::try_from(same).unwrap_or(u32::MAX),
            items: self.items[same..].to_vec(),
            thinking,
        }
    }
}

fn link(before: &str, parts: &[&[u8]]) -> String {
    let mut hasher = Sha256::new();
    hasher.update(before.as_bytes());
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    let digest = hasher.finalize();
    let start = digest.iter().take(8).fold(0_u64, |start, byte| start << 8 | u64::from(*byte));
    format!("{start:016x}")
}

/// Compares what the call before promised with what was read. `seen` is the task's call before, `thinking` the budget
/// of thought that this one went out with, and `asked_at` when. Without counts of the provider there is nothing to compare.
pub fn judge(
    model: &Model,
    (chain, thinking): (&Chain, Option<u32>),
    seen: Option<&PromptSeen>,
    usage: Option<TokenUsage>,
    asked_at: Timestamp,
) -> CacheUse {
    let known = seen.map_or(&[][..], |seen| &seen.items);
    let prefix = Some(chain.mark(known, thinking));
    let Some(usage) = usage else { return CacheUse { prefix, ..CacheUse::default() } };
    let read_tokens = usage.cached_input_tokens;
    let saved_usd = saved_usd(model, usage);
    let Some(seen) = seen else {
        let miss = (read_tokens == 0).then_some(CacheMiss::of(MissCause::FirstCall));
        return CacheUse { read_tokens, miss, saved_usd, prefix, ..CacheUse::default() };
    };
    let cache = model.cache();
    let expected_tokens = seen.input_tokens.min(usage.input_tokens);
    // Caches go in steps, and templates put some tokens between messages.
    let slack = cache.step_tokens.max(64) + expected_tokens / 100;
    if read_tokens + slack >= expected_tokens {
        return CacheUse { expected_tokens, read_tokens, saved_usd, prefix, ..CacheUse::default() };
    }
    let missed = expected_tokens - read_tokens;
    // What was not in the cache any more is written into it anew, at that price where there is one.
    let rewritten = usage.cache_write_tokens.saturating_sub(usage.input_tokens - expected_tokens).min(missed);
    let wasted_usd = model.prices.map(|prices| {
        let dearer = |tokens: u64, price: f64| tokens as f64 * (price - prices.cached_input).max(0.0) / 1_000_000.0;
        dearer(missed - rewritten, prices.input) + dearer(rewritten, prices.cache_write.unwrap_or(prices.input))
    });
    let miss = Some(cause(model, (chain, thinking), seen, expected_tokens, asked_at));
    CacheUse { expected_tokens, read_tokens, miss, wasted_usd, saved_usd, prefix }
}

/// What was read from the cache would have cost so much more without it, at the model's prices of now.
pub fn saved_usd(model: &Model, usage: TokenUsage) -> Option<f64> {
    model.prices.filter(|_| usage.cached_input_tokens > 0).map(|prices| prices.saved_usd(usage))
}

/// The first that holds.
fn cause(
    model: &Model,
    (chain, thinking): (&Chain, Option<u32>),
    seen: &PromptSeen,
    expected: u64,
    asked_at: Timestamp,
) -> CacheMiss {
    if seen.model != model.name || !(seen.model_id.is_empty() || seen.model_id == model.model_id) {
        return CacheMiss::of(MissCause::ModelChanged);
    }
    if seen.compacted {
        return CacheMiss::of(MissCause::Compaction);
    }
    if !seen.instructions.is_empty() {
        if seen.instructions != chain.instructions {
            return CacheMiss::of(MissCause::InstructionsChanged);
        }
        if seen.tools != chain.tools {
            return CacheMiss::of(MissCause::ToolsChanged);
        }
        if seen.thinking.zip(thinking).is_some_and(|(before, now)| before != now) {
            return CacheMiss::of(MissCause::ThinkingChanged);
        }
        let same = chain.items.iter().zip(&seen.items).take_while(|(new, old)| new == old).count();
        if same < seen.items.len() {
            let item = u32::try_from(same).ok();
            return CacheMiss { item, ..CacheMiss::of(MissCause::ItemsChanged) };
        }
    }
    let cache = model.cache();
    if expected < cache.minimum_tokens {
        return CacheMiss::of(MissCause::BelowMinimum);
    }
    let idle = asked_at.since(seen.at);
    match cache.ttl {
        Some(ttl) if idle > ttl => {
            CacheMiss { idle_seconds: Some(idle.as_secs()), ..CacheMiss::of(MissCause::TtlExpired) }
        }
        _ => CacheMiss::of(MissCause::Provider),
    }
}
