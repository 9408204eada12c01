//! Sends a conversation to its model and brings back the reply.

use super::{
    ApiKey, Conversation, Model, ModelError, Rejection, Timeouts, decode::Decoded, error, rate::Gate, recover,
    retry::Backoff, transport,
};
use crate::domain::{
    item::{Reply, Wire},
    usage::TokenUsage,
};
use bytes::Bytes;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::{Instant, sleep, timeout};

/// How connections are made, the same for all models.
#[derive(Clone, Debug, Default)]
pub struct ClientSettings {
    /// For all requests but those to hosts in `no_proxy`.
    pub proxy: Option<url::Url>,
    /// As in `NO_PROXY`: names, suffixes and networks, commas between.
    pub no_proxy: Option<String>,
    /// Further certificate authorities, PEM.
    pub ca_pem: Option<Vec<u8>>,
}

/// One call's own parameters.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The same for all calls of a task: providers route by it to where the prefix is cached.
    pub cache_key: &'a str,
    /// The number of this model call in its task, from 1: it makes the ids of the calls.
    pub turn: u32,
    /// For whom it is: where a provider has no room, each share in turn gets a call through.
    pub share: &'a str,
    /// Whose task it is, for gateways that account by it.
    pub by: Attribution<'a>,
    /// What the budget still buys; the model's own maximum holds besides.
    pub max_output_tokens: u32,
    /// How many replies may break off after they had begun, each of which the provider may charge for.
    pub repeats_max: u32,
}

/// Ids that go along where a model's settings name headers for them; an empty one does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attribution<'a> {
    pub task: &'a str,
    pub team: &'a str,
    pub user: &'a str,
}

/// What can be shown while a call runs. None of it is part of the reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Live {
    /// A piece of the reply's text.
    Text(String),
    /// A piece of what the provider tells of the model's reasoning.
    Reasoning(String),
    /// The model has begun a call of this tool.
    Tool(String),
    /// The stream broke: what was shown of this reply is void.
    Reset,
    /// The call will be tried again after `delay`. `attempt` counts from 1.
    /// The reply had begun where it `broke_off`.
    Retry { attempt: u32, reason: String, delay: Duration, broke_off: bool },
}

/// A whole reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completed {
    pub reply: Reply,
    pub usage: TokenUsage,
    /// `usage` is the provider's; else it is an estimate from above, at two bytes a token.
    pub usage_reported: bool,
    /// The budget of thought that the call went out with, as [`Conversation::thinking`] has it.
    pub thinking: Option<u32>,
    /// From the first try's start, waits included.
    pub duration: Duration,
}

/// The one client of all models: its connections are kept alive and shared. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    settings: Arc<ClientSettings>,
    /// One HTTP client for each connect timeout in use, because that is a client's property.
    http: Arc<Mutex<HashMap<u64, reqwest::Client>>>,
    /// One gate for each provider, by address and key.
    gates: Arc<Mutex<HashMap<String, Arc<Gate>>>>,
}

impl Client {
    /// A client; an error where the proxy's address or a certificate is unsound.
    pub fn new(settings: ClientSettings) -> Result<Self, ModelError> {
        let client = Self { settings: Arc::new(settings), http: Arc::default(), gates: Arc::default() };
        client.http(Timeouts::default().connect_ms)?;
        Ok(client)
    }

    /// Asks the model for its next reply, trying again as the model's settings allow; every retry
    /// is told through `live` first. Cancel safe: dropping the future closes the connection, so
    /// that the provider stops too.
    pub async fn call(
        &self,
        model: &Model,
        conversation: &Conversation,
        call: Call<'_>,
        mut live: impl FnMut(Live) + Send,
    ) -> Result<Completed, ModelError> {
        if conversation.wire() != model.wire {
            return Err(ModelError::rejected("the conversation was made for another wire than the model's"));
        }
        let started = Instant::now();
        let http = self.http(model.timeouts.connect_ms)?;
        let gate = self.gate(model);
        let url = model.endpoint();
        let most = call.max_output_tokens.min(model.max_output_tokens);
        let body = Bytes::from(conversation.body(call.cache_key, most));
        let estimate = body.len() as u64 / 4 + u64::from(most);
        let total = Duration::from_millis(model.timeouts.total_ms);
        let mut backoff = Backoff::new(model.retries, call);
        let mut key_tried_again = false;
        let mut repeats = 0;
        loop {
            if let Some(key) = &model.key {
                key.refresh().await;
            }
            let key = model.key.as_ref().map(ApiKey::expose);
            let secrets = error::secrets(key.as_deref(), model.headers.values().chain(model.query.values()));
            let headers = transport::headers(model, key.as_deref(), call).map_err(|e| e.scrubbed(&secrets))?;
            let mut permit = gate.enter(call.share, estimate).await?;
            let request = http.post(url.clone()).headers(headers).body(body.clone());
            let mut shown = false;
            let mut show = |piece: Live| {
                shown = true;
                live(piece);
            };
            let tried = timeout(total, transport::attempt(model, &gate, request, call.turn, &mut show)).await;
            let error = match tried {
                Ok(Ok(mut decoded)) => {
                    if recover::apply(&mut decoded.reply, conversation.offered(), call.turn) {
                        told(&decoded.reply, &mut live);
                    }
                    let mut completed = completed(decoded, body.len(), most, started.elapsed());
                    completed.thinking = conversation.thinking(most);
                    permit.settle(completed.usage.total());
                    return Ok(completed);
                }
                Ok(Err(error)) => error,
                Err(_) => ModelError::late(format!("no whole reply within {} s", total.as_secs())),
            };
            drop(permit);
            let error = error.scrubbed(&secrets);
            if shown {
                live(Live::Reset);
            }
            // A key that was replaced while the process runs: once more with the new one.
            if let (ModelError::Rejected { why: Rejection::Key, .. }, Some(used), Some(held), false) =
                (&error, &key, &model.key, key_tried_again)
                && held.is_another(used).await
            {
                tracing::info!(model.name = model.name, "the provider's key was replaced");
                key_tried_again = true;
                continue;
            }
            let reason = error.to_string();
            // Its provider has worked on it, whether or not something of it was to be seen.
            let broke_off = shown || error.may_have_cost();
            let (attempt, delay) = backoff.next(error)?;
            repeats += u32::from(broke_off);
            tracing::warn!(model.name = model.name, model.attempt = attempt, model.delay = ?delay, "retrying a model call: {reason}");
            if repeats > call.repeats_max {
                return Err(ModelError::SpentUp);
            }
            live(Live::Retry { attempt, reason, delay, broke_off });
            sleep(delay).await;
        }
    }

    /// The gate of the model's provider. A key that is replaced keeps its gate.
    fn gate(&self, model: &Model) -> Arc<Gate> {
        let key = model.key.as_ref().map(ApiKey::provider).unwrap_or_default();
        let provider = format!("{} {key}", model.url);
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(gates.entry(provider).or_insert_with(|| Gate::new(model.rate)))
    }

    pub(super) fn http(&self, connect_ms: u64) -> Result<reqwest::Client, ModelError> {
        let mut clients = self.http.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&connect_ms) {
            return Ok(client.clone());
        }
        let client = build(&self.settings, Duration::from_millis(connect_ms))?;
        clients.insert(connect_ms, client.clone());
        Ok(client)
    }
}

#[expect(clippy::disallowed_methods, reason = "llm owns the client that speaks to models")]
fn build(settings: &ClientSettings, connect: Duration) -> Result<reqwest::Client, ModelError> {
    let unsound = |what: &'static str| {
        move |error: reqwest::Error| ModelError::rejected(format!("{what}: {}", error.without_url()))
    };
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("journeyman/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(connect)
        .pool_idle_timeout(Duration::from_mins(1))
        .tcp_nodelay(true)
        .tcp_keepalive(Duration::from_secs(30))
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy();
    if let Some(proxy) = &settings.proxy {
        let except = settings.no_proxy.as_deref().and_then(reqwest::NoProxy::from_string);
        builder =
            builder.proxy(reqwest::Proxy::all(proxy.clone()).map_err(unsound("the proxy's address"))?.no_proxy(except));
    }
    if let Some(pem) = &settings.ca_pem {
        let authorities = reqwest::Certificate::from_pem_bundle(pem).map_err(unsound("the certificate file"))?;
        builder = builder.tls_certs_merge(authorities);
    }
    builder.build().map_err(unsound("the HTTP client"))
}

/// Tells those who watch that what they were shown as words was calls.
fn told(reply: &Reply, live: &mut impl FnMut(Live)) {
    let tools: Vec<&str> = reply.calls.iter().map(|call| call.tool.as_str()).collect();
    tracing::debug!(model.calls = ?tools, "calls came as text");
    live(Live::Reset);
    if !reply.text.is_empty() {
        live(Live::Text(reply.text.clone()));
    }
    tools.into_iter().map(|tool| Live::Tool(tool.to_owned())).for_each(live);
}

/// Bytes of a token where a provider does not say how many there were: fewer than of most texts, so that limits hold.
const UNREPORTED_BYTES: u64 = 2;

fn completed(decoded: Decoded, request_bytes: usize, most: u32, duration: Duration) -> Completed {
    let Decoded { mut reply, usage } = decoded;
    // What is read from a reply goes into a database whose JSON has no place for NUL. The raw items
    // hold it escaped.
    let arguments = reply.calls.iter_mut().map(|call| &mut call.arguments);
    for text in [&mut reply.text, &mut reply.reasoning].into_iter().chain(arguments) {
        if text.contains('\0') {
            *text = text.replace('\0', "\u{fffd}");
        }
    }
    // Some servers of the Responses wire (llama.cpp's) call a reply complete that ran into its limit.
    let limit_reached = usage.is_some_and(|usage| usage.output_tokens >= u64::from(most));
    reply.cut |= reply.wire == Wire::Responses && limit_reached;
    let written = reply.text.len() + reply.reasoning.len();
    let called: usize = reply.calls.iter().map(|call| call.tool.len() + call.arguments.len()).sum();
    let estimate = TokenUsage {
        input_tokens: request_bytes as u64 / UNREPORTED_BYTES,
        cached_input_tokens: 0,
        output_tokens: (written + called) as u64 / UNREPORTED_BYTES + 1,
        cache_write_tokens: 0,
    };
    Completed { usage: usage.unwrap_or(estimate), usage_reported: usage.is_some(), reply, thinking: None, duration }
}
