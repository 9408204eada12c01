//! Linear's API, as its schema (`packages/sdk/src/schema.graphql` of github.com/linear/linear) has it: comments and reactions, in
//! memory. A query is held against the part of the schema that is here, and its input against the inputs' fields; it is answered
//! what it asks for.

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;

pub(super) const TOKEN: &str = "lin_api_a-key-of-linear";
pub(super) const OAUTH: &str = "an-oauth-token";

/// The fields of a type, each with its arguments' types and its own.
pub(super) type Fields = &'static [(&'static str, &'static [(&'static str, &'static str)], &'static str)];

pub(super) const TYPES: &[(&str, Fields)] = &[
    (
        "query",
        &[("comment", &[("id", "String"), ("hash", "String")], "Comment"), ("issue", &[("id", "String!")], "Issue")],
    ),
    (
        "Issue",
        &[
            ("identifier", &[], ""),
            ("title", &[], ""),
            ("description", &[], ""),
            ("url", &[], ""),
            ("creator", &[], "User"),
            ("team", &[], "Team"),
        ],
    ),
    ("User", &[("id", &[], ""), ("email", &[], ""), ("name", &[], ""), ("displayName", &[], "")]),
    ("Team", &[("id", &[], ""), ("key", &[], "")]),
    (
        "mutation",
        &[
            ("commentCreate", &[("input", "CommentCreateInput!")], "CommentPayload"),
            ("commentUpdate", &[("id", "String!"), ("input", "CommentUpdateInput!")], "CommentPayload"),
            ("reactionCreate", &[("input", "ReactionCreateInput!")], "ReactionPayload"),
            ("agentActivityCreate", &[("input", "AgentActivityCreateInput!")], "AgentActivityPayload"),
        ],
    ),
    ("CommentPayload", &[("comment", &[], "Comment"), ("lastSyncId", &[], ""), ("success", &[], "")]),
    ("AgentActivityPayload", &[("lastSyncId", &[], ""), ("success", &[], "")]),
    ("ReactionPayload", &[("reaction", &[], "Reaction"), ("lastSyncId", &[], ""), ("success", &[], "")]),
    ("Comment", &[("id", &[], ""), ("body", &[], ""), ("issueId", &[], ""), ("url", &[], "")]),
    ("Reaction", &[("id", &[], ""), ("emoji", &[], "")]),
];

pub(super) const INPUTS: &[(&str, &[&str])] = &[
    (
        "CommentCreateInput!",
        &["body", "createAsUser", "createdAt", "doNotSubscribeToIssue", "id", "issueId", "parentId"],
    ),
    ("CommentUpdateInput!", &["body", "quotedText"]),
    ("AgentActivityCreateInput!", &["agentSessionId", "content", "ephemeral", "id", "signal", "signalMetadata"]),
    ("ReactionCreateInput!", &["commentId", "emoji", "id", "issueId", "projectUpdateId"]),
];

#[derive(Clone)]
pub(super) struct LinearServer {
    pub(super) url: String,
    state: Arc<Mutex<Held>>,
}

/// A request and its answer.
#[derive(Clone, Debug)]
pub(super) struct Passed {
    /// The field of the query or mutation.
    pub(super) root: String,
    pub(super) variables: Value,
    pub(super) answer: Value,
}

#[derive(Default)]
struct Held {
    passed: Vec<Passed>,
    comments: Vec<Value>,
    reactions: Vec<Value>,
    /// Of agent sessions.
    activities: Vec<Value>,
    /// Of all that there ever was.
    ids: Vec<String>,
    lose: u32,
    away: u32,
    busy: u32,
}

impl LinearServer {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = Self { url, state: Arc::default() };
        let router = Router::new().route("/graphql", post(answer)).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        server
    }

    pub(super) fn comments(&self) -> Vec<Value> {
        self.state.lock().unwrap().comments.clone()
    }

    pub(super) fn reactions(&self) -> Vec<Value> {
        self.state.lock().unwrap().reactions.clone()
    }

    pub(super) fn activities(&self) -> Vec<Value> {
        self.state.lock().unwrap().activities.clone()
    }

    pub(super) fn passed(&self) -> Vec<Passed> {
        self.state.lock().unwrap().passed.clone()
    }

    pub(super) fn delete(&self, comment: &str) {
        self.state.lock().unwrap().comments.retain(|other| other["id"] != comment);
    }

    pub(super) fn lose(&self, answers: u32) {
        self.state.lock().unwrap().lose = answers;
    }

    pub(super) fn is_away_for(&self, requests: u32) {
        self.state.lock().unwrap().away = requests;
    }

    /// The next requests are too many.
    pub(super) fn is_busy_for(&self, requests: u32) {
        self.state.lock().unwrap().busy = requests;
    }
}

async fn answer(State(server): State<LinearServer>, headers: HeaderMap, Json(request): Json<Value>) -> Response {
    let mut held = server.state.lock().unwrap();
    if held.away > 0 {
        held.away -= 1;
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    if held.busy > 0 {
        held.busy -= 1;
        return refused(400, "Rate limit exceeded", "ratelimited", "RATELIMITED", 400);
    }
    let given = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    if given != TOKEN && given != format!("Bearer {OAUTH}") {
        let said = "Authentication required, not authenticated";
        return refused(401, said, "authentication error", "AUTHENTICATION_ERROR", 401);
    }
    let query = request["query"].as_str().unwrap();
    let (root, variables) = match checked(query, &request["variables"]) {
        Ok(root) => (root, &request["variables"]),
        Err(fault) => return refused(400, &fault, "graphql error", "GRAPHQL_VALIDATION_FAILED", 400),
    };
    let done = held.done(&root, variables);
    if root != "comment" && done.is_ok() && held.lose > 0 {
        held.lose -= 1;
        return StatusCode::BAD_GATEWAY.into_response();
    }
    match done {
        Ok(found) => {
            let found = picked(query, &root, &found);
            held.passed.push(Passed { root: root.clone(), variables: variables.clone(), answer: found.clone() });
            (StatusCode::OK, Json(json!({ "data": { (root): found } }))).into_response()
        }
        Err(fault) => refused(200, &fault, "invalid input", "INPUT_ERROR", 400),
    }
}

impl Held {
    fn done(&mut self, root: &str, variables: &Value) -> Result<Value, String> {
        let input = &variables["input"];
        match root {
            "issue" if variables["id"] == "CALC-12" => Ok(json!({
                "identifier": "CALC-12", "title": "add subtracts", "description": "It should add.",
                "url": "https://linear.app/acme/issue/CALC-12/add-subtracts", "team": { "key": "CALC" },
                "creator": { "id": "u-ada", "email": "ada@example.org", "name": "Ada", "displayName": "ada" },
            })),
            "issue" => Err("Entity not found: Issue".to_owned()),
            "comment" => self.comment(&variables["id"]).map(|comment| comment.clone()),
            "commentCreate" => {
                let id = self.new_id(&input["id"], "Comment")?;
                if input["issueId"] != "CALC-12" {
                    return Err("Entity not found: Issue".to_owned());
                }
                let comment = json!({ "id": id, "body": input["body"].as_str().ok_or("body")? });
                self.comments.push(comment.clone());
                Ok(json!({ "success": true, "lastSyncId": 1, "comment": comment }))
            }
            "commentUpdate" => {
                let comment = self.comment(&variables["id"])?;
                comment["body"] = input["body"].clone();
                Ok(json!({ "success": true, "lastSyncId": 1, "comment": comment }))
            }
            "agentActivityCreate" => {
                self.new_id(&input["id"], "AgentActivity")?;
                let kinds = ["thought", "elicitation", "action", "response", "error"];
                if !kinds.iter().any(|kind| input["content"]["type"] == *kind) || !input["content"]["body"].is_string()
                {
                    return Err("Argument Validation Error: content".to_owned());
                }
                self.activities.push(input.clone());
                Ok(json!({ "success": true, "lastSyncId": 1 }))
            }
            _ => {
                let of = |reaction: &Value| {
                    [&reaction["issueId"], &reaction["commentId"], &reaction["emoji"]].map(Value::clone)
                };
                if self.reactions.iter().any(|other| of(other) == of(input)) {
                    return Err("conflict on insert of Reaction".to_owned());
                }
                self.new_id(&input["id"], "Reaction")?;
                if input["commentId"].is_string() {
                    self.comment(&input["commentId"])?;
                }
                self.reactions.push(input.clone());
                Ok(json!({ "success": true, "lastSyncId": 1 }))
            }
        }
    }

    fn comment(&mut self, id: &Value) -> Result<&mut Value, String> {
        let found = self.comments.iter_mut().find(|comment| comment["id"] == *id);
        found.ok_or("Entity not found: Comment".to_owned())
    }

    /// `The identifier in UUID v4 format`.
    fn new_id(&mut self, id: &Value, entity: &str) -> Result<String, String> {
        let id = id.as_str().ok_or("id")?.to_owned();
        let is_random = uuid::Uuid::parse_str(&id).is_ok_and(|id| id.get_version_num() == 4);
        if !is_random || id != id.to_lowercase() {
            return Err("Argument Validation Error: id must be a UUID".to_owned());
        }
        if self.ids.contains(&id) {
            return Err(format!("conflict on insert of {entity}"));
        }
        self.ids.push(id.clone());
        Ok(id)
    }
}

fn refused(status: u16, message: &str, kind: &str, code: &str, inner: u16) -> Response {
    let extensions = json!({ "type": kind, "code": code, "statusCode": inner, "userError": true,
        "userPresentableMessage": "Could not be done." });
    let body = json!({ "errors": [{ "message": message, "extensions": extensions }], "data": null });
    (StatusCode::from_u16(status).unwrap(), Json(body)).into_response()
}

fn words(query: &str) -> Vec<&str> {
    let words = regex::Regex::new(r"[A-Za-z]+!?|[{}():$,]").unwrap();
    words.find_iter(query).map(|word| word.as_str()).filter(|word| *word != ",").collect()
}

/// Of what was found what a query selects.
fn picked(query: &str, root: &str, found: &Value) -> Value {
    let words = words(query);
    let at = words.iter().position(|word| *word == root).unwrap();
    let open = at + words[at..].iter().position(|word| *word == "{").unwrap();
    selected(&mut &words[open..], found)
}

fn selected(rest: &mut &[&str], of: &Value) -> Value {
    let mut all = serde_json::Map::new();
    *rest = &rest[1..];
    while rest[0] != "}" {
        let name = rest[0];
        *rest = &rest[1..];
        let value = if rest[0] == "{" { selected(rest, &of[name]) } else { of[name].clone() };
        all.insert(name.to_owned(), value);
    }
    *rest = &rest[1..];
    Value::Object(all)
}

/// The field that a query asks for, where the schema has all that it names.
fn checked(query: &str, variables: &Value) -> Result<String, String> {
    let words = words(query);
    let mut rest = &words[..];
    let root = word(&mut rest)?;
    word(&mut rest)?;
    let mut types = Vec::new();
    expect(&mut rest, "(")?;
    while rest.first() != Some(&")") {
        expect(&mut rest, "$")?;
        let name = word(&mut rest)?;
        expect(&mut rest, ":")?;
        types.push((name, word(&mut rest)?));
    }
    expect(&mut rest, ")")?;
    for (name, kind) in &types {
        inputs(kind, &variables[*name])?;
    }
    let first = *rest.get(1).ok_or("nothing is asked for")?;
    selection(&mut rest, root, &types)?;
    if rest.is_empty() { Ok(first.to_owned()) } else { Err(format!("{} is too much", rest[0])) }
}

fn word<'a>(rest: &mut &[&'a str]) -> Result<&'a str, String> {
    let (first, after) = rest.split_first().ok_or("it ends too early")?;
    *rest = after;
    Ok(first)
}

fn expect(rest: &mut &[&str], wanted: &str) -> Result<(), String> {
    let found = word(rest)?;
    if found == wanted { Ok(()) } else { Err(format!("{found} in the place of {wanted}")) }
}

fn inputs(kind: &str, given: &Value) -> Result<(), String> {
    let Some((_, fields)) = INPUTS.iter().find(|(name, _)| *name == kind) else {
        return if given.is_string() { Ok(()) } else { Err(format!("a {kind} is no text")) };
    };
    let given = given.as_object().ok_or(format!("no {kind}"))?;
    let unknown = given.keys().find(|name| !fields.contains(&name.as_str()));
    unknown.map_or(Ok(()), |name| Err(format!("Field \"{name}\" is not defined by type \"{kind}\".")))
}

fn selection(rest: &mut &[&str], of: &str, variables: &[(&str, &str)]) -> Result<(), String> {
    let fields = TYPES.iter().find(|(name, _)| *name == of).ok_or(format!("{of} has no fields"))?.1;
    expect(rest, "{")?;
    while rest.first() != Some(&"}") {
        let name = word(rest)?;
        let unknown = format!("Cannot query field \"{name}\" on type \"{of}\".");
        let (_, arguments, kind) = fields.iter().find(|(field, ..)| *field == name).ok_or(unknown)?;
        if rest.first() == Some(&"(") {
            word(rest)?;
            while rest.first() != Some(&")") {
                let name = word(rest)?;
                expect(rest, ":")?;
                expect(rest, "$")?;
                let variable = word(rest)?;
                let wanted =
                    arguments.iter().find(|(argument, _)| *argument == name).ok_or(format!("no argument {name}"))?.1;
                let given = variables.iter().find(|(other, _)| *other == variable).ok_or(format!("no ${variable}"))?.1;
                // What must be there may stand where it need not.
                if given.trim_end_matches('!') != wanted.trim_end_matches('!')
                    || (wanted.ends_with('!') && given != wanted)
                {
                    return Err(format!("{given} in the place of {wanted}"));
                }
            }
            expect(rest, ")")?;
        }
        if !kind.is_empty() {
            selection(rest, kind, variables)?;
        }
    }
    expect(rest, "}")
}
