//! A forge of each kind, as its vendor's OpenAPI (GitLab: its documentation) says that it answers, in memory: pull requests,
//! comments, reactions, members, tokens. It refuses what they refuse, and can lose the answer to what it has done. What it was
//! asked and has answered is held against what the vendors publish by `trackers::passed`.

mod app;
mod github_like;
mod gitlab;
mod objects;
mod pages;

pub(crate) use app::App;

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{Html, IntoResponse, Response},
};
use journeyman::trackers::forge::ForgeKind;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};
use tokio::net::TcpListener;

pub(crate) const TOKEN: &str = "a-token-of-the-forge";

#[derive(Clone)]
pub(crate) struct ForgeServer {
    pub(crate) url: String,
    kind: ForgeKind,
    state: Arc<Mutex<Held>>,
}

/// Somebody whom the repository knows.
#[derive(Clone)]
pub(crate) struct Member {
    pub(crate) id: u64,
    pub(crate) login: String,
    /// `write` or `read`.
    pub(crate) permission: &'static str,
}

/// What is at a host beside its API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Beside {
    #[default]
    Nothing,
    /// A page that asks people to sign in, wherever one looks.
    Pages,
    /// The API is where nothing else is: it has no prefix.
    TheApi,
}

/// A request below the API's address and its answer.
#[derive(Clone, Debug)]
pub(crate) struct Passed {
    pub(crate) method: Method,
    /// Decoded, part by part.
    pub(crate) path: Vec<String>,
    /// Null where it has none.
    pub(crate) request: Value,
    pub(crate) status: u16,
    pub(crate) answer: Value,
}

/// Somebody's review at Gitea: when, and what it says of lines.
#[derive(Clone)]
pub(crate) struct Review {
    pub(crate) login: String,
    pub(crate) at: String,
    pub(crate) lines: Vec<(String, u64, String)>,
}

#[derive(Default)]
struct Held {
    reviews: Vec<Review>,
    /// As they are answered.
    pulls: Vec<Value>,
    /// Each with the number of what it stands under.
    comments: Vec<(String, Value)>,
    /// Comments that there ever were.
    made: u64,
    /// What was reacted to, by its path.
    reactions: Vec<String>,
    /// What was asked, `METHOD path`.
    asked: Vec<String>,
    passed: Vec<Passed>,
    members: Vec<Member>,
    /// That the repository has; Gitea alone asks.
    labels: Vec<String>,
    /// Whom tokens are given.
    app: Option<App>,
    /// For what tokens were given.
    given: Vec<Value>,
    /// So many answers to what makes something are lost.
    lose: u32,
    /// So many requests find it away, and so many to its GraphQL.
    away: u32,
    graphql_away: u32,
    /// All that it answers.
    only: Option<u16>,
    beside: Beside,
}

impl ForgeServer {
    pub(crate) async fn start(kind: ForgeKind) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = Self { url, kind, state: Arc::default() };
        let router = Router::new().fallback(answer).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        server
    }

    pub(crate) fn pulls(&self) -> Vec<Value> {
        self.state.lock().unwrap().pulls.clone()
    }

    /// Somebody changes a pull request.
    pub(crate) fn change(&self, number: usize, change: impl FnOnce(&mut Value)) {
        change(&mut self.state.lock().unwrap().pulls[number - 1]);
    }

    pub(crate) fn comments(&self) -> Vec<Value> {
        self.state.lock().unwrap().comments.iter().map(|(_, comment)| comment.clone()).collect()
    }

    /// Those that stand under an issue or a pull request.
    pub(crate) fn comments_of(&self, number: &str) -> Vec<Value> {
        let held = self.state.lock().unwrap();
        held.comments.iter().filter(|(under, _)| under == number).map(|(_, comment)| comment.clone()).collect()
    }

    pub(crate) fn reactions(&self) -> Vec<String> {
        self.state.lock().unwrap().reactions.clone()
    }

    /// Somebody deletes a comment.
    pub(crate) fn delete(&self, comment: &str) {
        let id: u64 = comment.parse().unwrap();
        self.state.lock().unwrap().comments.retain(|(_, other)| other["id"] != id);
    }

    /// Gives tokens to this App; to nobody else.
    pub(crate) fn knows(&self, app: App) {
        self.state.lock().unwrap().app = Some(app);
    }

    /// What tokens were asked for.
    pub(crate) fn given(&self) -> Vec<Value> {
        self.state.lock().unwrap().given.clone()
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.state.lock().unwrap().asked.clone()
    }

    /// Everything is answered by this status, and by nothing else.
    pub(crate) fn answers_only(&self, status: Option<u16>) {
        self.state.lock().unwrap().only = status;
    }

    pub(crate) fn has_beside(&self, beside: Beside) {
        self.state.lock().unwrap().beside = beside;
    }

    /// All that was asked with a token that is known, with its answers.
    pub(crate) fn passed(&self) -> Vec<Passed> {
        self.state.lock().unwrap().passed.clone()
    }

    /// Somebody is let in.
    pub(crate) fn has_member(&self, member: Member) {
        self.state.lock().unwrap().members.push(member);
    }

    pub(crate) fn has_review(&self, review: Review) {
        self.state.lock().unwrap().reviews.push(review);
    }

    pub(crate) fn has_label(&self, name: &str) {
        self.state.lock().unwrap().labels.push(name.to_owned());
    }

    /// The next answers to what makes something do not come.
    pub(crate) fn lose(&self, answers: u32) {
        self.state.lock().unwrap().lose = answers;
    }

    pub(crate) fn graphql_is_away_for(&self, requests: u32) {
        self.state.lock().unwrap().graphql_away = requests;
    }

    /// The next requests are answered 503.
    pub(crate) fn is_away_for(&self, requests: u32) {
        self.state.lock().unwrap().away = requests;
    }
}

async fn answer(
    State(server): State<ForgeServer>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut held = server.state.lock().unwrap();
    held.asked.push(format!("{method} {}", uri.path()));
    if held.away > 0 {
        held.away -= 1;
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    if let Some(status) = held.only {
        return StatusCode::from_u16(status).unwrap().into_response();
    }
    let (name, value, prefix) = match server.kind {
        ForgeKind::Github => ("authorization", format!("Bearer {TOKEN}"), "/api/v3/"),
        ForgeKind::Gitlab => ("private-token", TOKEN.to_owned(), "/api/v4/"),
        ForgeKind::Gitea => ("authorization", format!("token {TOKEN}"), "/api/v1/"),
    };
    if server.kind == ForgeKind::Github && uri.path() == "/api/graphql" {
        if held.graphql_away > 0 {
            held.graphql_away -= 1;
            return StatusCode::BAD_GATEWAY.into_response();
        }
        let known = headers.get(name).is_some_and(|given| given == value.as_str());
        let (status, answered) =
            if known { github_like::graphql(&mut held, &body) } else { (401, json!({ "message": "Bad credentials" })) };
        return said(status, answered);
    }
    let path = match (uri.path().strip_prefix(prefix), held.beside) {
        (None, Beside::Pages) => return Html("<!doctype html><title>Sign in</title>").into_response(),
        (None, Beside::TheApi) => uri.path().trim_start_matches('/'),
        (Some(path), Beside::Nothing | Beside::Pages) => path,
        _ => return said(404, json!({ "message": "Not Found" })),
    };
    if let Some(installation) =
        path.strip_prefix("app/installations/").and_then(|rest| rest.strip_suffix("/access_tokens"))
    {
        let (status, answered) = app::token(&mut held, &headers, installation, &body);
        let path = path.split('/').map(str::to_owned).collect();
        let request = serde_json::from_slice(&body).unwrap_or_default();
        held.passed.push(Passed { method, path, request, status, answer: answered.clone() });
        return said(status, answered);
    }
    if headers.get(name).is_none_or(|given| given != value.as_str()) {
        return said(401, json!({ "message": "Bad credentials" }));
    }
    if server.kind == ForgeKind::Github && !headers.contains_key("user-agent") {
        return said(403, json!({ "message": "Request forbidden by administrative rules." }));
    }
    let path: Vec<String> = path
        .split('/')
        .map(|part| percent_encoding::percent_decode_str(part).decode_utf8().unwrap().into_owned())
        .collect();
    let query: BTreeMap<String, String> =
        url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let parts: Vec<&str> = path.iter().map(String::as_str).collect();
    let made = method == Method::POST;
    let (status, answered) = match server.kind {
        ForgeKind::Gitlab => gitlab::answer(&mut held, (&method, &parts), &query, &body),
        kind => github_like::answer(&mut held, kind, (&method, &parts), &query, &body),
    };
    held.passed.push(Passed { method, path, request: body, status, answer: answered.clone() });
    if made && status == 201 && held.lose > 0 {
        held.lose -= 1;
        return StatusCode::BAD_GATEWAY.into_response();
    }
    said(status, answered)
}

fn said(status: u16, body: Value) -> Response {
    (StatusCode::from_u16(status).unwrap(), axum::Json(body)).into_response()
}
