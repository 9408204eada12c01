//! Token counts in the spellings of the providers.

use crate::domain::usage::TokenUsage;
use serde_json::Value;

/// Reads a usage object. `None` where it holds no counts. `input_tokens` comes out with cached
/// tokens included; Anthropic reports them apart
/// (<https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching#tracking-cache-performance>).
pub(super) fn read(usage: &Value) -> Option<TokenUsage> {
    let number = |pointer: &str| usage.pointer(pointer).and_then(Value::as_u64);
    let output = number("/output_tokens").or_else(|| number("/completion_tokens"));
    if let Some(prompt) = number("/prompt_tokens") {
        let cached = number("/prompt_tokens_details/cached_tokens")
            .or_else(|| number("/prompt_cache_hit_tokens"))
            .or_else(|| number("/cached_tokens"))
            .or_else(|| number("/cache_read_input_tokens"))
            .or_else(|| number("/num_cached_tokens"));
        return Some(counts(prompt, cached, output));
    }
    let input = number("/input_tokens");
    if input.is_none() && output.is_none() {
        return None;
    }
    let input = input.unwrap_or_default();
    let (read, written) = (number("/cache_read_input_tokens"), number("/cache_creation_input_tokens"));
    if read.is_some() || written.is_some() {
        let read = read.unwrap_or_default();
        let whole = input.saturating_add(read).saturating_add(written.unwrap_or_default());
        let usage = counts(whole, Some(read), output);
        return Some(TokenUsage { cache_write_tokens: written.unwrap_or_default(), ..usage });
    }
    let cached = number("/input_tokens_details/cached_tokens").or_else(|| number("/cached_tokens"));
    Some(counts(input, cached, output))
}

fn counts(input: u64, cached: Option<u64>, output: Option<u64>) -> TokenUsage {
    TokenUsage {
        input_tokens: input,
        cached_input_tokens: cached.unwrap_or_default().min(input),
        output_tokens: output.unwrap_or_default(),
        cache_write_tokens: 0,
    }
}
