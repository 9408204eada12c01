//! GitHub's REST API, version 2022-11-28 (docs.github.com/rest). Its comments are Gitea's, too.

use super::{
    Comment, Exchange, ForgeError, NewPullRequest, PAGES_MAX, PullRequest, PullRequestEdit, Standing, Target, Thread,
    left_out,
};
use crate::{domain::Timestamp, secrets::Secret, trackers::tokens::InstallationToken};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

#[derive(Deserialize)]
pub(super) struct Pull {
    pub(super) number: u64,
    html_url: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    node_id: String,
}

impl From<Pull> for PullRequest {
    fn from(Pull { number, html_url, title, body, node_id }: Pull) -> Self {
        Self { number, url: html_url, title, body: body.unwrap_or_default(), node: node_id }
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
    #[serde(default)]
    repositories: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    full_name: String,
}

pub(super) async fn installation_token(
    exchange: &Exchange,
    installation: &str,
    repository: Option<&str>,
    permissions: &[(&str, &str)],
) -> Result<InstallationToken, ForgeError> {
    let mut body = json!({});
    if let Some(path) = repository {
        body["repositories"] = json!([parts(path)?.1]);
    }
    if !permissions.is_empty() {
        let all = permissions.iter().map(|(name, level)| ((*name).to_owned(), Value::from(*level)));
        body["permissions"] = Value::Object(all.collect::<Map<_, _>>());
    }
    let path = ["app", "installations", installation, "access_tokens"];
    let Given { token, expires_at, repositories } = exchange.send_json(Method::POST, &path, &body).await?;
    // Asked for by its name alone, it may be that of another owner.
    let is_it = |path: &str| repositories.iter().any(|one| one.full_name.eq_ignore_ascii_case(path));
    if let Some(path) = repository.filter(|path| !repositories.is_empty() && !is_it(path)) {
        return Err(ForgeError::Rejected { status: 404, reason: format!("the App is installed for no {path}") });
    }
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
    Ok(made.into())
}

pub(super) async fn dress(
    exchange: &Exchange,
    repository: &str,
    number: u64,
    new: &NewPullRequest,
) -> Result<(), ForgeError> {
    let (owner, name) = parts(repository)?;
    if !new.labels.is_empty() {
        let path = ["repos", owner, name, "issues", &number.to_string(), "labels"];
        let labels = json!({ "labels": new.labels });
        left_out("labels", exchange.send_json::<Value>(Method::POST, &path, &labels).await)?;
    }
    ask_for_review(exchange, (owner, name), number, &new.reviewers).await
}

/// Gitea asks likewise.
pub(super) async fn ask_for_review(
    exchange: &Exchange,
    (owner, name): (&str, &str),
    number: u64,
    reviewers: &[String],
) -> Result<(), ForgeError> {
    if reviewers.is_empty() {
        return Ok(());
    }
    let path = ["repos", owner, name, "pulls", &number.to_string(), "requested_reviewers"];
    left_out("reviewers", exchange.send_json::<Value>(Method::POST, &path, &json!({ "reviewers": reviewers })).await)
}

pub(super) async fn edit_pull_request(
    exchange: &Exchange,
    repository: &str,
    there: &PullRequest,
    edit: &PullRequestEdit,
) -> Result<(), ForgeError> {
    if let Some(draft) = edit.draft {
        // REST cannot (docs.github.com/graphql/reference/mutations).
        let mutation = if draft { "convertPullRequestToDraft" } else { "markPullRequestReadyForReview" };
        let query = format!(
            "mutation($id: ID!) {{ {mutation}(input: {{ pullRequestId: $id }}) {{ pullRequest {{ isDraft }} }} }}"
        );
        let asked = exchange.graphql(&json!({ "query": query, "variables": { "id": there.node } })).await;
        left_out("draft state", asked)?;
    }
    // The text last: it says what the state is.
    change_pull(exchange, repository, there.number, &json!({ "body": edit.body })).await
}

/// Gitea takes it likewise.
pub(super) async fn change_pull(
    exchange: &Exchange,
    repository: &str,
    number: u64,
    change: &Value,
) -> Result<(), ForgeError> {
    let (owner, name) = parts(repository)?;
    let path = ["repos", owner, name, "pulls", &number.to_string()];
    exchange.send_json::<Value>(Method::PATCH, &path, change).await.map(drop)
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

/// `owner/name`.
pub(super) fn parts(repository: &str) -> Result<(&str, &str), ForgeError> {
    let named = repository.split_once('/').filter(|(owner, name)| !owner.is_empty() && !name.contains('/'));
    named.ok_or_else(|| ForgeError::Unreadable(format!("{repository} is no owner/name")))
}
