//! `POST /repos/{owner}/{repo}/pulls` and its like, of GitHub's `api.github.com.json` and Gitea's `swagger.v1.json`.

use super::{
    Held,
    objects::{self, NewPull},
    pages::{self, faults},
};
use axum::http::Method;
use journeyman::trackers::forge::ForgeKind;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const OF_GITHUB: &[&str] = &["title", "head", "head_repo", "base", "body", "maintainer_can_modify", "draft", "issue"];
const OF_GITEA: &[&str] = &[
    "title",
    "head",
    "base",
    "body",
    "assignee",
    "assignees",
    "labels",
    "milestone",
    "reviewers",
    "team_reviewers",
    "due_date",
];

pub(super) fn answer(
    held: &mut Held,
    kind: ForgeKind,
    (method, path): (&Method, &[&str]),
    query: &BTreeMap<String, String>,
    body: &Value,
) -> (u16, Value) {
    let github = kind == ForgeKind::Github;
    match (method.as_str(), path) {
        ("GET", ["repos", _, _, "collaborators", login, "permission"]) => {
            match held.members.iter().find(|member| member.login == *login) {
                Some(member) => (200, objects::permission(kind, login, member)),
                None => (404, json!({ "message": "Not Found" })),
            }
        }
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
        ("POST", ["repos", owner, name, "pulls"]) => make(held, kind, (owner, name), body),
        ("GET", ["repos", _, _, "pulls", _, "reviews"]) if !github => {
            let page: usize = query.get("page").map_or(1, |page| page.parse().unwrap());
            let reviews = held.reviews.iter().zip(1..).skip((page - 1) * 50).take(50);
            (200, reviews.map(|(review, id)| objects::review(id, review)).collect())
        }
        ("GET", ["repos", _, _, "pulls", _, "reviews", id, "comments"]) if !github => {
            match id.parse().ok().and_then(|id: usize| held.reviews.get(id - 1)) {
                Some(review) => (200, review.lines.iter().map(|line| objects::on_line(review, line)).collect()),
                None => (404, json!({ "message": "Not Found" })),
            }
        }
        ("PATCH", ["repos", _, _, "pulls", number]) => change(held, kind, number, body),
        ("GET", ["repos", _, _, "labels"]) if !github => {
            let page: usize = query.get("page").map_or(1, |page| page.parse().unwrap());
            let labels = held.labels.iter().zip(1..).skip((page - 1) * 50).take(50);
            (200, labels.map(|(name, id)| objects::label(kind, id, name)).collect())
        }
        ("GET", ["orgs", _, "labels"]) if !github => {
            let own = objects::label(kind, 901, "of the organisation");
            (200, if query["page"] == "1" { json!([own]) } else { json!([]) })
        }
        ("POST", ["repos", _, _, "issues", number, "labels"]) if github => {
            if let Some(fault) = faults(body, &["labels"], &[]) {
                return (422, json!({ "message": fault }));
            }
            let names = body["labels"].as_array().unwrap().iter().zip(1..);
            let labels: Value = names.map(|(name, id)| objects::label(kind, id, name.as_str().unwrap())).collect();
            let Some(pull) = pull(held, number) else { return (404, json!({ "message": "Not Found" })) };
            pull["labels"] = labels.clone();
            (200, labels)
        }
        ("POST", ["repos", _, _, "pulls", number, "requested_reviewers"]) => {
            if let Some(fault) = faults(body, &["reviewers", "team_reviewers"], &[]) {
                return (422, json!({ "message": fault }));
            }
            let logins: Vec<&str> = body["reviewers"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
            if logins.contains(&"nobody") {
                return (422, json!({ "message": "Reviews may only be requested from collaborators." }));
            }
            let people: Value = logins.iter().map(|login| objects::user(kind, login)).collect();
            let Some(pull) = pull(held, number) else { return (404, json!({ "message": "Not Found" })) };
            pull["requested_reviewers"] = people;
            let reviews = || logins.iter().map(|login| objects::asked_for_review(login)).collect();
            (201, if github { pull.clone() } else { reviews() })
        }
        ("GET", ["repos", _, _, "issues", number, "comments"]) => pages::page(held, query, number),
        ("POST", ["repos", _, _, "issues", number, "comments"]) => pages::comment(held, kind, number, body),
        ("PATCH", ["repos", _, _, "issues", "comments", id]) => pages::edit(held, id, body),
        ("POST", ["repos", _, _, of @ .., "reactions"]) => react(held, kind, of, body),
        _ => (404, json!({ "message": "Not Found" })),
    }
}

fn pull<'a>(held: &'a mut Held, number: &str) -> Option<&'a mut Value> {
    held.pulls.iter_mut().find(|pull| pull["number"].as_u64() == number.parse().ok())
}

fn change(held: &mut Held, kind: ForgeKind, number: &str, body: &Value) -> (u16, Value) {
    let github = kind == ForgeKind::Github;
    if let Some(fault) = faults(body, &["title", "body", "state", "base"], &[]) {
        return (422, json!({ "message": fault }));
    }
    let Some(pull) = pull(held, number) else { return (404, json!({ "message": "Not Found" })) };
    for (name, value) in body.as_object().unwrap() {
        pull[name] = value.clone();
    }
    if !github {
        pull["draft"] = json!(pull["title"].as_str().unwrap().starts_with("WIP: "));
    }
    // Gitea answers so (`routers/api/v1/repo/pull.go`).
    (if github { 200 } else { 201 }, pull.clone())
}

/// `convertPullRequestToDraft` and `markPullRequestReadyForReview` of GitHub's GraphQL.
pub(super) fn graphql(held: &mut Held, body: &[u8]) -> (u16, Value) {
    let asked: Value = serde_json::from_slice(body).unwrap();
    let query = asked["query"].as_str().unwrap();
    let draft = query.contains("convertPullRequestToDraft(");
    if !draft && !query.contains("markPullRequestReadyForReview(") {
        return (200, json!({ "errors": [{ "message": "the field is not known" }] }));
    }
    match held.pulls.iter_mut().find(|pull| pull["node_id"] == asked["variables"]["id"]) {
        Some(pull) => {
            pull["draft"] = json!(draft);
            (200, json!({ "data": {} }))
        }
        None => (200, json!({ "data": null, "errors": [{ "message": "Could not resolve to a node" }] })),
    }
}

fn make(held: &mut Held, kind: ForgeKind, (owner, name): (&str, &str), body: &Value) -> (u16, Value) {
    let github = kind == ForgeKind::Github;
    if let Some(fault) = faults(body, if github { OF_GITHUB } else { OF_GITEA }, &["title", "head", "base"]) {
        return (422, json!({ "message": "Validation Failed", "errors": [fault] }));
    }
    let text = |field: &str| body[field].as_str().unwrap();
    let (head, base, title) = (text("head"), text("base"), text("title"));
    if held.pulls.iter().any(|pull| pull["state"] == "open" && pull["head"]["ref"] == head) {
        let message = format!("A pull request already exists for {owner}:{head}.");
        let status = if github { 422 } else { 409 };
        return (status, json!({ "message": "Validation Failed", "errors": [{ "message": message }] }));
    }
    let draft = if github { body["draft"].as_bool().unwrap_or(false) } else { title.starts_with("WIP: ") };
    let repository = format!("{owner}/{name}");
    let number = held.pulls.len() + 1;
    let new = NewPull { number, repository: &repository, title, body: &body["body"], draft, head, base };
    let mut pull = objects::pull(kind, &new);
    let ids = body["labels"].as_array().into_iter().flatten().filter_map(Value::as_u64);
    pull["labels"] = ids.map(|id| objects::label(kind, id, &held.labels[id as usize - 1])).collect();
    held.pulls.push(pull.clone());
    (201, pull)
}

fn react(held: &mut Held, kind: ForgeKind, of: &[&str], body: &Value) -> (u16, Value) {
    let number = match of {
        ["issues", number] => number,
        ["issues", "comments", id] => id,
        // Gitea has no such path.
        ["pulls", "comments", id] if kind == ForgeKind::Github => id,
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
    (status, objects::reaction(kind))
}
