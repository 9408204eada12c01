//! What passes between the service and trackers' APIs, held against what their vendors publish of them as packages of Node.js:
//! GitHub's OpenAPI, types of the others (`shapes.ts`). So requests are what the APIs take, and the played servers answer what
//! the APIs answer. An answer without something that is read holds no longer.

use super::{
    client,
    jira_server::{self, JiraServer},
    linear_server::{self, INPUTS, LinearServer, TYPES},
    shapes::{Line, assert_hold},
};
use crate::{
    publishing::forge_server::{App, ForgeServer, Member, Passed, Review, TOKEN},
    support::fetched::fetched,
};
use journeyman::{
    clock,
    domain::{integration::GithubApp, linked_account::Provider},
    secrets::Secret,
    trackers::{
        forge::{Forge, ForgeAccess, ForgeKind, NewPullRequest, PullRequestEdit, Standing, Target, Thread},
        tokens::{Purpose, TokenOf, Tokens},
        voice::{Place, SessionEnd, Spot, Voice},
    },
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

/// All that is ever asked of a forge, and all of it well answered.
async fn passed(kind: ForgeKind) -> Vec<Passed> {
    let server = ForgeServer::start(kind).await;
    server.has_member(Member { id: 21, login: "ada".to_owned(), permission: "write" });
    server.has_member(Member { id: 22, login: "bob".to_owned(), permission: "read" });
    server.has_label("bug");
    server.has_label("agent");
    let access = ForgeAccess::new(kind, Some(&server.url), Secret::new(TOKEN)).unwrap();
    let forge = Forge::new(access, client(&["127.0.0.1"]));
    let (calc, ada, bob) = match kind {
        ForgeKind::Gitlab => ("tools/team/calc", "21", "22"),
        _ => ("team/calc", "ada", "bob"),
    };
    assert_eq!(forge.standing_of(calc, ada).await.unwrap(), Standing::MayWrite, "{kind:?}");
    assert!(matches!(forge.standing_of(calc, bob).await.unwrap(), Standing::MayNot(_)), "{kind:?}");
    assert_eq!(forge.pull_request_of(calc, "journeyman/x").await.unwrap(), None);
    let text = |text: &str| text.to_owned();
    let new = NewPullRequest {
        head: text("journeyman/x"),
        base: text("main"),
        title: text("Mend it"),
        body: text("Because."),
        draft: true,
        labels: vec![text("agent")],
        reviewers: vec![text("ada")],
    };
    let made = forge.make_pull_request(calc, &new).await.unwrap();
    assert_eq!(forge.pull_request_of(calc, "journeyman/x").await.unwrap().as_ref(), Some(&made));
    forge.dress(calc, made.number, &new).await.unwrap();
    for draft in [Some(false), Some(true), None] {
        let edit = PullRequestEdit { body: format!("Because, {draft:?}."), draft };
        let there = forge.pull_request_of(calc, "journeyman/x").await.unwrap().unwrap();
        forge.edit_pull_request(calc, &there, &edit).await.unwrap();
        let pull = &server.pulls()[0];
        assert_eq!(pull["draft"], draft.unwrap_or(true), "{kind:?}: {pull:#}");
        assert!([&pull["body"], &pull["description"]].contains(&&json!(edit.body)), "{kind:?}: {pull:#}");
    }
    let pull = &server.pulls()[0];
    let name = |label: &Value| label.as_str().or(label["name"].as_str()).map(str::to_owned);
    let reviewer = |person: &Value| person["login"].as_str().or(person["username"].as_str()).map(str::to_owned);
    assert_eq!(name(&pull["labels"][0]).as_deref(), Some("agent"), "{kind:?}: {pull:#}");
    if kind != ForgeKind::Gitea {
        let asked = [&pull["requested_reviewers"][0], &pull["reviewers"][0]].into_iter().find_map(reviewer);
        assert_eq!(asked.as_deref(), Some("ada"), "{kind:?}: {pull:#}");
    }
    let (login, at, lines) = (text("ada"), text("2026-11-01T12:00:00Z"), vec![(text("calc.py"), 2, text("Name it."))]);
    server.has_review(Review { login: login.clone(), at: at.clone(), lines });
    let found = forge.review_comments(calc, 1, &login, &at).await.unwrap();
    assert_eq!(found.len(), usize::from(kind == ForgeKind::Gitea), "{kind:?}");
    for thread in [Thread::Issue(12), Thread::PullRequest(1)] {
        let comment = forge.make_comment(calc, thread, "queued <!-- mark -->").await.unwrap();
        assert_eq!(forge.comment_with(calc, thread, "<!-- mark -->").await.unwrap(), Some(comment.clone()));
        forge.edit_comment(calc, thread, comment.id, "done <!-- mark -->").await.unwrap();
        for target in [Target::Opening, Target::Comment(900), Target::ReviewComment(901)] {
            forge.react(calc, thread, target).await.unwrap();
        }
    }
    if kind == ForgeKind::Github {
        let (app, private) = App::new("4711", "815");
        server.knows(app);
        let app = GithubApp { app_id: text("4711"), installation_id: text("815") };
        let secret = Secret::new(private);
        let of =
            TokenOf { integration: clock::new_id(), base_url: Some(&server.url), app: Some(&app), secret: &secret };
        let tokens = Tokens::new(client(&["127.0.0.1"]));
        for purpose in [Purpose::Git, Purpose::PullRequests, Purpose::Comments, Purpose::Permissions] {
            assert_eq!(tokens.of(of, purpose, Some(calc)).await.unwrap().expose(), TOKEN);
        }
    }
    let mut passed = server.passed();
    // The App may push no workflow files.
    let refused = passed.extract_if(.., |one| one.status == 422 && one.path.ends_with(&[text("access_tokens")]));
    assert_eq!(refused.count(), usize::from(kind == ForgeKind::Github));
    assert!(passed.iter().all(|one| one.status < 300), "{kind:?}: {passed:#?}");
    passed
}

/// The answer without one thing at a time that is read.
fn maimed(answer: &Value, read: &[&'static str]) -> Vec<(&'static str, Value)> {
    let without = |pointer: &'static str| {
        let mut answer = answer.clone();
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        answer.pointer_mut(parent)?.as_object_mut()?.remove(field).map(|_| (pointer, answer))
    };
    read.iter().filter_map(|pointer| without(pointer)).collect()
}

const READ: &[&str] = &[
    "/id",
    "/number",
    "/iid",
    "/html_url",
    "/web_url",
    "/permission",
    "/access_level",
    "/expires_at",
    "/token",
    "/head/ref",
    "/source_project_id",
    "/0/number",
    "/0/id",
    "/0/name",
    "/0/iid",
];

/// GitHub's OpenAPI.
struct OpenApi(Value);

impl OpenApi {
    fn load() -> Self {
        let path = fetched("trackers/node_modules/@octokit/openapi/generated/api.github.com.json");
        Self(serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap())
    }

    /// The operation of a request: of those whose path is like it the one with the fewest parameters.
    fn operation(&self, one: &Passed) -> &Value {
        let is_like = |path: &str| {
            let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
            let same = parts.len() == one.path.len()
                && parts.iter().zip(&one.path).all(|(part, own)| part.starts_with('{') || part == own);
            same.then(|| parts.iter().filter(|part| part.starts_with('{')).count())
        };
        let method = one.method.as_str().to_lowercase();
        let paths = self.0["paths"].as_object().unwrap().iter();
        let like =
            paths.filter(|(_, item)| item[&method].is_object()).filter_map(|(path, item)| Some((is_like(path)?, item)));
        let found = like.min_by_key(|(parameters, _)| *parameters).map(|(_, item)| &item[&method]);
        found.unwrap_or_else(|| panic!("GitHub has no {} /{}", one.method, one.path.join("/")))
    }

    fn resolved<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str() {
            Some(to) => self.resolved(self.0.pointer(to.trim_start_matches('#')).unwrap()),
            None => value,
        }
    }

    fn answer(&self, one: &Passed) -> jsonschema::Validator {
        let answers = &self.operation(one)["responses"][one.status.to_string()];
        let schema = &self.resolved(answers)["content"]["application/json"]["schema"];
        assert!(schema.is_object(), "{} /{} is never answered {}", one.method, one.path.join("/"), one.status);
        self.validator(schema)
    }

    /// The schema of what is sent, where something is.
    fn request(&self, one: &Passed) -> &Value {
        let schema = &self.resolved(&self.operation(one)["requestBody"])["content"]["application/json"]["schema"];
        assert!(schema.is_object(), "{} /{} takes no body", one.method, one.path.join("/"));
        self.resolved(schema)
    }

    /// What a schema has fields for, in any of its forms.
    fn fields(&self, schema: &Value) -> BTreeSet<String> {
        let schema = self.resolved(schema);
        let own = schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.clone());
        let forms = ["oneOf", "anyOf", "allOf"].into_iter().filter_map(|form| schema[form].as_array()).flatten();
        own.chain(forms.flat_map(|form| self.fields(form))).collect()
    }

    /// A schema with those that it refers to alone: there are thousands.
    fn validator(&self, schema: &Value) -> jsonschema::Validator {
        let mut named = BTreeMap::new();
        let mut open = vec![schema.clone()];
        while let Some(one) = open.pop() {
            let mut names = Vec::new();
            referred(&one, &mut names);
            for name in names {
                if let Entry::Vacant(place) = named.entry(name) {
                    let found = self.0["components"]["schemas"][place.key()].clone();
                    open.push(found.clone());
                    place.insert(with_null(found));
                }
            }
        }
        let whole = json!({ "allOf": [with_null(schema.clone())], "components": { "schemas": named } });
        let options = jsonschema::options().with_draft(jsonschema::Draft::Draft4).should_validate_formats(true);
        options.build(&whole).unwrap()
    }
}

/// The names of schemas that this one refers to.
fn referred(schema: &Value, names: &mut Vec<String>) {
    match schema {
        Value::Object(fields) => {
            let name = fields.get("$ref").and_then(|to| to.as_str()?.strip_prefix("#/components/schemas/"));
            names.extend(name.map(str::to_owned));
            fields.values().for_each(|value| referred(value, names));
        }
        Value::Array(values) => values.iter().for_each(|value| referred(value, names)),
        _ => {}
    }
}

/// What OpenAPI 3.0 calls `nullable` is another type to JSON Schema.
fn with_null(schema: Value) -> Value {
    match schema {
        Value::Object(fields) => {
            let mut fields: serde_json::Map<String, Value> =
                fields.into_iter().map(|(name, value)| (name, with_null(value))).collect();
            match fields.remove("nullable") {
                Some(Value::Bool(true)) => json!({ "anyOf": [{ "type": "null" }, fields] }),
                // A property of that name.
                Some(other) if other.is_object() => {
                    fields.insert("nullable".to_owned(), other);
                    Value::Object(fields)
                }
                _ => Value::Object(fields),
            }
        }
        Value::Array(values) => values.into_iter().map(with_null).collect(),
        other => other,
    }
}

#[tokio::test]
async fn what_passes_at_github_holds_by_the_openapi_that_it_publishes() {
    let api = OpenApi::load();
    let mut refused = 0;
    for one in passed(ForgeKind::Github).await {
        let what = format!("{} /{} {}", one.method, one.path.join("/"), one.status);
        let schema = api.answer(&one);
        let faults: Vec<String> =
            schema.iter_errors(&one.answer).map(|fault| format!("{}: {fault}", fault.instance_path())).collect();
        assert_eq!(faults, Vec::<String>::new(), "{what}: {:#}", one.answer);
        for (without, answer) in maimed(&one.answer, READ) {
            // A label may have neither a name nor an id, to GitHub; they are not read.
            if what.contains("/labels") {
                continue;
            }
            assert!(!schema.is_valid(&answer), "{what} without {without}");
            refused += 1;
        }
        if !one.request.is_null() {
            let schema = api.request(&one);
            assert!(api.validator(schema).is_valid(&one.request), "{what}: {:#}", one.request);
            let known = api.fields(schema);
            let unknown = one.request.as_object().unwrap().keys().find(|name| !known.contains(*name));
            assert_eq!(unknown, None, "{what}: {known:?}");
        }
    }
    assert!(refused > 20, "{refused}");
}

/// The names in `shapes.ts` of what is sent, where something is, and of what is answered.
fn shapes(kind: ForgeKind, one: &Passed) -> (Option<&'static str>, &'static str) {
    let path: Vec<&str> = one.path.iter().map(String::as_str).collect();
    match (kind, one.method.as_str(), &path[..]) {
        (ForgeKind::Gitea, "GET", ["repos", _, _, "collaborators", ..]) => (None, "gitea_answer_permission"),
        (ForgeKind::Gitea, "GET", ["repos", _, _, "pulls"]) => (None, "gitea_answer_pulls"),
        (ForgeKind::Gitea, "GET", ["repos", _, _, "labels"] | ["orgs", _, "labels"]) => (None, "gitea_answer_labels"),
        (ForgeKind::Gitea, "GET", [.., "reviews"]) => (None, "gitea_answer_reviews"),
        (ForgeKind::Gitea, "GET", [.., "reviews", _, "comments"]) => (None, "gitea_answer_on_lines"),
        (ForgeKind::Gitea, "PATCH", ["repos", _, _, "pulls", _]) => (Some("gitea_asked_edit"), "gitea_answer_pull"),
        (ForgeKind::Gitea, "GET", [.., "comments"]) => (None, "gitea_answer_comments"),
        (ForgeKind::Gitea, "POST", ["repos", _, _, "pulls"]) => (Some("gitea_asked_pull"), "gitea_answer_pull"),
        (ForgeKind::Gitea, "POST", [.., "requested_reviewers"]) => {
            (Some("gitea_asked_reviews"), "gitea_answer_reviews")
        }
        (ForgeKind::Gitea, _, [.., "comments"] | [.., "comments", _]) => {
            (Some("gitea_asked_comment"), "gitea_answer_comment")
        }
        (ForgeKind::Gitea, "POST", [.., "reactions"]) => (Some("gitea_asked_reaction"), "gitea_answer_reaction"),
        (ForgeKind::Gitlab, "GET", ["projects", _, "members", "all", _]) => (None, "gitlab_answer_member"),
        (ForgeKind::Gitlab, "GET", ["projects", _, "merge_requests"]) => (None, "gitlab_answer_merge_requests"),
        (ForgeKind::Gitlab, "GET", ["users"]) => (None, "gitlab_answer_users"),
        (ForgeKind::Gitlab, "GET", [.., "notes"]) => (None, "gitlab_answer_notes"),
        (ForgeKind::Gitlab, "POST", [_, _, "merge_requests"]) => {
            (Some("gitlab_asked_merge_request"), "gitlab_answer_merge_request")
        }
        (ForgeKind::Gitlab, "PUT", [_, _, "merge_requests", _]) => {
            (Some("gitlab_asked_change"), "gitlab_answer_merge_request")
        }
        (ForgeKind::Gitlab, _, [.., "notes"] | [.., "notes", _]) => (Some("gitlab_asked_note"), "gitlab_answer_note"),
        (ForgeKind::Gitlab, "POST", [.., "award_emoji"]) => (Some("gitlab_asked_award"), "gitlab_answer_award"),
        _ => panic!("{kind:?}: {} /{} has no shape", one.method, one.path.join("/")),
    }
}

/// Lines of a request with its answer, and of each without something.
fn lines(
    what: &str,
    asked: Option<(&str, &Value)>,
    (shape, answer): (&str, &Value),
    read: &[&'static str],
) -> Vec<Line> {
    let line = |what: String, shape: &str, value: &Value, holds: bool| Line {
        what,
        shape: shape.to_owned(),
        value: value.clone(),
        holds,
    };
    let mut all = vec![line(format!("the answer to {what}"), shape, answer, true)];
    let maimed = maimed(answer, read);
    all.extend(maimed.iter().map(|(without, answer)| line(format!("{what} without {without}"), shape, answer, false)));
    if let Some((shape, request)) = asked {
        all.push(line(what.to_owned(), shape, request, true));
        let mut more = request.clone();
        more["of_no_api"] = json!(1);
        all.push(line(format!("{what} with what no API knows"), shape, &more, false));
    }
    all
}

#[tokio::test]
async fn what_passes_at_the_others_holds_by_types_that_are_published_of_them() {
    let mut all = Vec::new();
    for kind in [ForgeKind::Gitlab, ForgeKind::Gitea] {
        for one in passed(kind).await {
            let what = format!("{kind:?} {} /{}", one.method, one.path.join("/"));
            let (asked, answer) = shapes(kind, &one);
            assert_eq!(asked.is_none(), one.request.is_null(), "{what}");
            all.extend(lines(&what, asked.map(|shape| (shape, &one.request)), (answer, &one.answer), READ));
        }
    }
    all.extend(at_jira().await);
    all.extend(at_linear().await);
    assert_hold(&all);
}

/// All that is ever said at Jira or Linear, by what answers there.
async fn said(tracker: Provider, url: &str, token: &str, place: &Place) {
    let voice = Voice::new(tracker, Some(url), Secret::new(token), client(&["127.0.0.1"])).unwrap();
    assert!(voice.issue(place).await.unwrap().is_some());
    let mark = clock::new_id();
    assert_eq!(voice.find(place, mark).await.unwrap(), None);
    let comment = voice.say(place, mark, "queued").await.unwrap();
    assert_eq!(voice.find(place, mark).await.unwrap(), Some(comment.clone()));
    voice.edit(place, &comment, mark, "done").await.unwrap();
    voice.react(place, &Spot::Issue).await.unwrap();
    voice.react(place, &Spot::Comment(comment)).await.unwrap();
    voice.react(place, &Spot::Session { session: "as-1".to_owned(), of: "as-1".to_owned() }).await.unwrap();
    voice.conclude("as-1", "the first run", SessionEnd::Done, "Done.").await.unwrap();
}

fn calc_12() -> Place {
    Place { issue: "CALC-12".to_owned(), is_pull_request: false }
}

async fn at_jira() -> Vec<Line> {
    let server = JiraServer::start().await;
    said(Provider::Jira, &server.url, jira_server::TOKEN, &calc_12()).await;
    let mut all = Vec::new();
    for one in server.passed() {
        assert!(one.status < 300, "{one:#?}");
        let (asked, answer) = match one.what {
            "GET issue" => (None, "jira_answer_issue"),
            "GET comments" => (None, "jira_answer_comments"),
            _ => (Some("jira_asked_comment"), "jira_answer_comment"),
        };
        let read = ["/key", "/fields", "/comments", "/total", "/id", "/body"];
        let asked = asked.map(|shape| (shape, &one.request));
        all.extend(lines(&format!("Jira {}", one.what), asked, (answer, &one.answer), &read));
    }
    all
}

async fn at_linear() -> Vec<Line> {
    let server = LinearServer::start().await;
    said(Provider::Linear, &server.url, linear_server::TOKEN, &calc_12()).await;
    let mut all = Vec::new();
    let mut roots = BTreeSet::new();
    for one in server.passed() {
        let (asked, answer) = (format!("linear_asked_{}", one.root), format!("linear_answer_{}", one.root));
        all.extend(lines(&format!("Linear {}", one.root), Some((&asked, &one.variables)), (&answer, &one.answer), &[]));
        roots.insert(one.root);
    }
    assert_eq!(roots.len(), 6, "{roots:?}");
    // The played schema names what the published one does.
    let fields = TYPES.iter().flat_map(|(name, fields)| fields.iter().map(move |(field, ..)| (*name, *field)));
    let inputs =
        INPUTS.iter().flat_map(|(name, fields)| fields.iter().map(move |field| (name.trim_end_matches('!'), *field)));
    for (name, field) in fields.chain(inputs).chain([("Comment", "of_no_api")]) {
        all.push(Line {
            what: format!("{field} of Linear's {name}"),
            shape: format!("linear_fields_{name}"),
            value: json!(field),
            holds: field != "of_no_api",
        });
    }
    all
}
