//! How the prompt cache did at a call: what could have been read, what was, and why it was less.

use crate::domain::{Timestamp, usage::TokenUsage};
use serde::{Deserialize, Serialize};

/// How the prompt cache did at one call: what could have been read from it and what was.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CacheUse {
    /// Tokens of the previous call's prompt, which this one repeats.
    pub expected_tokens: u64,
    pub read_tokens: u64,
    /// Why less was read than expected; absent where enough was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub miss: Option<CacheMiss>,
    /// What the missed tokens cost more; absent without a miss or a price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wasted_usd: Option<f64>,
    /// What was read from the cache would have cost so much more without it; absent where nothing was read, or without a
    /// price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saved_usd: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<PrefixMark>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheMiss {
    pub cause: MissCause,
    /// Of `items_changed`: the first item that is another, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<u32>,
    /// Of `ttl_expired`: how long nothing was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_seconds: Option<u64>,
}

impl CacheMiss {
    pub fn of(cause: MissCause) -> Self {
        Self { cause, item: None, idle_seconds: None }
    }
}

/// Why a prefix was not read from the cache; the first that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MissCause {
    FirstCall,
    ModelChanged,
    Compaction,
    InstructionsChanged,
    ToolsChanged,
    /// The budget of thought became another, because a limit left less room for the reply.
    ThinkingChanged,
    ItemsChanged,
    /// The prompt was too short to be cached.
    BelowMinimum,
    /// More time has passed since the last call than the provider keeps prefixes.
    TtlExpired,
    /// Nothing that is known here.
    Provider,
}

/// The chain of hashes of a call's prompt, as far as earlier calls have not recorded it: each is of
/// its part as it was sent together with all before it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrefixMark {
    pub instructions: String,
    pub tools: String,
    /// The number of items that the call before had in common.
    pub from: u32,
    /// Those of the items from there on.
    pub items: Vec<String>,
    /// The budget of thought, 0 where there was no room for one; absent where the model takes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thinking: Option<u32>,
}

/// What a task's last answered call has put into the provider's cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromptSeen {
    pub model: String,
    pub at: Timestamp,
    pub input_tokens: u64,
    /// Empty where the call did not record them.
    pub instructions: String,
    pub tools: String,
    pub items: Vec<String>,
    pub thinking: Option<u32>,
    /// The provider's name of the model. Empty where it is not known.
    pub model_id: String,
    /// The conversation was shortened since.
    pub compacted: bool,
}

impl PromptSeen {
    /// After one more call. `before` is what the call before had left.
    pub fn after(
        before: Option<Self>,
        model: &str,
        at: Timestamp,
        usage: TokenUsage,
        prefix: Option<&PrefixMark>,
    ) -> Self {
        let mut items = before.map(|seen| seen.items).unwrap_or_default();
        let mark = prefix.cloned().unwrap_or_default();
        items.truncate(mark.from as usize);
        items.extend(mark.items);
        Self {
            model: model.to_owned(),
            at,
            input_tokens: usage.input_tokens,
            instructions: mark.instructions,
            tools: mark.tools,
            items,
            thinking: mark.thinking,
            model_id: String::new(),
            compacted: false,
        }
    }
}
