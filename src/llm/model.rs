//! What has to be known of a model to speak to it: one entry of the settings' `[[models]]`.

use super::{
    ApiKey,
    quirks::{self, Cache, Quirks, Thinking},
    rate::Rate,
};
use crate::domain::{
    event::PromptForm,
    item::{DeveloperRole, EditFormat, Wire},
    usage::Prices,
};
use serde::{Deserialize, Deserializer};
use std::{collections::BTreeMap, fmt};
use url::Url;

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
    pub window_tokens: u64,
    /// Of one reply.
    pub max_output_tokens: u32,
    #[serde(default)]
    pub prices: Option<Prices>,
    /// Sent with every request, in this order.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The provider's own word (`low`, `high`…). On Messages it also turns thinking on: adaptive, or
    /// with a budget for models from before that.
    #[serde(default)]
    pub reasoning_effort: Option<String>,
    /// Tokens of thought, for models that want a number. Absent: by `reasoning_effort` and
    /// `max_output_tokens`.
    #[serde(skip)]
    pub thinking_budget: Option<u32>,
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
    /// Whether calls that the model writes as text are taken for calls. Absent: as [`quirks`] has it.
    #[serde(default)]
    pub text_calls: Option<bool>,
    /// Whether several calls in one reply are asked for. Absent: as [`quirks`] has it.
    #[serde(default)]
    pub parallel_tool_calls: Option<bool>,
    /// Which of the editing tools it is given. Absent: as [`quirks`] has it.
    #[serde(default)]
    pub edit_format: Option<EditFormat>,
    /// Names of the tools that it is given; empty: all.
    #[serde(default)]
    pub tools: Vec<String>,
    /// The header that carries the key. Absent: `Authorization`, on Messages `x-api-key`. In
    /// `Authorization` the key stands behind the word `Bearer`, elsewhere alone.
    #[serde(default)]
    pub auth_header: Option<String>,
    /// A header that carries the task's id, for gateways that account by it; of calls outside the loop too.
    #[serde(default)]
    pub task_header: Option<String>,
    /// The same for the id of the task's team.
    #[serde(default)]
    pub team_header: Option<String>,
    /// The same for the id of whom the task works for.
    #[serde(default)]
    pub user_header: Option<String>,
    /// Parameters of the address, such as `api-version`.
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    /// What its provider allows.
    #[serde(default)]
    pub rate: Rate,
    /// The models to turn to, in order, when this one cannot be had.
    #[serde(default, deserialize_with = "one_or_many")]
    pub fallback: Vec<String>,
}

/// One name, or a list of them.
fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "must be a name or a list of names")]
    enum Names {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Names::deserialize(deserializer)? {
        Names::One(name) => vec![name],
        Names::Many(names) => names,
    })
}

impl Model {
    /// A model with nothing but the defaults besides its address.
    pub fn new(name: &str, wire: Wire, url: Url, key: Option<ApiKey>) -> Self {
        let known = quirks::quirks(name);
        Self {
            name: name.to_owned(),
            wire,
            url,
            key,
            model_id: name.to_owned(),
            window_tokens: known.window_tokens,
            max_output_tokens: known.max_output_tokens,
            prices: None,
            headers: BTreeMap::new(),
            reasoning_effort: None,
            thinking_budget: None,
            developer_role: None,
            prompt_cache_key: None,
            max_tokens_field: None,
            body: BTreeMap::new(),
            without: Vec::new(),
            timeouts: Timeouts::default(),
            retries: Retries::default(),
            limits: ReplyLimits::default(),
            text_calls: None,
            parallel_tool_calls: None,
            edit_format: None,
            tools: Vec::new(),
            auth_header: None,
            task_header: None,
            team_header: None,
            user_header: None,
            query: BTreeMap::new(),
            rate: Rate::default(),
            fallback: Vec::new(),
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
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        url
    }

    /// Whether a tool of this name is given to the model: by its edit format and its list.
    pub fn is_given(&self, tool: &str) -> bool {
        let listed = self.tools.is_empty() || self.tools.iter().any(|name| name == tool);
        // A list that names an editing tool decides by itself.
        let by_list = self.tools.iter().any(|name| matches!(name.as_str(), "apply_patch" | "edit"));
        let format = self.edit_format.unwrap_or(self.quirks().edit_format);
        listed
            && match (tool, format) {
                ("apply_patch", EditFormat::Edit) | ("edit", EditFormat::ApplyPatch) => by_list,
                _ => true,
            }
    }

    /// What a task that starts now keeps of the model's settings.
    pub fn form(&self) -> PromptForm {
        PromptForm {
            model: self.name.clone(),
            model_id: self.model_id.clone(),
            developer_role: self.developer_role(),
            parallel_tool_calls: self.asks_for_parallel_calls(),
            reasoning_effort: self.reasoning_effort.clone(),
            thinking_budget: self.thinks_by_budget(),
        }
    }

    /// The model as a task that started with `form` has it; unchanged where that is another model's, also one that
    /// had the same name then.
    #[must_use]
    pub fn as_of(mut self, form: Option<&PromptForm>) -> Self {
        let is_own = |form: &&PromptForm| {
            form.model == self.name && (form.model_id.is_empty() || form.model_id == self.model_id)
        };
        if let Some(form) = form.filter(is_own) {
            self.developer_role = Some(form.developer_role);
            self.parallel_tool_calls = Some(form.parallel_tool_calls);
            self.reasoning_effort.clone_from(&form.reasoning_effort);
            self.thinking_budget = form.thinking_budget;
        }
        self
    }

    fn quirks(&self) -> &'static Quirks {
        quirks::quirks(&self.model_id)
    }

    pub(super) fn thinking(&self) -> Thinking {
        self.quirks().thinking
    }

    /// The budget of thought of a model that wants one.
    pub(super) fn thinks_by_budget(&self) -> Option<u32> {
        let effort = self.reasoning_effort.as_ref()?;
        let wants = self.wire == Wire::Messages && self.thinking() == Thinking::Budget && effort != "none";
        let budget = self.thinking_budget.or_else(|| quirks::thinking_budget(effort, self.max_output_tokens));
        budget.filter(|_| wants)
    }

    pub(super) fn cache(&self) -> Cache {
        self.quirks().cache
    }

    pub(super) fn asks_for_parallel_calls(&self) -> bool {
        self.parallel_tool_calls.unwrap_or(self.quirks().parallel_tool_calls)
    }

    pub(super) fn developer_role(&self) -> DeveloperRole {
        self.developer_role.unwrap_or(match self.wire {
            Wire::Responses => DeveloperRole::Developer,
            Wire::Chat | Wire::Messages => DeveloperRole::User,
        })
    }

    pub(super) fn sends_cache_key(&self) -> bool {
        let knows = self.wire == Wire::Responses || quirks::is_openai(&self.url);
        self.wire != Wire::Messages && self.prompt_cache_key.unwrap_or(knows)
    }

    pub(super) fn reads_text_calls(&self) -> bool {
        self.text_calls.unwrap_or(self.quirks().text_calls)
    }

    pub(super) fn max_tokens_field(&self) -> &str {
        match &self.max_tokens_field {
            Some(name) if self.wire == Wire::Chat => name,
            _ => quirks::max_tokens_field(self.wire, &self.url),
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
