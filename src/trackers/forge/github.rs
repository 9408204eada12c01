//! GitHub's REST API, version 2022-11-28 (docs.github.com/rest). Its comments are Gitea's, too.

use super::{Comment, Exchange, ForgeError, NewPullRequest, PAGES_MAX, PullRequest, Standing, Target, Thread};
use crate::{domain::Timestamp, secrets::Secret, trackers::tokens::InstallationToken};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
pub(super) struct Pull {
    pub(super) number: u64,
    pub(super) html_url: String,
}

impl From<Pull> for PullRequest {
    fn from(pull: Pull) -> Self {
        Self { number: pull.number, url: pull.html_url }
    }
}

#[derive(Deserialize)]
struct Said {
    id: u64,
    #[serde(default)]
    body: Option<String>,
}

#[derive(Deserialize)]
struct Given {
    token: String,
    #[serde(with = "time::serde::rfc3339")]
    expires_at: time::OffsetDateTime,
}

pub(super) async fn installation_token(
    exchange: &Exchange,
    installation: &str,
    repository: Option<&str>,
) -> Result<InstallationToken, ForgeError> {
    let body = repository.map_or_else(|| json!({}), |name| json!({ "repositories": [name] }));
    let path = ["app", "installations", installation, "access_tokens"];
    let Given { token, expires_at } = exchange.send_json(Method::POST, &path, &body).await?;
    Ok(InstallationToken { token: Secret::new(token), until: Timestamp(expires_at) })
}

#[derive(Deserialize)]
struct Permitted {
    /// `admin`, `write`, `read` or `none`; at Gitea `owner` too. GitHub says `write` of who maintains.
    permission: String,
}

/// Gitea has the same question.
pub(super) async fn standing_of(exchange: &Exchange, repository: &str, login: &str) -> Result<Standing, ForgeError> {
    let (owner, name) = parts(repository)?;
    let path = ["repos", owner, name, "collaborators", login, "permission"];
    let Permitted { permission } = exchange.get(&path, &[]).await?;
    Ok(match permission.as_str() {
        "owner" | "admin" | "maintain" | "write" => Standing::MayWrite,
        other => Standing::MayNot(format!("his permission is {other}, and write is needed")),
    })
}

pub(super) async fn pull_request_of(
    exchange: &Exchange,
    repository: &str,
    head: &str,
) -> Result<Option<PullRequest>, ForgeError> {
    let (owner, name) = parts(repository)?;
    let head = format!("{owner}:{head}");
    let query = [("state", "open"), ("head", head.as_str()), ("per_page", "1")];
    let found: Vec<Pull> = exchange.get(&["repos", owner, name, "pulls"], &query).await?;
    Ok(found.into_iter().next().map(Into::into))
}

pub(super) async fn make_pull_request(
    exchange: &Exchange,
    repository: &str,
    new: &NewPullRequest,
) -> Result<PullRequest, ForgeError> {
    let (owner, name) = parts(repository)?;
    let path = ["repos", owner, name, "pulls"];
    let body = |draft| {
        json!({ "title": new.title, "head": new.head, "base": new.base, "body": new.body, "draft": draft,
            "maintainer_can_modify": true })
    };
    let made: Result<Pull, ForgeError> = exchange.send_json(Method::POST, &path, &body(new.draft)).await;
    let made = match made {
        // Private repositories of some plans have none.
        Err(ForgeError::Rejected { status: 422, reason }) if new.draft && reason.to_lowercase().contains("draft") => {
            exchange.send_json(Method::POST, &path, &body(false)).await?
        }
        made => made?,
    };
    let number = made.number.to_string();
    if !new.labels.is_empty() {
        let path = ["repos", owner, name, "issues", &number, "labels"];
        let labelled: Result<Value, _> =
            exchange.send_json(Method::POST, &path, &json!({ "labels": new.labels })).await;
        leave_out("labels", labelled.err());
    }
    if !new.reviewers.is_empty() {
        let path = ["repos", owner, name, "pulls", &number, "requested_reviewers"];
        let body = json!({ "reviewers": new.reviewers });
        let asked: Result<Value, _> = exchange.send_json(Method::POST, &path, &body).await;
        leave_out("reviewers", asked.err());
    }
    Ok(made.into())
}

pub(super) async fn comment_with(
    exchange: &Exchange,
    repository: &str,
    thread: Thread,
    mark: &str,
) -> Result<Option<Comment>, ForgeError> {
    let (owner, name) = parts(repository)?;
    let number = number(thread);
    let mut first = None;
    for page in 1..=PAGES_MAX {
        // GitHub says per_page, Gitea limit; each ignores the other's.
        let page = page.to_string();
        let query = [("per_page", "100"), ("limit", "100"), ("page", page.as_str())];
        let path = ["repos", owner, name, "issues", &number, "comments"];
        let found: Vec<Said> = exchange.get(&path, &query).await?;
        // Gitea gives them all, whatever page is asked for.
        let begins_with = found.first().map(|said| said.id);
        let last = begins_with.is_none() || begins_with == first;
        first = begins_with;
        let ours = found.into_iter().find(|said| said.body.as_deref().is_some_and(|body| body.contains(mark)));
        if let Some(Said { id, body }) = ours {
            return Ok(Some(Comment { id, body: body.unwrap_or_default() }));
        }
        if last {
            break;
        }
    }
    Ok(None)
}

pub(super) async fn make_comment(
    exchange: &Exchange,
    repository: &str,
    thread: Thread,
    body: &str,
) -> Result<Comment, ForgeError> {
    let (owner, name) = parts(repository)?;
    let path = ["repos", owner, name, "issues", &number(thread), "comments"];
    let Said { id, body } = exchange.send_json(Method::POST, &path, &json!({ "body": body })).await?;
    Ok(Comment { id, body: body.unwrap_or_default() })
}

pub(super) async fn edit_comment(
    exchange: &Exchange,
    repository: &str,
    comment: u64,
    body: &str,
) -> Result<(), ForgeError> {
    let (owner, name) = parts(repository)?;
    let path = ["repos", owner, name, "issues", "comments", &comment.to_string()];
    let _: Said = exchange.send_json(Method::PATCH, &path, &json!({ "body": body })).await?;
    Ok(())
}

pub(super) async fn react(exchange: &Exchange, repository: &str, thread: Thread, to: Target) -> Result<(), ForgeError> {
    let kind = if matches!(to, Target::ReviewComment(_)) { "pulls" } else { "issues" };
    put_eyes(exchange, repository, kind, thread, to).await
}

/// `kind` is where the comment is looked for. One who has reacted already is answered 200 in place of 201.
pub(super) async fn put_eyes(
    exchange: &Exchange,
    repository: &str,
    kind: &str,
    thread: Thread,
    to: Target,
) -> Result<(), ForgeError> {
    let (owner, name) = parts(repository)?;
    let id = match to {
        Target::Opening => number(thread),
        Target::Comment(id) | Target::ReviewComment(id) => id.to_string(),
    };
    let of = match to {
        Target::Opening => vec!["issues", &id],
        Target::Comment(_) | Target::ReviewComment(_) => vec![kind, "comments", &id],
    };
    let path = [vec!["repos", owner, name], of, vec!["reactions"]].concat();
    let _: Value = exchange.send_json(Method::POST, &path, &json!({ "content": "eyes" })).await?;
    Ok(())
}

/// Issues and pull requests are numbered together.
fn number(thread: Thread) -> String {
    let (Thread::Issue(number) | Thread::PullRequest(number)) = thread;
    number.to_string()
}

/// What goes with a pull request and is not taken does not undo it.
pub(super) fn leave_out(what: &str, error: Option<ForgeError>) {
    if let Some(error) = error {
        tracing::warn!(%error, "a pull request is without its {what}");
    }
}

/// `owner/name`.
pub(super) fn parts(repository: &str) -> Result<(&str, &str), ForgeError> {
    let named = repository.split_once('/').filter(|(owner, name)| !owner.is_empty() && !name.contains('/'));
    named.ok_or_else(|| ForgeError::Unreadable(format!("{repository} is no owner/name")))
}
