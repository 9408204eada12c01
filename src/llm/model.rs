//! What has to be known of a model to speak to it: one entry of the settings' `[[models]]`.

use crate::domain::{item::Wire, usage::Prices};
use serde::{Deserialize, Deserializer};
use std::{collections::BTreeMap, fmt};
use url::Url;

/// A provider's key. `Debug` hides it, nothing serialises it.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// `key` without the blanks around it, which come with keys read from files.
    pub fn new(key: &str) -> Self {
        Self(key.trim().to_owned())
    }

    /// The key itself, for the one header that carries it.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(***)")
    }
}

impl<'de> Deserialize<'de> for ApiKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|key| Self::new(&key))
    }
}

/// How the server's own words (developer items) are shown to a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeveloperRole {
    /// A message of the role `developer`. Responses' own; few other servers take it.
    Developer,
    /// A message of the role `system`. Many chat templates refuse it after the first message.
    System,
    /// A message of the role `user` whose text starts with `[server]`: what every server takes.
    User,
}

/// How long each part of a call may take, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Timeouts {
    /// Until the connection stands, TLS included.
    pub connect_ms: u64,
    /// From there to the first byte of the reply's body.
    pub first_byte_ms: u64,
    /// Between any two pieces of the body.
    pub idle_ms: u64,
    /// One try as a whole, against replies that drip for ever.
    pub total_ms: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect_ms: 10_000, first_byte_ms: 300_000, idle_ms: 300_000, total_ms: 3_600_000 }
    }
}

/// How often and how long a call is tried again. A delay that the server asks for goes first;
/// else it doubles from `first_delay_ms` with a fifth of jitter either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retries {
    /// Tries after the first.
    pub attempts: u32,
    pub first_delay_ms: u64,
    /// No single delay of our own is longer.
    pub max_delay_ms: u64,
    /// All delays together. A server that asks for more than what is left is not waited for.
    pub max_wait_ms: u64,
}

impl Default for Retries {
    fn default() -> Self {
        Self { attempts: 6, first_delay_ms: 250, max_delay_ms: 30_000, max_wait_ms: 180_000 }
    }
}

/// The largest reply that is taken; beyond it the reply is nonsense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReplyLimits {
    /// The body as it comes over the wire, decoded from transfer coding.
    pub bytes: usize,
    /// Text, and apart from it reasoning.
    pub text_bytes: usize,
    pub calls: usize,
    /// Of one call.
    pub argument_bytes: usize,
}

impl Default for ReplyLimits {
    fn default() -> Self {
        Self { bytes: 64 << 20, text_bytes: 4 << 20, calls: 128, argument_bytes: 4 << 20 }
    }
}

/// A model and how to reach it.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// What callers ask for.
    pub name: String,
    pub wire: Wire,
    /// Base, `…/v1`, to which `/responses`, `/chat/completions` or `/messages` is added.
    pub url: Url,
    #[serde(default)]
    pub key: Option<ApiKey>,
    /// The provider's name for it.
    pub model_id: String,
    /// Input and output together.
    #[serde(default = "default_window_tokens")]
    pub window_tokens: u64,
    /// Of one reply.
    #[serde(default = "default_max_output_tokens")]
    pub max_output_tokens: u32,
    #[serde(default)]
    pub prices: Option<Prices>,
    /// Sent with every request, in this order.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The provider's own word (`low`, `high`…). On Messages it also turns adaptive thinking on.
    #[serde(default)]
    pub reasoning_effort: Option<String>,
    /// Absent: `developer` on Responses, `user` elsewhere.
    #[serde(default)]
    pub developer_role: Option<DeveloperRole>,
    /// Whether `prompt_cache_key` is sent. Absent: on Responses only.
    #[serde(default)]
    pub prompt_cache_key: Option<bool>,
    /// The name of the output limit on Chat. Absent: `max_completion_tokens` for OpenAI's own
    /// host, else `max_tokens`.
    #[serde(default)]
    pub max_tokens_field: Option<String>,
    /// Further fields of the request's body, for vendors' options such as `temperature`; they
    /// override those made here, but for the conversation itself.
    #[serde(default)]
    pub body: BTreeMap<String, serde_json::Value>,
    /// Fields made here that this server refuses, such as `include` or `stream_options`.
    #[serde(default)]
    pub without: Vec<String>,
    #[serde(default)]
    pub timeouts: Timeouts,
    #[serde(default)]
    pub retries: Retries,
    #[serde(default)]
    pub limits: ReplyLimits,
    /// Whether calls that the model writes as text are taken for calls. Absent: except from the hosts of
    /// `OpenAI` and Anthropic, whose replies have calls of their own.
    #[serde(default)]
    pub text_calls: Option<bool>,
    /// The model to turn to when this one cannot be had.
    #[serde(default)]
    pub fallback: Option<String>,
}

fn default_window_tokens() -> u64 {
    128_000
}

fn default_max_output_tokens() -> u32 {
    16_384
}

impl Model {
    /// A model with nothing but the defaults besides its address.
    pub fn new(name: &str, wire: Wire, url: Url, key: Option<ApiKey>) -> Self {
        Self {
            name: name.to_owned(),
            wire,
            url,
            key,
            model_id: name.to_owned(),
            window_tokens: default_window_tokens(),
            max_output_tokens: default_max_output_tokens(),
            prices: None,
            headers: BTreeMap::new(),
            reasoning_effort: None,
            developer_role: None,
            prompt_cache_key: None,
            max_tokens_field: None,
            body: BTreeMap::new(),
            without: Vec::new(),
            timeouts: Timeouts::default(),
            retries: Retries::default(),
            limits: ReplyLimits::default(),
            text_calls: None,
            fallback: None,
        }
    }

    /// Where requests go.
    pub fn endpoint(&self) -> Url {
        let path = match self.wire {
            Wire::Responses => "responses",
            Wire::Chat => "chat/completions",
            Wire::Messages => "messages",
        };
        let mut url = self.url.clone();
        url.set_path(&format!("{}/{path}", self.url.path().trim_end_matches('/')));
        url
    }

    pub(super) fn developer_role(&self) -> DeveloperRole {
        self.developer_role.unwrap_or(match self.wire {
            Wire::Responses => DeveloperRole::Developer,
            Wire::Chat | Wire::Messages => DeveloperRole::User,
        })
    }

    pub(super) fn sends_cache_key(&self) -> bool {
        self.wire != Wire::Messages && self.prompt_cache_key.unwrap_or(self.wire == Wire::Responses)
    }

    pub(super) fn reads_text_calls(&self) -> bool {
        let own_host = matches!(self.url.host_str(), Some("api.openai.com" | "api.anthropic.com"));
        self.text_calls.unwrap_or(!own_host)
    }

    pub(super) fn max_tokens_field(&self) -> &str {
        match (self.wire, &self.max_tokens_field) {
            (Wire::Responses, _) => "max_output_tokens",
            (Wire::Chat, Some(name)) => name,
            (Wire::Chat, None) if self.url.host_str() == Some("api.openai.com") => "max_completion_tokens",
            (Wire::Chat, None) | (Wire::Messages, _) => "max_tokens",
        }
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model")
            .field("name", &self.name)
            .field("wire", &self.wire)
            .field("host", &self.url.host_str())
            .field("model_id", &self.model_id)
            .field("window_tokens", &self.window_tokens)
            .field("max_output_tokens", &self.max_output_tokens)
            .finish_non_exhaustive()
    }
}
