//! GitLab's REST API, version 4 (docs.gitlab.com/api): merge requests and notes.

use super::{
    Comment, Exchange, ForgeError, NewPullRequest, PAGES_MAX, PullRequest, PullRequestEdit, Standing, Target, Thread,
    left_out, titled,
};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct MergeRequest {
    iid: u64,
    web_url: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    description: Option<String>,
    /// A fork may have a branch of the same name.
    #[serde(default)]
    source_project_id: Option<u64>,
    #[serde(default)]
    target_project_id: Option<u64>,
}

impl From<MergeRequest> for PullRequest {
    fn from(merge: MergeRequest) -> Self {
        let body = merge.description.unwrap_or_default();
        Self { number: merge.iid, url: merge.web_url, title: merge.title, body, node: String::new() }
    }
}

#[derive(Deserialize)]
struct Note {
    id: u64,
    #[serde(default)]
    body: String,
}

#[derive(Deserialize)]
struct User {
    id: u64,
}

/// What GitLab calls a draft by (`docs.gitlab.com/user/project/merge_requests/drafts`).
const DRAFT: &str = "Draft: ";

#[derive(Deserialize)]
struct Member {
    access_level: u64,
    #[serde(default)]
    state: Option<String>,
}

/// The access level of a Developer (docs.gitlab.com/api/members).
const DEVELOPER: u64 = 30;

/// Members of the groups above count as the project's own.
pub(super) async fn standing_of(exchange: &Exchange, project: &str, user: &str) -> Result<Standing, ForgeError> {
    let member: Member = exchange.get(&["projects", project, "members", "all", user], &[]).await?;
    let blocked = member.state.is_some_and(|state| state != "active");
    Ok(if member.access_level >= DEVELOPER && !blocked {
        Standing::MayWrite
    } else if blocked {
        Standing::MayNot("the forge has blocked him".to_owned())
    } else {
        Standing::MayNot(format!("his access level is {}, and 30 is needed", member.access_level))
    })
}

pub(super) async fn pull_request_of(
    exchange: &Exchange,
    project: &str,
    head: &str,
) -> Result<Option<PullRequest>, ForgeError> {
    let query = [("state", "opened"), ("source_branch", head), ("per_page", "100")];
    let found: Vec<MergeRequest> = exchange.get(&["projects", project, "merge_requests"], &query).await?;
    Ok(found.into_iter().find(|merge| merge.source_project_id == merge.target_project_id).map(Into::into))
}

pub(super) async fn make_pull_request(
    exchange: &Exchange,
    project: &str,
    new: &NewPullRequest,
) -> Result<PullRequest, ForgeError> {
    let title = titled(&new.title, DRAFT, new.draft);
    let body = json!({ "source_branch": new.head, "target_branch": new.base, "title": title, "description": new.body,
        "labels": new.labels.join(","), "remove_source_branch": true });
    let path = ["projects", project, "merge_requests"];
    let made: MergeRequest = exchange.send_json(Method::POST, &path, &body).await?;
    Ok(made.into())
}

/// It was made with its labels. Reviewers are named by the ids of their accounts; those that are not there are left out.
pub(super) async fn dress(
    exchange: &Exchange,
    project: &str,
    number: u64,
    new: &NewPullRequest,
) -> Result<(), ForgeError> {
    let mut reviewers = Vec::new();
    for login in new.reviewers.iter().take(20) {
        match exchange.get::<Vec<User>>(&["users"], &[("username", login)]).await {
            Ok(users) => reviewers.extend(users.first().map(|user| user.id)),
            Err(error) => left_out::<()>("reviewers", Err(error))?,
        }
    }
    if reviewers.is_empty() {
        return Ok(());
    }
    let path = ["projects", project, "merge_requests", &number.to_string()];
    left_out("reviewers", exchange.send_json::<Value>(Method::PUT, &path, &json!({ "reviewer_ids": reviewers })).await)
}

pub(super) async fn edit_pull_request(
    exchange: &Exchange,
    project: &str,
    there: &PullRequest,
    edit: &PullRequestEdit,
) -> Result<(), ForgeError> {
    let mut change = json!({ "description": edit.body });
    if let Some(draft) = edit.draft {
        change["title"] = titled(&there.title, DRAFT, draft).into();
    }
    let path = ["projects", project, "merge_requests", &there.number.to_string()];
    exchange.send_json::<Value>(Method::PUT, &path, &change).await.map(drop)
}

pub(super) async fn comment_with(
    exchange: &Exchange,
    project: &str,
    thread: Thread,
    mark: &str,
) -> Result<Option<Comment>, ForgeError> {
    let (kind, number) = place(thread);
    for page in 1..=PAGES_MAX {
        let page = page.to_string();
        let query = [("per_page", "100"), ("page", page.as_str()), ("sort", "asc")];
        let notes: Vec<Note> = exchange.get(&["projects", project, kind, &number, "notes"], &query).await?;
        let last = notes.is_empty();
        if let Some(Note { id, body }) = notes.into_iter().find(|note| note.body.contains(mark)) {
            return Ok(Some(Comment { id, body }));
        }
        if last {
            break;
        }
    }
    Ok(None)
}

pub(super) async fn make_comment(
    exchange: &Exchange,
    project: &str,
    thread: Thread,
    body: &str,
) -> Result<Comment, ForgeError> {
    let (kind, number) = place(thread);
    let path = ["projects", project, kind, &number, "notes"];
    let Note { id, body } = exchange.send_json(Method::POST, &path, &json!({ "body": body })).await?;
    Ok(Comment { id, body })
}

pub(super) async fn edit_comment(
    exchange: &Exchange,
    project: &str,
    thread: Thread,
    comment: u64,
    body: &str,
) -> Result<(), ForgeError> {
    let (kind, number) = place(thread);
    let path = ["projects", project, kind, &number, "notes", &comment.to_string()];
    let _: Note = exchange.send_json(Method::PUT, &path, &json!({ "body": body })).await?;
    Ok(())
}

pub(super) async fn react(exchange: &Exchange, project: &str, thread: Thread, to: Target) -> Result<(), ForgeError> {
    let (kind, number) = place(thread);
    let note = match to {
        Target::Opening => None,
        Target::Comment(id) | Target::ReviewComment(id) => Some(id.to_string()),
    };
    let of = note.as_deref().map_or(Vec::new(), |id| vec!["notes", id]);
    let path = [vec!["projects", project, kind, &number], of, vec!["award_emoji"]].concat();
    let put: Result<Value, _> = exchange.send_json(Method::POST, &path, &json!({ "name": "eyes" })).await;
    match put {
        // So it says that it was done before (`lib/api/award_emoji.rb`).
        Err(ForgeError::Rejected { status: 404, reason }) if reason.contains("already been taken") => Ok(()),
        put => put.map(|_| ()),
    }
}

fn place(thread: Thread) -> (&'static str, String) {
    match thread {
        Thread::Issue(number) => ("issues", number.to_string()),
        Thread::PullRequest(number) => ("merge_requests", number.to_string()),
    }
}
