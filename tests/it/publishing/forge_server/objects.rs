//! What forges answer, whole: the objects of their payloads, which are those of their APIs; GitLab's API has its own.

use super::{Member, Review};
use crate::trackers::sent::fixture;
use journeyman::{domain::linked_account::Provider, trackers::forge::ForgeKind};
use serde_json::{Value, json};

const AT: &str = "2026-11-02T08:00:00Z";

/// A pull request that is to be made.
pub(super) struct NewPull<'a> {
    pub(super) number: usize,
    pub(super) repository: &'a str,
    pub(super) title: &'a str,
    pub(super) body: &'a Value,
    pub(super) draft: bool,
    pub(super) head: &'a str,
    pub(super) base: &'a str,
}

fn set(mut object: Value, fields: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    for (pointer, value) in fields {
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        object.pointer_mut(parent).unwrap()[field] = value;
    }
    object
}

fn provider(kind: ForgeKind) -> Provider {
    match kind {
        ForgeKind::Github => Provider::Github,
        ForgeKind::Gitlab => Provider::Gitlab,
        ForgeKind::Gitea => Provider::Gitea,
    }
}

/// Of GitHub and Gitea: a user.
pub(super) fn user(kind: ForgeKind, login: &str) -> Value {
    let sender = fixture(provider(kind), "pull_request_merged")["sender"].clone();
    let user = set(sender, [("/login", json!(login))]);
    if kind == ForgeKind::Gitea { set(user, [("/username", json!(login))]) } else { user }
}

pub(super) fn pull(kind: ForgeKind, new: &NewPull<'_>) -> Value {
    let NewPull { number, repository, title, body, draft, head, base } = new;
    let merged = fixture(provider(kind), "pull_request_merged")["pull_request"].clone();
    set(
        merged,
        [
            ("/id", json!(100 + number)),
            ("/number", json!(number)),
            ("/html_url", json!(format!("https://forge.example/{repository}/pulls/{number}"))),
            ("/title", json!(title)),
            ("/body", (*body).clone()),
            ("/state", json!("open")),
            ("/draft", json!(draft)),
            ("/merged", json!(false)),
            ("/merged_at", Value::Null),
            ("/merged_by", Value::Null),
            ("/merge_commit_sha", Value::Null),
            ("/closed_at", Value::Null),
            ("/head/ref", json!(head)),
            ("/base/ref", json!(base)),
        ],
    )
}

pub(super) fn comment(kind: ForgeKind, id: u64, number: &str, body: &Value) -> Value {
    if kind == ForgeKind::Gitlab {
        return json!({
            "id": id, "body": body, "attachment": null, "author": gitlab_user("journeyman-acme"), "created_at": AT,
            "updated_at": AT, "system": false, "noteable_id": 301, "noteable_type": "Issue", "project_id": 15,
            "noteable_iid": number.parse::<u64>().unwrap_or_default(), "resolvable": false, "confidential": false,
            "internal": false, "imported": false, "imported_from": "none",
        });
    }
    let comment = fixture(provider(kind), "issue_comment_created")["comment"].clone();
    let fields = [("/id", json!(id)), ("/body", body.clone()), ("/user", user(kind, "journeyman-acme"))];
    set(comment, fields)
}

/// GitHub's has an id.
pub(super) fn reaction(kind: ForgeKind) -> Value {
    let own = user(kind, "journeyman-acme");
    let reaction = json!({ "user": own, "content": "eyes", "created_at": AT });
    if kind == ForgeKind::Gitea { reaction } else { set(reaction, [("/id", json!(1)), ("/node_id", json!("REA_1"))]) }
}

/// Of GitHub and Gitea: what somebody may. GitHub says `write` of who maintains, and more in `role_name`.
pub(super) fn permission(kind: ForgeKind, login: &str, member: &Member) -> Value {
    let user = user(kind, login);
    if kind == ForgeKind::Gitea {
        return json!({ "permission": member.permission, "role_name": member.permission, "user": user });
    }
    let all = ["pull", "triage", "push", "maintain", "admin"];
    let most = if member.permission == "write" { 3 } else { 0 };
    let permissions: serde_json::Map<String, Value> =
        all.iter().enumerate().map(|(rank, name)| ((*name).to_owned(), json!(rank <= most))).collect();
    let role = if most == 3 { "maintain" } else { "read" };
    let user = set(user, [("/permissions", json!(permissions)), ("/role_name", json!(role))]);
    json!({ "permission": member.permission, "role_name": role, "user": user })
}

pub(super) fn label(kind: ForgeKind, id: u64, name: &str) -> Value {
    let url = format!("https://forge.example/labels/{id}");
    let label = json!({ "id": id, "name": name, "url": url, "color": "0e8a16", "description": "" });
    match kind {
        ForgeKind::Gitea => set(label, [("/exclusive", json!(false)), ("/is_archived", json!(false))]),
        _ => set(label, [("/node_id", json!("LA_1")), ("/default", json!(false))]),
    }
}

/// Of Gitea: that somebody was asked for a review.
pub(super) fn asked_for_review(login: &str) -> Value {
    json!({
        "id": 1, "user": user(ForgeKind::Gitea, login), "team": null, "state": "REQUEST_REVIEW", "body": "",
        "commit_id": "", "stale": false, "official": false, "dismissed": false, "comments_count": 0, "submitted_at": AT,
        "updated_at": AT, "html_url": "https://forge.example/review/1", "pull_request_url": "https://forge.example/pulls/1",
    })
}

/// Of Gitea: a review.
pub(super) fn review(id: usize, review: &Review) -> Value {
    let more = [
        ("/id", json!(id)),
        ("/user", user(ForgeKind::Gitea, &review.login)),
        ("/state", json!("COMMENT")),
        ("/comments_count", json!(review.lines.len())),
        ("/submitted_at", json!(review.at)),
    ];
    set(asked_for_review(&review.login), more)
}

/// What it says of a line.
pub(super) fn on_line(review: &Review, (path, line, text): &(String, u64, String)) -> Value {
    json!({
        "id": 1, "body": text, "user": user(ForgeKind::Gitea, &review.login), "resolver": null, "pull_request_review_id": 1,
        "created_at": review.at, "updated_at": review.at, "path": path, "commit_id": "", "original_commit_id": "",
        "diff_hunk": "@@ -1,2 +1,2 @@", "position": line, "original_position": 0,
        "html_url": "https://forge.example/comment/1", "pull_request_url": "https://forge.example/pulls/1",
    })
}

pub(super) fn gitlab_user(username: &str) -> Value {
    json!({ "id": 9, "name": username, "username": username, "state": "active", "locked": false,
        "avatar_url": "https://forge.example/avatar/9", "web_url": format!("https://forge.example/{username}") })
}

pub(super) fn merge_request(new: &NewPull<'_>) -> Value {
    let NewPull { number, repository, title, body, draft, head, base } = new;
    let reference = format!("!{number}");
    let merge = serde_json::from_str(include_str!("merge_request.json")).unwrap();
    set(
        merge,
        [
            ("/id", json!(100 + number)),
            ("/iid", json!(number)),
            ("/title", json!(title)),
            ("/description", (*body).clone()),
            ("/author", gitlab_user("journeyman-acme")),
            ("/target_branch", json!(base)),
            ("/source_branch", json!(head)),
            ("/draft", json!(draft)),
            ("/work_in_progress", json!(draft)),
            ("/reference", json!(reference)),
            ("/references/short", json!(reference)),
            ("/references/relative", json!(reference)),
            ("/references/full", json!(format!("{repository}{reference}"))),
            ("/web_url", json!(format!("https://forge.example/{repository}/-/merge_requests/{number}"))),
        ],
    )
}

pub(super) fn award(name: &Value) -> Value {
    json!({ "id": 1, "name": name, "user": gitlab_user("journeyman-acme"), "created_at": AT, "updated_at": AT,
        "awardable_id": 301, "awardable_type": "Issue", "url": null })
}

/// Of GitLab: 30 is a Developer, 20 a Reporter.
pub(super) fn member(member: &Member) -> Value {
    let level = if member.permission == "write" { 30 } else { 20 };
    let user = set(gitlab_user(&member.login), [("/id", json!(member.id))]);
    set(
        user,
        [
            ("/access_level", json!(level)),
            ("/expires_at", Value::Null),
            ("/created_at", json!(AT)),
            ("/created_by", gitlab_user("owner")),
            ("/membership_state", json!("active")),
            ("/group_saml_identity", Value::Null),
        ],
    )
}
