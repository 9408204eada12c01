//! A forge of each kind, as its vendor's OpenAPI (GitLab: its documentation) says that it answers, in memory: pull requests,
//! comments, reactions, tokens. It refuses what they refuse, and can lose the answer to what it has done.

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse, Response},
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

/// An App of GitHub with its one installation.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) id: String,
    pub(crate) installation: String,
    /// PEM.
    pub(crate) public_key: String,
}

#[derive(Default)]
struct Held {
    /// As they are answered.
    pulls: Vec<Value>,
    comments: Vec<Value>,
    /// Comments that there ever were.
    made: u64,
    /// What was reacted to, by its path.
    reactions: Vec<String>,
    /// What was asked, `METHOD path`.
    asked: Vec<String>,
    /// Whom tokens are given.
    app: Option<App>,
    /// For what tokens were given.
    given: Vec<Value>,
    /// So many answers to what makes something are lost.
    lose: u32,
    /// So many requests find it away.
    away: u32,
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

    pub(crate) fn comments(&self) -> Vec<Value> {
        self.state.lock().unwrap().comments.clone()
    }

    pub(crate) fn reactions(&self) -> Vec<String> {
        self.state.lock().unwrap().reactions.clone()
    }

    /// Somebody deletes a comment.
    pub(crate) fn delete(&self, comment: &str) {
        let id: u64 = comment.parse().unwrap();
        self.state.lock().unwrap().comments.retain(|other| other["id"] != id);
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

    /// The next answers to what makes something do not come.
    pub(crate) fn lose(&self, answers: u32) {
        self.state.lock().unwrap().lose = answers;
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
    let (name, value, prefix) = match server.kind {
        ForgeKind::Github => ("authorization", format!("Bearer {TOKEN}"), "/api/v3/"),
        ForgeKind::Gitlab => ("private-token", TOKEN.to_owned(), "/api/v4/"),
        ForgeKind::Gitea => ("authorization", format!("token {TOKEN}"), "/api/v1/"),
    };
    let Some(path) = uri.path().strip_prefix(prefix) else { return said(404, json!({ "message": "Not Found" })) };
    if let Some(installation) =
        path.strip_prefix("app/installations/").and_then(|rest| rest.strip_suffix("/access_tokens"))
    {
        let (status, answered) = app_token(&mut held, &headers, installation, &body);
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
        ForgeKind::Gitlab => gitlab(&mut held, &method, &parts, &query, &body),
        kind => github_like(&mut held, kind, (&method, &parts), &query, &body),
    };
    if made && status == 201 && held.lose > 0 {
        held.lose -= 1;
        return StatusCode::BAD_GATEWAY.into_response();
    }
    said(status, answered)
}

/// `POST /app/installations/{installation_id}/access_tokens`: to whom signs as the App with its private key.
fn app_token(held: &mut Held, headers: &HeaderMap, installation: &str, body: &[u8]) -> (u16, Value) {
    let bearer = headers.get("authorization").and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let (Some(app), Some(bearer)) = (&held.app, bearer) else { return (401, json!({ "message": "Bad credentials" })) };
    let mut rules = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::RS256);
    rules.set_issuer(&[&app.id]);
    rules.set_required_spec_claims(&["exp", "iss"]);
    let key = jsonwebtoken::DecodingKey::from_rsa_pem(app.public_key.as_bytes()).unwrap();
    let Ok(claims) = jsonwebtoken::decode::<Value>(bearer, &key, &rules) else {
        return (401, json!({ "message": "A JSON web token could not be decoded" }));
    };
    let (begins, ends) = (claims.claims["iat"].as_i64().unwrap(), claims.claims["exp"].as_i64().unwrap());
    if ends - begins > 660 || installation != app.installation {
        return (404, json!({ "message": "Not Found" }));
    }
    held.given.push(serde_json::from_slice(body).unwrap_or_default());
    let until = (time::OffsetDateTime::now_utc() + std::time::Duration::from_secs(3_600))
        .replace_nanosecond(0)
        .unwrap()
        .format(&time::format_description::well_known::Rfc3339)
        .unwrap();
    (201, json!({ "token": TOKEN, "expires_at": until, "repository_selection": "selected" }))
}

fn said(status: u16, body: Value) -> Response {
    (StatusCode::from_u16(status).unwrap(), axum::Json(body)).into_response()
}

/// `POST /repos/{owner}/{repo}/pulls` and its like, of GitHub's `api.github.com.json` and Gitea's `swagger.v1.json`.
fn github_like(
    held: &mut Held,
    kind: ForgeKind,
    (method, path): (&Method, &[&str]),
    query: &BTreeMap<String, String>,
    body: &Value,
) -> (u16, Value) {
    let github = kind == ForgeKind::Github;
    match (method.as_str(), path) {
        ("GET", ["repos", owner, _, "pulls"]) => {
            let head = query.get("head").map(String::as_str);
            let open = held.pulls.iter().filter(|pull| pull["state"] == "open");
            // Gitea does not know the parameter, and gives all.
            let found = open.filter(|pull| {
                !github || head.is_none_or(|head| head == format!("{owner}:{}", pull["head"]["ref"].as_str().unwrap()))
            });
            let page: usize = query.get("page").map_or(1, |page| page.parse().unwrap());
            (200, Value::Array(found.skip((page - 1) * 50).take(50).cloned().collect()))
        }
        ("POST", ["repos", owner, name, "pulls"]) => {
            let known: &[&str] = if github {
                &["title", "head", "head_repo", "base", "body", "maintainer_can_modify", "draft", "issue"]
            } else {
                &[
                    "title",
                    "head",
                    "base",
                    "body",
                    "assignee",
                    "assignees",
                    "labels",
                    "milestone",
                    "reviewers",
                    "due_date",
                ]
            };
            if let Some(fault) = faults(body, known, &["title", "head", "base"]) {
                return (422, json!({ "message": "Validation Failed", "errors": [fault] }));
            }
            let (head, base) = (body["head"].clone(), body["base"].clone());
            if held.pulls.iter().any(|pull| pull["state"] == "open" && pull["head"]["ref"] == head) {
                let message = format!("A pull request already exists for {owner}:{}.", head.as_str().unwrap());
                let status = if github { 422 } else { 409 };
                return (status, json!({ "message": "Validation Failed", "errors": [{ "message": message }] }));
            }
            let number = held.pulls.len() + 1;
            let pull = json!({
                "id": 100 + number, "number": number, "state": "open", "title": body["title"], "body": body["body"],
                "draft": body["draft"].as_bool().unwrap_or(false),
                "html_url": format!("https://forge.example/{owner}/{name}/pulls/{number}"),
                "head": { "ref": head, "repo_id": 7 }, "base": { "ref": base, "repo_id": 7 },
            });
            held.pulls.push(pull.clone());
            (201, pull)
        }
        ("GET", ["repos", _, _, "issues", number, "comments"]) => page(held, query, number),
        ("POST", ["repos", _, _, "issues", number, "comments"]) => comment(held, number, body),
        ("PATCH", ["repos", _, _, "issues", "comments", id]) => edit(held, id, body),
        ("POST", ["repos", _, _, of @ .., "reactions"]) => {
            let number = match of {
                ["issues", number] => number,
                ["issues", "comments", id] => id,
                // Gitea has no such path.
                ["pulls", "comments", id] if github => id,
                _ => return (404, json!({ "message": "Not Found" })),
            };
            if let Some(fault) = faults(body, &["content"], &["content"]) {
                return (422, json!({ "message": fault }));
            }
            if body["content"] != "eyes" || number.parse::<u64>().is_err() {
                return (422, json!({ "message": "Validation Failed" }));
            }
            let place = of.join("/");
            // Who has reacted so already is shown his reaction.
            let status = if held.reactions.contains(&place) { 200 } else { 201 };
            if status == 201 {
                held.reactions.push(place);
            }
            (status, json!({ "id": 1, "content": "eyes" }))
        }
        _ => (404, json!({ "message": "Not Found" })),
    }
}

/// docs.gitlab.com/api/merge_requests and /notes.
fn gitlab(
    held: &mut Held,
    method: &Method,
    path: &[&str],
    query: &BTreeMap<String, String>,
    body: &Value,
) -> (u16, Value) {
    match (method.as_str(), path) {
        ("GET", ["projects", _, "merge_requests"]) => {
            let branch = query.get("source_branch").map(String::as_str);
            let open = held.pulls.iter().filter(|merge| merge["state"] == "opened");
            let found = open.filter(|merge| branch.is_none_or(|branch| merge["source_branch"] == branch));
            (200, Value::Array(found.cloned().collect()))
        }
        ("POST", ["projects", project, "merge_requests"]) => {
            let known = [
                "source_branch",
                "target_branch",
                "title",
                "description",
                "labels",
                "remove_source_branch",
                "reviewer_ids",
            ];
            if let Some(fault) = faults(body, &known, &["source_branch", "target_branch", "title"]) {
                return (400, json!({ "error": fault }));
            }
            if held
                .pulls
                .iter()
                .any(|merge| merge["state"] == "opened" && merge["source_branch"] == body["source_branch"])
            {
                return (
                    409,
                    json!({ "message": ["Another open merge request already exists for this source branch"] }),
                );
            }
            let iid = held.pulls.len() + 1;
            let title = body["title"].as_str().unwrap();
            let merge = json!({
                "id": 100 + iid, "iid": iid, "state": "opened", "title": title, "description": body["description"],
                "draft": title.starts_with("Draft: "), "source_branch": body["source_branch"],
                "target_branch": body["target_branch"], "source_project_id": 7, "target_project_id": 7,
                "web_url": format!("https://forge.example/{project}/-/merge_requests/{iid}"),
            });
            held.pulls.push(merge.clone());
            (201, merge)
        }
        ("GET", ["projects", _, "issues" | "merge_requests", number, "notes"]) => page(held, query, number),
        ("POST", ["projects", _, "issues" | "merge_requests", number, "notes"]) => comment(held, number, body),
        ("PUT", ["projects", _, "issues" | "merge_requests", _, "notes", id]) => edit(held, id, body),
        (
            "POST",
            ["projects", _, "issues" | "merge_requests", _, "award_emoji"]
            | ["projects", _, "issues" | "merge_requests", _, "notes", _, "award_emoji"],
        ) => {
            if let Some(fault) = faults(body, &["name"], &["name"]) {
                return (400, json!({ "error": fault }));
            }
            let place = path[2..path.len() - 1].join("/");
            // `lib/api/award_emoji.rb`.
            if held.reactions.contains(&place) {
                return (404, json!({ "message": "404 Award Emoji Name has already been taken Not Found" }));
            }
            held.reactions.push(place);
            (201, json!({ "id": 1, "name": body["name"] }))
        }
        _ => (404, json!({ "message": "404 Project Not Found" })),
    }
}

fn page(held: &Held, query: &BTreeMap<String, String>, number: &str) -> (u16, Value) {
    let page: usize = query.get("page").map_or(1, |page| page.parse().unwrap());
    let of = held.comments.iter().filter(|comment| comment["issue"] == number);
    (200, Value::Array(of.skip((page - 1) * 100).take(100).cloned().collect()))
}

fn comment(held: &mut Held, number: &str, body: &Value) -> (u16, Value) {
    if let Some(fault) = faults(body, &["body"], &["body"]) {
        return (422, json!({ "message": fault }));
    }
    held.made += 1;
    let comment = json!({ "id": held.made, "issue": number, "body": body["body"] });
    held.comments.push(comment.clone());
    (201, comment)
}

fn edit(held: &mut Held, id: &str, body: &Value) -> (u16, Value) {
    let id: u64 = id.parse().unwrap();
    let Some(comment) = held.comments.iter_mut().find(|comment| comment["id"] == id) else {
        return (404, json!({ "message": "Not Found" }));
    };
    comment["body"] = body["body"].clone();
    (200, comment.clone())
}

/// What of a body the vendor's schema does not have, or misses.
fn faults(body: &Value, known: &[&str], required: &[&str]) -> Option<String> {
    let fields = body.as_object()?;
    let unknown = fields.keys().find(|name| !known.contains(&name.as_str()));
    let missing = required.iter().find(|name| !fields.get(**name).is_some_and(Value::is_string));
    unknown.map(|name| format!("{name} is not in the schema")).or(missing.map(|name| format!("{name} is missing")))
}
