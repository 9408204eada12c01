//! The HTTP side: routes, the request log, and the little state there is.

use super::{
    answer::Answer,
    cache::PrefixCache,
    embeddings::Embeddings,
    fault::Fault,
    log::{Entry, Log, State, micros},
    play::Spoken,
    request::Request,
    script::Script,
};
use crate::domain::{item::Wire, usage::TokenUsage};
use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, Path, Query, State as Shared},
    http::{HeaderMap, HeaderValue, Response, StatusCode},
    response::IntoResponse,
    routing::{get, post},
    serve::ListenerExt,
};
use serde::Deserialize;
use serde_json::json;
use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{net::TcpListener, time::timeout};
use tokio_util::sync::CancellationToken;

/// The largest request body.
const BODY_BYTES: usize = 64 << 20;
/// So many conversations' fault counts are remembered; beyond it they are forgotten together.
const COUNTED: usize = 65_536;
/// The longest that a look at the log waits.
const WAIT_MS: u64 = 60_000;

/// The server ended by a fault of its listener.
#[derive(Debug, thiserror::Error)]
#[error("the scripted model server ended: {0}")]
pub struct ScriptedError(#[from] pub std::io::Error);

/// Plays `script` to whoever connects, until `shutdown` is cancelled.
pub async fn serve(script: Script, listener: TcpListener, shutdown: CancellationToken) -> Result<(), ScriptedError> {
    let server = Server::new(script, shutdown.clone());
    let router = routes(server.clone());
    // An answer's last bytes must not wait for the acknowledgement of its first.
    let listener = listener.tap_io(move |stream| {
        server.accepted.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!("no TCP_NODELAY: {error}");
        }
    });
    axum::serve(listener, router).with_graceful_shutdown(shutdown.cancelled_owned()).await?;
    Ok(())
}

fn routes(server: Arc<Server>) -> Router {
    let wired = |wire: Wire| {
        post(move |Shared(server): Shared<Arc<Server>>, query, headers, body| async move {
            server.reply(wire, query, headers, body).await
        })
    };
    Router::new()
        .route("/", get(banner))
        .route("/healthz", get(async || "ok\n"))
        .route("/v1/models", get(models))
        .route("/v1/responses", wired(Wire::Responses))
        .route("/v1/chat/completions", wired(Wire::Chat))
        .route("/v1/messages", wired(Wire::Messages))
        .route("/v1/embeddings", post(embed))
        .route("/embeddings", get(embeddings))
        .route("/requests", get(requests).delete(forget))
        .route("/requests/{n}", get(request))
        .route("/connections", get(connections))
        .fallback(async || (StatusCode::NOT_FOUND, Json(json!({"error": {"message": "no such route"}}))))
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .layer(axum::middleware::map_response(async |mut response: Response<Body>| {
            response.headers_mut().insert("x-scripted", HeaderValue::from_static("journeyman"));
            response
        }))
        .with_state(server)
}

struct Server {
    script: Script,
    log: Log,
    cache: Mutex<PrefixCache>,
    /// How often a fault with `times` has struck, by place and conversation.
    counted: Mutex<HashMap<u64, u32>>,
    embeddings: Embeddings,
    /// Connections since the start.
    accepted: AtomicU64,
    /// Answers that hang end with it.
    shutdown: CancellationToken,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Asked {
    fault: Option<String>,
}

impl Server {
    fn new(script: Script, shutdown: CancellationToken) -> Arc<Self> {
        let (log, accepted) = (Log::new(script.log), AtomicU64::new(0));
        let (cache, counted, embeddings) = (Mutex::default(), Mutex::default(), Embeddings::default());
        Arc::new(Self { script, log, cache, counted, embeddings, accepted, shutdown })
    }

    async fn reply(&self, wire: Wire, Query(asked): Query<Asked>, headers: HeaderMap, body: Bytes) -> Response<Body> {
        let at_us = micros();
        let (answer, mut entry) = self.answer(wire, &asked, &headers, &body);
        entry.at_us = at_us;
        entry.status = answer.status.as_u16();
        entry.bytes = body.len();
        entry.body = Some(body);
        entry.headers = harmless(&headers);
        let place = entry.place.clone();
        let ending = self.log.add(entry);
        answer.send(&place, ending, self.shutdown.clone()).await
    }

    fn answer(&self, wire: Wire, asked: &Asked, headers: &HeaderMap, body: &[u8]) -> (Answer, Entry) {
        let mut entry = Entry {
            n: 0,
            at_us: 0,
            ended_at_us: None,
            state: State::Replying,
            wire,
            status: 0,
            place: "-".to_owned(),
            fault: None,
            input_tokens: 0,
            cached_input_tokens: 0,
            output_tokens: 0,
            bytes: 0,
            body: None,
            headers: Vec::new(),
        };
        let refused = |status, message: &str| Answer::error(wire, status, None, message);
        if !self.admits(headers) {
            return (refused(StatusCode::UNAUTHORIZED, "scripted: incorrect API key provided"), entry);
        }
        let request = match Request::parse(wire, body) {
            Err(message) => return (refused(StatusCode::BAD_REQUEST, &message), entry),
            Ok(request) => request,
        };
        if let Some(message) = request.unsound.as_ref().filter(|_| self.script.strict) {
            return (refused(StatusCode::BAD_REQUEST, message), entry);
        }
        let named = headers.get("x-scripted-fault").and_then(|value| value.to_str().ok()).or(asked.fault.as_deref());
        let named = match named.map(str::parse::<Fault>).transpose() {
            Err(unknown) => return (refused(StatusCode::BAD_REQUEST, &unknown.to_string()), entry),
            Ok(fault) => fault.filter(|fault| !self.spent("named", fault, &request)),
        };
        let chosen = match self.script.choose(&request, |place, fault| self.spent(place, fault, &request)) {
            Err(message) => return (refused(StatusCode::BAD_REQUEST, &message), entry),
            Ok(chosen) => chosen,
        };
        let spoken = self.script.speak(&chosen, &request);
        let chain = request.chain();
        let usage = self.usage(&chain, &spoken);
        let id = chain.last().map_or(0, |(hash, _)| *hash);
        let fault = named.as_ref().or(chosen.fault);
        entry.input_tokens = usage.input_tokens;
        entry.cached_input_tokens = usage.cached_input_tokens;
        entry.output_tokens = usage.output_tokens;
        entry.fault = fault.map(|fault| format!("{:?}", fault.kind));
        entry.place = chosen.place;
        (Answer::saying(&request, spoken, usage, &format!("{id:016x}"), fault), entry)
    }

    fn admits(&self, headers: &HeaderMap) -> bool {
        let Some(key) = &self.script.key else { return true };
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let bearer = text("authorization").and_then(|value| value.strip_prefix("Bearer "));
        bearer == Some(key) || text("x-api-key") == Some(key)
    }

    /// Whether `fault` has struck this conversation as often as it may; if not, it strikes now.
    fn spent(&self, place: &str, fault: &Fault, request: &Request) -> bool {
        let Some(times) = fault.times else { return false };
        let mut hasher = DefaultHasher::new();
        (place, request.conversation()).hash(&mut hasher);
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.len() >= COUNTED {
            counted.clear();
        }
        let struck = counted.entry(hasher.finish()).or_default();
        *struck += 1;
        *struck > times
    }

    /// Counts from sizes.
    fn usage(&self, chain: &[(u64, usize)], spoken: &Spoken) -> TokenUsage {
        let cached = self.cache.lock().unwrap_or_else(PoisonError::into_inner).visit(chain);
        let said = spoken.text.len() + spoken.reasoning.len();
        let called: usize = spoken.calls.iter().map(|(tool, arguments)| tool.len() + arguments.len()).sum();
        let tokens = |bytes: usize| (bytes / self.script.bytes_per_token) as u64;
        let input = spoken.usage.input_tokens.unwrap_or(tokens(chain.last().map_or(0, |(_, bytes)| *bytes)));
        TokenUsage {
            input_tokens: input,
            cached_input_tokens: spoken.usage.cached_input_tokens.unwrap_or(tokens(cached)).min(input),
            output_tokens: spoken.usage.output_tokens.unwrap_or(tokens(said + called) + 1),
            cache_write_tokens: 0,
        }
    }
}

/// The headers of a request without those that may hold a key.
fn harmless(headers: &HeaderMap) -> Vec<(String, String)> {
    let secret = |name: &str| ["auth", "key", "token", "cookie", "secret"].iter().any(|word| name.contains(word));
    let shown = headers.iter().filter(|(name, _)| !secret(name.as_str()));
    shown.map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())).collect()
}

/// Vectors of texts; what came is at `/embeddings`.
async fn embed(Shared(server): Shared<Arc<Server>>, headers: HeaderMap, body: Bytes) -> Response<Body> {
    if !server.admits(&headers) {
        return (StatusCode::UNAUTHORIZED, Json(json!({"error": {"message": "scripted: incorrect API key provided"}})))
            .into_response();
    }
    server.embeddings.answer(&server.script.embeddings, &body, server.shutdown.clone()).await
}

async fn embeddings(Shared(server): Shared<Arc<Server>>) -> impl IntoResponse {
    Json(json!({"data": server.embeddings.came()}))
}

async fn banner(Shared(server): Shared<Arc<Server>>) -> String {
    let name = server.script.name.as_deref().unwrap_or("unnamed");
    format!("This is Journeyman's scripted model server. It plays the script {name:?}; nothing here thinks.\n")
}

async fn models(Shared(server): Shared<Arc<Server>>) -> impl IntoResponse {
    let model = |id: &String| json!({"id": id, "object": "model", "created": 0, "owned_by": "scripted"});
    Json(json!({"object": "list", "data": server.script.models.iter().map(model).collect::<Vec<_>>()}))
}

/// `after`: the number of the last request seen. `wait_ms`: until there is a newer one.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Look {
    after: u64,
    limit: usize,
    wait_ms: u64,
    bodies: bool,
}

impl Default for Look {
    fn default() -> Self {
        Self { after: 0, limit: 1_000, wait_ms: 0, bodies: true }
    }
}

async fn requests(Shared(server): Shared<Arc<Server>>, Query(look): Query<Look>) -> impl IntoResponse {
    let mut changes = server.log.watch();
    let found = async {
        loop {
            let found = server.log.after(look.after, look.limit);
            if !found.is_empty() || changes.changed().await.is_err() {
                return found;
            }
        }
    };
    let found = timeout(Duration::from_millis(look.wait_ms.min(WAIT_MS)), found).await.unwrap_or_default();
    let views: Vec<_> = found.iter().map(|entry| entry.view(look.bodies)).collect();
    Json(json!({"data": views}))
}

/// `until`: waits, at most a minute, until the request's answer is in this state.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct LookAtOne {
    until: Option<State>,
}

async fn request(
    Shared(server): Shared<Arc<Server>>,
    Path(n): Path<u64>,
    Query(look): Query<LookAtOne>,
) -> Response<Body> {
    let mut changes = server.log.watch();
    let reached = async {
        loop {
            let found = server.log.get(n);
            let there = found.as_ref().is_some_and(|entry| look.until.is_none_or(|state| entry.state == state));
            if there || changes.changed().await.is_err() {
                return;
            }
        }
    };
    let wait = if look.until.is_some() { WAIT_MS } else { 0 };
    let reached = timeout(Duration::from_millis(wait), reached).await.is_ok();
    match server.log.get(n) {
        Some(entry) if reached => Json(json!(entry.view(true))).into_response(),
        _ => (StatusCode::NOT_FOUND, Json(json!({"error": {"message": "no such request in that state"}})))
            .into_response(),
    }
}

/// How many connections have been accepted: whether a client keeps its own.
async fn connections(Shared(server): Shared<Arc<Server>>) -> impl IntoResponse {
    Json(json!({"accepted": server.accepted.load(Ordering::Relaxed)}))
}

async fn forget(Shared(server): Shared<Arc<Server>>) -> StatusCode {
    server.log.clear();
    StatusCode::NO_CONTENT
}
