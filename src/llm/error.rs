//! Why a model call failed, and how a provider's answer is read as such.

use http::{HeaderMap, StatusCode};
use regex::Regex;
use serde_json::Value;
use std::{sync::LazyLock, time::Duration};

/// The outcome of a call after its own retries. Messages are the provider's, shortened and
/// scrubbed of the key: they may be shown to people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// The provider understood and will not do it: key, model name, quota, an unsound request, a
    /// content filter. Trying again is of no use before somebody has mended it.
    #[error("the model's provider rejected the request: {message}")]
    Rejected { message: String, why: Rejection },
    /// The provider could not be reached, is overloaded, or answered nothing in time.
    #[error("the model is not available: {message}")]
    Unavailable {
        message: String,
        /// What the provider asked to wait, where that is longer than was waited.
        retry_after: Option<Duration>,
        /// The request had gone out and was not refused: the provider may have worked on it.
        begun: bool,
    },
    /// The conversation does not fit the model's window.
    #[error("the conversation is too long for the model's context window")]
    ContextTooLong,
    /// The reply ended without its completion mark.
    #[error("the model's reply was cut off")]
    CutOff,
    /// Replies broke off as often as the budget allows.
    #[error("the model's reply was cut off, and the budget buys no further try")]
    SpentUp,
    /// What came is no reply: no JSON, HTML, another shape, absurd sizes.
    #[error("the model's reply makes no sense: {message}")]
    Nonsense {
        message: String,
        /// It was a page, which is of something before the provider.
        page: bool,
    },
}

/// What a provider's refusal is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The key is not, or no longer, good.
    Key,
    /// There is no such model here: another may do.
    NoModel,
    Request,
}

impl ModelError {
    pub(super) fn rejected(message: impl Into<String>) -> Self {
        Self::Rejected { message: message.into(), why: Rejection::Request }
    }

    /// Whether another model may answer where this one did not.
    pub fn lets_another_try(&self) -> bool {
        self.may_pass() || matches!(self, Self::Rejected { why: Rejection::NoModel, .. })
    }

    pub(super) fn unavailable(message: impl Into<String>) -> Self {
        Self::Unavailable { message: message.into(), retry_after: None, begun: false }
    }

    /// The request went out, and no whole reply came in time.
    pub(super) fn late(message: impl Into<String>) -> Self {
        Self::Unavailable { message: message.into(), retry_after: None, begun: true }
    }

    pub(super) fn nonsense(message: impl Into<String>) -> Self {
        Self::Nonsense { message: message.into(), page: false }
    }

    /// Whether the provider may charge for the call all the same: it had taken it, and no usage will come.
    pub fn may_have_cost(&self) -> bool {
        matches!(self, Self::CutOff | Self::Unavailable { begun: true, .. } | Self::Nonsense { page: false, .. })
    }

    /// Whether the same request may succeed when it is sent again.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::CutOff | Self::Nonsense { .. })
    }

    /// The same error with every secret of the request taken out and its message shortened.
    pub(super) fn scrubbed(mut self, secrets: &[String]) -> Self {
        if let Self::Rejected { message, .. } | Self::Unavailable { message, .. } | Self::Nonsense { message, .. } =
            &mut self
        {
            *message = scrub(message, secrets);
        }
        self
    }
}

/// The secrets of a request: its key, and header values that may be some.
pub(super) fn secrets<'a>(key: Option<&'a str>, headers: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut secrets: Vec<String> = key.into_iter().chain(headers.map(String::as_str)).map(str::to_owned).collect();
    // A header may hold the word Bearer before what is secret in it.
    let parts: Vec<String> = secrets.iter().flat_map(|secret| secret.split_whitespace()).map(str::to_owned).collect();
    secrets.extend(parts);
    secrets.retain(|secret| secret.len() >= 6);
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets
}

/// `text` on one line, without `secrets`, at most about 600 bytes.
pub(super) fn scrub(text: &str, secrets: &[String]) -> String {
    let mut text = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty()).fold(
        String::new(),
        |mut line, word| {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
            line
        },
    );
    for secret in secrets {
        text = text.replace(secret, "***");
    }
    if text.len() > 600 {
        text.truncate(text.floor_char_boundary(600));
        text.push('…');
    }
    text
}

/// Reads an answer whose status is not a success. `body` may be cut.
pub(super) fn from_status(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> ModelError {
    let said = Said::of(body);
    let message = format!("HTTP {}: {}", status.as_u16(), said.message);
    if status.is_redirection() {
        return ModelError::rejected(format!("HTTP {}: the address redirects; name the final one", status.as_u16()));
    }
    if said.quota_is_spent() {
        return ModelError::rejected(message);
    }
    let retry_after = super::headers::retry_after(headers).or_else(|| said.asked_delay());
    match status.as_u16() {
        408 | 409 | 425 | 429 => ModelError::Unavailable { message, retry_after, begun: false },
        _ if said.is_context_too_long() => ModelError::ContextTooLong,
        413 => ModelError::ContextTooLong,
        code if code >= 500 => ModelError::Unavailable { message, retry_after, begun: false },
        401 => ModelError::Rejected { message, why: Rejection::Key },
        404 if said.is_about_the_model() => ModelError::Rejected { message, why: Rejection::NoModel },
        _ => ModelError::rejected(message),
    }
}

/// Codes and types of errors that another try does not mend.
const FINAL: [&str; 12] = [
    "invalid_request_error",
    "invalid_prompt",
    "authentication_error",
    "invalid_api_key",
    "permission_error",
    "not_found_error",
    "model_not_found",
    "billing_error",
    "content_filter",
    "cyber_policy",
    "usage_not_included",
    "unsupported_value",
];

/// Reads an error object that came within a reply.
pub(super) fn from_object(error: &Value) -> ModelError {
    let said = Said::of_object(error);
    let retry_after = said.asked_delay();
    if said.is_context_too_long() {
        return ModelError::ContextTooLong;
    }
    let status = said.words.iter().find_map(|word| word.parse::<u16>().ok());
    let final_status = status.is_some_and(|s| (400..500).contains(&s) && !matches!(s, 408 | 409 | 425 | 429));
    if said.quota_is_spent() || final_status || said.words.iter().any(|word| FINAL.contains(&word.as_str())) {
        let why = if said.is_about_the_model() { Rejection::NoModel } else { Rejection::Request };
        ModelError::Rejected { message: said.message, why }
    } else {
        ModelError::Unavailable { message: said.message, retry_after, begun: false }
    }
}

/// What an error's body says, in whichever of the known shapes.
struct Said {
    message: String,
    /// Codes and types.
    words: Vec<String>,
}

impl Said {
    fn of(body: &[u8]) -> Self {
        match serde_json::from_slice::<Value>(body) {
            Ok(Value::Array(list)) if !list.is_empty() => Self::of_object(&list[0]),
            Ok(value) => Self::of_object(&value),
            Err(_) => Self { message: visible_text(&String::from_utf8_lossy(body)), words: Vec::new() },
        }
    }

    fn of_object(value: &Value) -> Self {
        let inner = match value.get("error") {
            Some(Value::String(text)) => return Self { message: text.clone(), words: words(value) },
            Some(inner @ Value::Object(_)) => inner,
            _ => value,
        };
        let message = ["message", "detail", "msg", "error_message"]
            .iter()
            .find_map(|name| inner.get(name))
            .map_or_else(|| inner.to_string(), |m| m.as_str().map_or_else(|| m.to_string(), str::to_owned));
        Self { message, words: words(inner) }
    }

    fn is_context_too_long(&self) -> bool {
        const CODES: [&str; 4] = [
            "context_length_exceeded",
            "exceed_context_size_error",
            "context_window_exceeded",
            "string_above_max_length",
        ];
        static PHRASES: LazyLock<Option<Regex>> = LazyLock::new(|| {
            Regex::new(
                "(?i)maximum context length|prompt is too long|exceeds? (the |your )?(model'?s? )?(available )?context \
                 (size|length|limit|window)|context (window|length|size)( is| was)? exceeded|input is too long|\
                 input token count .*exceeds|exceeds the maximum number of (input )?tokens|maximum prompt length|\
                 reduce the length of the (messages|prompt|input)|too large for model with|request too large for model",
            )
            .ok()
        });
        self.words.iter().any(|word| CODES.contains(&word.as_str()))
            || PHRASES.as_ref().is_some_and(|phrases| phrases.is_match(&self.message))
    }

    /// Whether a refusal says that the model is not there. Addresses that lead nowhere say less.
    fn is_about_the_model(&self) -> bool {
        let coded = |word: &String| matches!(word.as_str(), "model_not_found" | "DeploymentNotFound");
        let not_found = self.words.iter().any(|word| matches!(word.as_str(), "not_found_error" | "NotFoundError"));
        self.words.iter().any(coded) || (not_found && self.message.to_lowercase().contains("model"))
    }

    fn quota_is_spent(&self) -> bool {
        const CODES: [&str; 4] =
            ["insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "quota_exceeded"];
        self.words.iter().any(|word| CODES.contains(&word.as_str()))
    }

    /// Some providers name the delay in words alone ("Please try again in 1.3s").
    fn asked_delay(&self) -> Option<Duration> {
        static DELAY: LazyLock<Option<Regex>> = LazyLock::new(|| {
            Regex::new(r"(?i)try again in ([0-9]+(?:\.[0-9]+)?) ?(ms|s|m)\b|retry after ([0-9]+) ?s").ok()
        });
        let found = DELAY.as_ref()?.captures(&self.message)?;
        let number: f64 = found.get(1).or_else(|| found.get(3))?.as_str().parse().ok()?;
        let unit = match found.get(2).map(|unit| unit.as_str().to_ascii_lowercase()).as_deref() {
            Some("ms") => 0.001,
            Some("m") => 60.0,
            _ => 1.0,
        };
        Duration::try_from_secs_f64(number * unit).ok()
    }
}

fn words(value: &Value) -> Vec<String> {
    ["code", "type", "status"]
        .iter()
        .filter_map(|name| value.get(name))
        .filter_map(|word| match word {
            Value::String(word) => Some(word.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        })
        .collect()
}

/// The text of a page without its tags, for error pages of proxies.
fn visible_text(page: &str) -> String {
    let mut text = String::new();
    let mut in_tag = false;
    for c in page.chars().take(4_000) {
        match c {
            '<' => in_tag = true,
            '>' if in_tag => {
                in_tag = false;
                text.push(' ');
            }
            _ if !in_tag => text.push(c),
            _ => {}
        }
    }
    let text = text.trim();
    if text.is_empty() { "no message".to_owned() } else { text.to_owned() }
}
