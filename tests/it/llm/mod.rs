//! Tests of llm.

mod cache;
mod client;
mod conversation;
mod decode;
mod gateway;
mod limits;
mod quirks;
mod recover;
mod sse;

use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderMap, Response, Uri},
    routing::post,
};
use journeyman::{
    domain::{
        CallId, Item,
        item::{Reply, Wire},
        tool::{ToolCall, ToolSpec},
    },
    llm::{Attribution, Call, Client, ClientSettings, Completed, Conversation, Live, Model, ModelError, Retries},
};
use proptest::prelude::*;
use serde_json::Value;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};
use tokio::{net::TcpListener, task::JoinHandle};
use url::Url;

/// An answer of a provider, byte for byte.
#[derive(Clone, Debug)]
struct Canned {
    status: u16,
    headers: Vec<(&'static str, String)>,
    chunks: Vec<Bytes>,
}

impl Canned {
    /// A successful stream.
    fn stream(text: &str) -> Self {
        let headers = vec![("content-type", "text/event-stream".to_owned())];
        Self { status: 200, headers, chunks: vec![Bytes::copy_from_slice(text.as_bytes())] }
    }

    fn json(status: u16, body: &str) -> Self {
        let headers = vec![("content-type", "application/json".to_owned())];
        Self { status, headers, chunks: vec![Bytes::copy_from_slice(body.as_bytes())] }
    }

    fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// The same bytes, in chunks that end at `borders`.
    fn split(mut self, borders: &[usize]) -> Self {
        let whole = self.chunks.concat();
        let mut ends: Vec<usize> = borders.iter().map(|end| end % (whole.len() + 1)).chain([whole.len()]).collect();
        ends.sort_unstable();
        let mut from = 0;
        self.chunks = ends
            .into_iter()
            .map(|end| Bytes::copy_from_slice(&whole[std::mem::replace(&mut from, end)..end]))
            .filter(|chunk| !chunk.is_empty())
            .collect();
        self
    }
}

/// A provider that gives canned answers in order; the last for ever.
struct Provider {
    url: Url,
    seen: Arc<Mutex<Vec<(HeaderMap, Value)>>>,
    answers: Arc<Mutex<VecDeque<Canned>>>,
    server: JoinHandle<()>,
}

impl Provider {
    async fn answering(answers: impl IntoIterator<Item = Canned>) -> Self {
        let answers = Arc::new(Mutex::new(answers.into_iter().collect::<VecDeque<_>>()));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (queue, log) = (answers.clone(), seen.clone());
        let answer = async move |uri: Uri, mut headers: HeaderMap, body: Bytes| {
            let query = uri.query().unwrap_or_default().parse().expect("a header's value");
            headers.insert("seen-query", query);
            log.lock().expect("no panic").push((headers, serde_json::from_slice(&body).expect("a JSON body")));
            let mut queue = queue.lock().expect("no panic");
            let canned = if queue.len() > 1 { queue.pop_front() } else { queue.front().cloned() };
            let Canned { status, headers, chunks } = canned.expect("an answer");
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(name, value);
            }
            let chunks = chunks.into_iter().map(Ok::<_, std::io::Error>);
            response.body(Body::from_stream(futures::stream::iter(chunks))).expect("a sound answer")
        };
        let router = Router::new().route("/v1/{*any}", post(answer));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/v1", listener.local_addr().expect("an address")).parse().expect("a URL");
        let server = tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Self { url, seen, answers, server }
    }

    fn then(&self, answer: Canned) {
        *self.answers.lock().expect("no panic") = VecDeque::from([answer]);
    }

    fn model(&self, wire: Wire) -> Model {
        let mut model = Model::new("test", wire, self.url.clone(), None);
        model.retries = Retries { attempts: 0, ..Retries::default() };
        model
    }

    fn seen(&self) -> Vec<(HeaderMap, Value)> {
        self.seen.lock().expect("no panic").clone()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// The test's client: a test is a thread, and its connections live no longer.
fn client() -> Client {
    thread_local! {
        static CLIENT: Client = Client::new(ClientSettings::default()).expect("a client");
    }
    CLIENT.with(Client::clone)
}

fn tool(name: &str) -> ToolSpec {
    let parameters = r#"{"properties":{"command":{"type":"string"}},"required":["command"],"type":"object"}"#;
    ToolSpec { name: name.to_owned(), description: format!("Runs {name}."), parameters: parameters.to_owned() }
}

fn user(text: &str) -> Item {
    Item::User { text: text.to_owned() }
}

/// Asks as model call 3, and gives what was shown meanwhile too.
async fn ask(model: &Model, conversation: &Conversation) -> (Result<Completed, ModelError>, Vec<Live>) {
    let mut live = Vec::new();
    let by = Attribution { task: "the-task", team: "the-team", user: "" };
    let call = Call { cache_key: "task-1", share: "", by, turn: 3, max_output_tokens: 1_000, repeats_max: 9 };
    let outcome = client().call(model, conversation, call, |piece| live.push(piece)).await;
    (outcome, live)
}

/// Asks with one user item and no tools.
async fn ask_hello(model: &Model) -> Result<Completed, ModelError> {
    let mut conversation = Conversation::new(model, "Be brief.", &[]);
    conversation.push(&user("hello"));
    ask(model, &conversation).await.0
}

fn call(turn: u32, index: usize, tool: &str, arguments: &str) -> ToolCall {
    ToolCall { call: CallId::new(turn, index), tool: tool.to_owned(), arguments: arguments.to_owned() }
}

/// Any text, with what JSON and event streams find hard.
fn any_text() -> impl Strategy<Value = String> {
    proptest::collection::vec(
        prop_oneof![
            Just("\"".to_owned()),
            Just("\\".to_owned()),
            Just("\r\n".to_owned()),
            Just("data: [DONE]\n\n".to_owned()),
            Just("\u{0}\u{1f}\u{2028}".to_owned()),
            Just("ü€😀".to_owned()),
            Just(",\"cache_control\":{\"type\":\"ephemeral\"}".to_owned()),
            "[ -~]{0,12}",
        ],
        0..6,
    )
    .prop_map(|parts| parts.concat())
}

fn any_wire() -> impl Strategy<Value = Wire> {
    prop_oneof![Just(Wire::Responses), Just(Wire::Chat), Just(Wire::Messages)]
}

/// A reply without raw items.
fn any_reply(turn: u32) -> impl Strategy<Value = Reply> {
    let calls = proptest::collection::vec(("[a-z_]{1,8}", any_text()), 0..3);
    (any_wire(), any_text(), calls).prop_map(move |(wire, text, calls)| Reply {
        wire,
        raw: Vec::new(),
        text,
        reasoning: "thought".to_owned(),
        calls: calls.iter().enumerate().map(|(at, (tool, arguments))| call(turn, at, tool, arguments)).collect(),
        cut: false,
        model: String::new(),
        model_id: String::new(),
    })
}
