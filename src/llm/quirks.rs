//! What is known of well-known models, as a table: the defaults of a `[[models]]` entry that does
//! not say otherwise. Code asks the table and never a model's name.
//!
//! Sources: the vendors' model pages and API references (platform.openai.com/docs/models,
//! docs.anthropic.com/en/docs/about-claude/models, api-docs.deepseek.com, ai.google.dev), and the
//! model cards of open weights. Windows are of the plain model; a server may give less.

use crate::domain::{item::EditFormat, item::Wire};
use std::time::Duration;
use url::Url;

/// How a model of the Messages wire is told to think.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Thinking {
    /// `thinking: adaptive` and `output_config.effort`.
    Adaptive,
    /// `thinking: enabled` with a budget of tokens.
    Budget,
}

/// How a provider's prompt cache behaves, as far as it is documented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cache {
    /// After so long without a call a prefix may be gone; `None`: not known.
    pub(super) ttl: Option<Duration>,
    /// Shorter prompts are never cached.
    pub(super) minimum_tokens: u64,
    /// Cached prefixes grow in steps of so many tokens.
    pub(super) step_tokens: u64,
}

/// One row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quirks {
    /// Of the model's name, in lower case, without the vendor before a `/`.
    prefix: &'static str,
    /// Input and output together.
    pub window_tokens: u64,
    /// Of one reply, as much as is asked for.
    pub max_output_tokens: u32,
    pub edit_format: EditFormat,
    /// Whether several calls in one reply are asked for.
    pub(super) parallel_tool_calls: bool,
    /// Whether `temperature` is taken.
    pub temperature: bool,
    /// Whether calls may come as text.
    pub(super) text_calls: bool,
    pub(super) thinking: Thinking,
    pub(super) cache: Cache,
}

const UNKNOWN_CACHE: Cache = Cache { ttl: None, minimum_tokens: 1_024, step_tokens: 128 };
/// <https://platform.openai.com/docs/guides/prompt-caching>: from 1,024 tokens in steps of 128, kept
/// for 5 to 10 minutes without use.
const OPENAI_CACHE: Cache = Cache { ttl: Some(Duration::from_mins(5)), minimum_tokens: 1_024, step_tokens: 128 };
/// <https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching>: five minutes, up to the marked
/// block.
const ANTHROPIC_CACHE: Cache = Cache { ttl: Some(Duration::from_mins(5)), minimum_tokens: 1_024, step_tokens: 1 };
/// <https://api-docs.deepseek.com/guides/kv_cache>: units of 64 tokens, hours to days.
const DEEPSEEK_CACHE: Cache = Cache { ttl: None, minimum_tokens: 64, step_tokens: 64 };

/// What holds where nothing is known.
const UNKNOWN: Quirks = Quirks {
    prefix: "",
    window_tokens: 128_000,
    max_output_tokens: 16_384,
    edit_format: EditFormat::Both,
    parallel_tool_calls: true,
    temperature: true,
    text_calls: true,
    thinking: Thinking::Adaptive,
    cache: UNKNOWN_CACHE,
};

const OPENAI: Quirks = Quirks {
    window_tokens: 400_000,
    max_output_tokens: 32_768,
    edit_format: EditFormat::ApplyPatch,
    temperature: false,
    text_calls: false,
    cache: OPENAI_CACHE,
    ..UNKNOWN
};

const CLAUDE: Quirks = Quirks {
    window_tokens: 200_000,
    max_output_tokens: 32_000,
    edit_format: EditFormat::Edit,
    text_calls: false,
    cache: ANTHROPIC_CACHE,
    ..UNKNOWN
};

/// Models from before adaptive thinking; their names go on with a date.
const CLAUDE_BUDGET: Quirks = Quirks { thinking: Thinking::Budget, ..CLAUDE };

const fn cached_from(minimum_tokens: u64) -> Cache {
    Cache { minimum_tokens, ..ANTHROPIC_CACHE }
}

const OPEN: Quirks = Quirks { edit_format: EditFormat::Edit, ..UNKNOWN };

/// The longest prefix that fits decides.
const TABLE: [Quirks; 31] = [
    Quirks { prefix: "gpt-5", ..OPENAI },
    Quirks { prefix: "codex-", ..OPENAI },
    Quirks { prefix: "gpt-4.1", window_tokens: 1_000_000, temperature: true, ..OPENAI },
    Quirks { prefix: "gpt-4o", window_tokens: 128_000, max_output_tokens: 16_384, temperature: true, ..OPENAI },
    Quirks {
        prefix: "gpt-oss",
        window_tokens: 128_000,
        text_calls: true,
        temperature: true,
        cache: UNKNOWN_CACHE,
        ..OPENAI
    },
    Quirks { prefix: "o1", window_tokens: 200_000, parallel_tool_calls: false, ..OPENAI },
    Quirks { prefix: "o3", window_tokens: 200_000, parallel_tool_calls: false, ..OPENAI },
    Quirks { prefix: "o4", window_tokens: 200_000, parallel_tool_calls: false, ..OPENAI },
    Quirks { prefix: "claude-", ..CLAUDE },
    Quirks { prefix: "claude-3", max_output_tokens: 8_192, ..CLAUDE_BUDGET },
    Quirks { prefix: "claude-sonnet-4-0", ..CLAUDE_BUDGET },
    Quirks { prefix: "claude-sonnet-4-2", ..CLAUDE_BUDGET },
    Quirks { prefix: "claude-sonnet-4-5", ..CLAUDE_BUDGET },
    Quirks { prefix: "claude-sonnet-4-6", cache: cached_from(2_048), ..CLAUDE },
    Quirks { prefix: "claude-opus-4-0", ..CLAUDE_BUDGET },
    Quirks { prefix: "claude-opus-4-1", ..CLAUDE_BUDGET },
    Quirks { prefix: "claude-opus-4-2", ..CLAUDE_BUDGET },
    Quirks { prefix: "claude-opus-4-5", cache: cached_from(4_096), ..CLAUDE_BUDGET },
    Quirks { prefix: "claude-opus-4-6", cache: cached_from(4_096), ..CLAUDE },
    Quirks { prefix: "claude-haiku-4-5", cache: cached_from(4_096), ..CLAUDE_BUDGET },
    Quirks { prefix: "deepseek-", max_output_tokens: 8_192, cache: DEEPSEEK_CACHE, ..OPEN },
    Quirks { prefix: "qwen", ..OPEN },
    Quirks { prefix: "llama", parallel_tool_calls: false, max_output_tokens: 8_192, ..OPEN },
    Quirks { prefix: "mistral", ..OPEN },
    Quirks { prefix: "devstral", ..OPEN },
    Quirks { prefix: "codestral", ..OPEN },
    Quirks {
        prefix: "gemini-",
        window_tokens: 1_000_000,
        max_output_tokens: 32_768,
        parallel_tool_calls: false,
        ..OPEN
    },
    Quirks { prefix: "gemma", parallel_tool_calls: false, max_output_tokens: 8_192, ..OPEN },
    Quirks { prefix: "glm-", ..OPEN },
    Quirks { prefix: "kimi-", ..OPEN },
    Quirks { prefix: "minimax-", ..OPEN },
];

/// What is known of `model_id`, the provider's name of a model.
pub fn quirks(model_id: &str) -> &'static Quirks {
    let name = model_id.to_ascii_lowercase();
    // `vendor/model` of gateways, `region.anthropic.claude-…` of clouds, `model:tag` of local servers.
    let name = name.rsplit('/').next().unwrap_or_default();
    let name = name.rsplit_once("anthropic.").map_or(name, |(_, name)| name);
    let fits = TABLE.iter().filter(|row| name.starts_with(row.prefix));
    fits.max_by_key(|row| row.prefix.len()).unwrap_or(&UNKNOWN)
}

/// Hosts whose replies have calls of their own and whose fields are their own.
pub(super) fn is_openai(url: &Url) -> bool {
    url.host_str() == Some("api.openai.com")
}

/// The name of the output limit on the Chat wire: `OpenAI` refuses the older for its newer models,
/// few others know the newer.
pub(super) fn max_tokens_field(wire: Wire, url: &Url) -> &'static str {
    match wire {
        Wire::Responses => "max_output_tokens",
        Wire::Chat if is_openai(url) => "max_completion_tokens",
        Wire::Chat | Wire::Messages => "max_tokens",
    }
}

/// The least budget of thought that is taken.
const THINKING_MIN: u32 = 1_024;

/// Tokens of thought for an effort in words, where a model wants a number: fixed for a task, whose
/// model gives replies of `max_output_tokens`.
/// <https://docs.anthropic.com/en/docs/build-with-claude/extended-thinking>: 1,024 at least, and less
/// than the reply's own limit.
pub(super) fn thinking_budget(effort: &str, max_output_tokens: u32) -> Option<u32> {
    let wanted = match effort {
        "none" => return None,
        "minimal" => THINKING_MIN,
        "low" => 4_096,
        "medium" => 12_288,
        _ => 24_576,
    };
    // Half of the reply at most, so that there is room for words and calls.
    let budget = wanted.min(max_output_tokens / 2);
    (budget >= THINKING_MIN).then_some(budget)
}

/// What of a task's budget a call takes whose reply may have so much: all of it, where that leaves room for words
/// and calls; else the least, so that a limit that comes near changes it once and not with every call; else 0. Another
/// budget than the call's before, or none, voids what is cached of the messages, though not of instructions and
/// tools: <https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching>.
pub(super) fn thinking_of_call(budget: u32, max_output_tokens: u32) -> u32 {
    let fits = |budget: u32| max_output_tokens >= budget.saturating_add(THINKING_MIN);
    [budget, THINKING_MIN].into_iter().find(|budget| fits(*budget)).unwrap_or(0)
}
