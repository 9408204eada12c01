//! What a task has spent.

use serde::{Deserialize, Serialize};
use std::ops::AddAssign;
use utoipa::ToSchema;

/// Tokens of one model call, as the provider reports them. `input_tokens` includes the cached
/// ones; `output_tokens` includes reasoning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenUsage {
    pub input_tokens: u64,
    pub cached_input_tokens: u64,
    pub output_tokens: u64,
    /// Those of the input that were written into the cache, where the provider counts them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cache_write_tokens: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl TokenUsage {
    pub fn total(self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }
}

impl AddAssign for TokenUsage {
    fn add_assign(&mut self, other: Self) {
        self.input_tokens = self.input_tokens.saturating_add(other.input_tokens);
        self.cached_input_tokens = self.cached_input_tokens.saturating_add(other.cached_input_tokens);
        self.output_tokens = self.output_tokens.saturating_add(other.output_tokens);
        self.cache_write_tokens = self.cache_write_tokens.saturating_add(other.cache_write_tokens);
    }
}

/// What a model costs, in US dollars per million tokens.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    pub input: f64,
    pub cached_input: f64,
    pub output: f64,
    /// Of input that is written into the cache; absent: as `input`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write: Option<f64>,
}

impl Prices {
    /// What a call can cost at most: nothing of its prompt is read from the cache.
    pub fn most_usd(self, input_tokens: u64, output_tokens: u64) -> f64 {
        let usage =
            TokenUsage { input_tokens, output_tokens, cache_write_tokens: input_tokens, ..TokenUsage::default() };
        self.cost_usd(usage)
    }

    /// What the tokens that were read from the cache would have cost more without it.
    pub fn saved_usd(self, usage: TokenUsage) -> f64 {
        usage.cached_input_tokens as f64 * (self.input - self.cached_input) / 1_000_000.0
    }

    pub fn cost_usd(self, usage: TokenUsage) -> f64 {
        let fresh = usage.input_tokens.saturating_sub(usage.cached_input_tokens);
        let written = usage.cache_write_tokens.min(fresh);
        ((fresh - written) as f64 * self.input
            + written as f64 * self.cache_write.unwrap_or(self.input)
            + usage.cached_input_tokens as f64 * self.cached_input
            + usage.output_tokens as f64 * self.output)
            / 1_000_000.0
    }
}

/// The sums over all of a task's runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Usage {
    pub model_calls: u32,
    /// Model calls that were answered.
    pub turns: u32,
    pub input_tokens: u64,
    pub cached_input_tokens: u64,
    pub output_tokens: u64,
    /// Null where a model that was used has no price.
    pub cost_usd: Option<f64>,
    #[serde(default)]
    pub cache: CacheSums,
    #[serde(default)]
    pub unreported: Unreported,
}

/// Calls whose usage never came (cut off, broken off, lost to a crash): what was reserved for them, an upper bound.
/// Limits count it as spent; the other figures do not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Unreported {
    pub calls: u32,
    pub tokens: u64,
    pub cost_usd: f64,
}

/// How the prompt cache did over all calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CacheSums {
    /// Tokens that calls repeated of the call before them.
    pub expected_tokens: u64,
    /// Tokens that were read from the cache.
    pub read_tokens: u64,
    /// What missed tokens cost more; null where a model that was used has no price.
    pub wasted_usd: Option<f64>,
}

/// What some events of a task add to the sums of its day, with one model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageAdded {
    pub model: String,
    /// Calls that began.
    pub model_calls: i64,
    /// Calls that were answered with their usage.
    pub counted_calls: i64,
    /// Those among them whose price nobody knew.
    pub unpriced_calls: i64,
    pub input_tokens: i64,
    pub cached_input_tokens: i64,
    pub output_tokens: i64,
    /// Billionths of a US dollar.
    pub cost_nano: i64,
    pub saved_nano: i64,
}

impl UsageAdded {
    /// Whether it adds nothing.
    pub fn is_none(&self) -> bool {
        *self == Self { model: self.model.clone(), ..Self::default() }
    }
}

impl AddAssign for UsageAdded {
    fn add_assign(&mut self, other: Self) {
        self.model_calls += other.model_calls;
        self.counted_calls += other.counted_calls;
        self.unpriced_calls += other.unpriced_calls;
        self.input_tokens += other.input_tokens;
        self.cached_input_tokens += other.cached_input_tokens;
        self.output_tokens += other.output_tokens;
        self.cost_nano += other.cost_nano;
        self.saved_nano += other.saved_nano;
    }
}

/// US dollars in billionths of one, rounded.
pub fn nano(usd: f64) -> i64 {
    (usd * 1e9).round() as i64
}
