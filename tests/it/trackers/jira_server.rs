//! A Jira, as the OpenAPI of its REST API's version 2 says that it answers: comments of issues, in memory. What it answers are
//! the objects of its payloads, whole.

use super::sent::fixture;
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use journeyman::domain::linked_account::Provider;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};
use tokio::net::TcpListener;

/// What Cloud takes: an account's address and a token of its own.
pub(super) const TOKEN: &str = "agent@example.org:a-token-of-the-cloud";
/// What Data Center takes.
pub(super) const PERSONAL: &str = "a-personal-token";
const PATH: &str = "/rest/api/2/issue/CALC-12/comment";

#[derive(Clone)]
pub(super) struct JiraServer {
    pub(super) url: String,
    state: Arc<Mutex<Held>>,
}

/// A request and its answer.
#[derive(Clone, Debug)]
pub(super) struct Passed {
    /// `GET comments`, `POST comment`, `PUT comment`, `GET issue`.
    pub(super) what: &'static str,
    /// Null where it has none.
    pub(super) request: Value,
    pub(super) status: u16,
    pub(super) answer: Value,
}

#[derive(Default)]
struct Held {
    passed: Vec<Passed>,
    comments: Vec<Value>,
    made: u64,
    lose: u32,
    away: u32,
    /// It gives no properties with a list.
    without_properties: bool,
}

impl JiraServer {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = Self { url, state: Arc::default() };
        let router = Router::new().fallback(answer).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        server
    }

    pub(super) fn comments(&self) -> Vec<Value> {
        self.state.lock().unwrap().comments.clone()
    }

    pub(super) fn passed(&self) -> Vec<Passed> {
        self.state.lock().unwrap().passed.clone()
    }

    pub(super) fn delete(&self, comment: &str) {
        self.state.lock().unwrap().comments.retain(|other| other["id"] != comment);
    }

    /// Somebody comments.
    pub(super) fn commented(&self, body: &str) {
        self.state.lock().unwrap().add(&json!({ "body": body }));
    }

    /// Somebody changes a comment's text.
    pub(super) fn rewrite(&self, comment: &str, body: &str) {
        let mut held = self.state.lock().unwrap();
        let found = held.comments.iter_mut().find(|other| other["id"] == comment).unwrap();
        found["body"] = json!(body);
    }

    pub(super) fn gives_no_properties(&self) {
        self.state.lock().unwrap().without_properties = true;
    }

    pub(super) fn lose(&self, answers: u32) {
        self.state.lock().unwrap().lose = answers;
    }

    pub(super) fn is_away_for(&self, requests: u32) {
        self.state.lock().unwrap().away = requests;
    }
}

impl Held {
    fn add(&mut self, body: &Value) -> Value {
        self.made += 1;
        let id = 10_000 + self.made;
        let mut comment = fixture(Provider::Jira, "comment_created")["comment"].clone();
        comment["self"] = json!(format!("https://acme.atlassian.net/rest/api/2/issue/10002/comment/{id}"));
        comment["id"] = json!(id.to_string());
        comment["body"] = body["body"].clone();
        comment["properties"] = body["properties"].as_array().cloned().unwrap_or_default().into();
        self.comments.push(comment.clone());
        comment
    }

    /// `GET /rest/api/2/issue/{issueIdOrKey}/comment`.
    fn page(&self, query: &BTreeMap<String, String>) -> (u16, Value) {
        let number = |name: &str, usual| query.get(name).map_or(usual, |value| value.parse::<usize>().unwrap());
        let (start, most) = (number("startAt", 0), number("maxResults", 100).min(100));
        let mut all = self.comments.clone();
        match query.get("orderBy").map(String::as_str) {
            None | Some("created" | "+created") => {}
            Some("-created") => all.reverse(),
            Some(_) => return (400, json!({ "errorMessages": ["orderBy"], "errors": {} })),
        }
        let total = all.len();
        let mut page: Vec<Value> = all.into_iter().skip(start).take(most).collect();
        if self.without_properties || query.get("expand").is_none_or(|expand| expand != "properties") {
            page.iter_mut().for_each(|comment| drop(comment.as_object_mut().unwrap().remove("properties")));
        }
        (200, json!({ "startAt": start, "maxResults": most, "total": total, "comments": page }))
    }
}

async fn answer(
    State(server): State<JiraServer>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut held = server.state.lock().unwrap();
    if held.away > 0 {
        held.away -= 1;
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let given = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let known = [format!("Basic {}", STANDARD.encode(TOKEN)), format!("Bearer {PERSONAL}")];
    if !known.iter().any(|known| known == given) {
        let message = "Client must be authenticated to access this resource.";
        return said(401, json!({ "message": message, "status-code": 401 }));
    }
    let query: BTreeMap<String, String> =
        url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    if method == Method::GET && Some(uri.path()) == PATH.strip_suffix("/comment") {
        let answer = issue(&query);
        held.passed.push(Passed { what: "GET issue", request: Value::Null, status: 200, answer: answer.clone() });
        return said(200, answer);
    }
    let (status, answered) = match (method.as_str(), uri.path().strip_prefix(PATH)) {
        ("GET", Some("")) => held.page(&query),
        ("POST", Some("")) => match fault(&body) {
            Some(fault) => fault,
            None => (201, held.add(&body)),
        },
        ("PUT", Some(id)) => {
            let found = held.comments.iter_mut().find(|comment| id.strip_prefix('/') == comment["id"].as_str());
            match (fault(&body), found) {
                (Some(fault), _) => fault,
                (None, Some(comment)) => {
                    comment["body"] = body["body"].clone();
                    (200, comment.clone())
                }
                (None, None) => {
                    let message = format!("Can not find a comment for the id: {id}.");
                    (404, json!({ "errorMessages": [message], "errors": {} }))
                }
            }
        }
        _ => (404, json!({ "errorMessages": ["Issue does not exist or you do not have permission to see it."] })),
    };
    let what = match method {
        Method::GET => "GET comments",
        Method::POST => "POST comment",
        _ => "PUT comment",
    };
    held.passed.push(Passed { what, request: body, status, answer: answered.clone() });
    if method == Method::POST && status == 201 && held.lose > 0 {
        held.lose -= 1;
        return StatusCode::BAD_GATEWAY.into_response();
    }
    said(status, answered)
}

/// The issue with the fields that are asked for.
fn issue(query: &BTreeMap<String, String>) -> Value {
    let mut issue = fixture(Provider::Jira, "issue_created")["issue"].clone();
    issue["fields"]["description"] = json!("It should add.");
    let asked: Vec<&str> = query.get("fields").map_or(Vec::new(), |fields| fields.split(',').collect());
    issue["fields"].as_object_mut().unwrap().retain(|name, _| asked.contains(&name.as_str()));
    issue
}

/// What of a comment the schema does not have.
fn fault(body: &Value) -> Option<(u16, Value)> {
    let fields = body.as_object().unwrap();
    let unknown = fields.keys().find(|name| !["body", "properties", "visibility"].contains(&name.as_str()));
    let properties = body["properties"].as_array().cloned().unwrap_or_default();
    let is_property = |property: &Value| {
        property
            .as_object()
            .is_some_and(|fields| fields.len() == 2 && fields["key"].is_string() && fields["value"].is_object())
    };
    let text = body["body"].as_str().unwrap_or_default();
    let reason = if let Some(name) = unknown {
        format!("Unrecognized field \"{name}\"")
    } else if !properties.iter().all(is_property) {
        "properties".to_owned()
    } else if text.is_empty() || text.chars().count() > 32_767 {
        "The entered text is too long. It exceeds the allowed limit of 32,767 characters.".to_owned()
    } else {
        return None;
    };
    Some((400, json!({ "errorMessages": [], "errors": { "comment": reason } })))
}

fn said(status: u16, body: Value) -> Response {
    (StatusCode::from_u16(status).unwrap(), axum::Json(body)).into_response()
}
