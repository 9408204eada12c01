//! docs.gitlab.com/api: merge_requests, notes, emoji_reactions, members, users.

use super::{
    Held,
    objects::{self, NewPull},
    pages::{self, faults},
};
use axum::http::Method;
use journeyman::trackers::forge::ForgeKind;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const OF_MERGE_REQUEST: &[&str] =
    &["source_branch", "target_branch", "title", "description", "labels", "remove_source_branch", "reviewer_ids"];
const OF_CHANGE: &[&str] = &["title", "description", "reviewer_ids"];

pub(super) fn answer(
    held: &mut Held,
    (method, path): (&Method, &[&str]),
    query: &BTreeMap<String, String>,
    body: &Value,
) -> (u16, Value) {
    match (method.as_str(), path) {
        ("GET", ["projects", _, "members", "all", id]) => {
            match held.members.iter().find(|member| member.id.to_string() == *id) {
                Some(member) => (200, objects::member(member)),
                None => (404, json!({ "message": "404 Not found" })),
            }
        }
        ("GET", ["users"]) => {
            let named = held.members.iter().filter(|member| query.get("username") == Some(&member.login));
            (200, named.map(|member| objects::gitlab_user(&member.login)).collect())
        }
        ("GET", ["projects", _, "merge_requests"]) => {
            let branch = query.get("source_branch").map(String::as_str);
            let open = held.pulls.iter().filter(|merge| merge["state"] == "opened");
            let found = open.filter(|merge| branch.is_none_or(|branch| merge["source_branch"] == branch));
            (200, Value::Array(found.cloned().collect()))
        }
        ("POST", ["projects", project, "merge_requests"]) => make(held, project, body),
        ("PUT", ["projects", _, "merge_requests", iid]) => {
            if let Some(fault) = faults(body, OF_CHANGE, &[]) {
                return (400, json!({ "error": fault }));
            }
            let Some(merge) = held.pulls.iter_mut().find(|merge| merge["iid"].as_u64() == iid.parse().ok()) else {
                return (404, json!({ "message": "404 Not found" }));
            };
            if let Some(reviewers) = body["reviewer_ids"].as_array() {
                merge["reviewers"] = reviewers.iter().map(|_| objects::gitlab_user("ada")).collect();
            }
            for field in ["title", "description"] {
                if let Some(text) = body.get(field) {
                    merge[field] = text.clone();
                }
            }
            let draft = json!(merge["title"].as_str().unwrap().starts_with("Draft: "));
            (merge["draft"], merge["work_in_progress"]) = (draft.clone(), draft);
            (200, merge.clone())
        }
        ("GET", ["projects", _, "issues" | "merge_requests", number, "notes"]) => pages::page(held, query, number),
        ("POST", ["projects", _, kind @ ("issues" | "merge_requests"), number, "notes"]) => {
            let (status, mut note) = pages::comment(held, ForgeKind::Gitlab, number, body);
            if status == 201 && *kind == "merge_requests" {
                note["noteable_type"] = json!("MergeRequest");
            }
            (status, note)
        }
        ("PUT", ["projects", _, "issues" | "merge_requests", _, "notes", id]) => pages::edit(held, id, body),
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
            (201, objects::award(&body["name"]))
        }
        _ => (404, json!({ "message": "404 Project Not Found" })),
    }
}

fn make(held: &mut Held, project: &str, body: &Value) -> (u16, Value) {
    if let Some(fault) = faults(body, OF_MERGE_REQUEST, &["source_branch", "target_branch", "title"]) {
        return (400, json!({ "error": fault }));
    }
    let text = |field: &str| body[field].as_str().unwrap();
    let (head, base, title) = (text("source_branch"), text("target_branch"), text("title"));
    if held.pulls.iter().any(|merge| merge["state"] == "opened" && merge["source_branch"] == head) {
        return (409, json!({ "message": ["Another open merge request already exists for this source branch"] }));
    }
    let draft = title.starts_with("Draft: ");
    let number = held.pulls.len() + 1;
    let new = NewPull { number, repository: project, title, body: &body["description"], draft, head, base };
    let mut merge = objects::merge_request(&new);
    let labels = body["labels"].as_str().unwrap_or_default();
    merge["labels"] = labels.split(',').filter(|label| !label.is_empty()).collect();
    held.pulls.push(merge.clone());
    (201, merge)
}
