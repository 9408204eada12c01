//! Gitea's and Forgejo's API, version 1 (`/api/swagger` of each instance): pull requests, reactions. Its comments are as GitHub's.

use super::{
    Exchange, ForgeError, NewPullRequest, PAGES_MAX, PullRequest, PullRequestEdit, ReviewComment, Target, Thread,
    github::{Pull, ask_for_review, change_pull, parts, put_eyes},
    left_out, titled,
};
use crate::trackers::read::{text, word};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

#[derive(Deserialize)]
struct Listed {
    #[serde(flatten)]
    pull: Pull,
    head: Branch,
    base: Branch,
}

#[derive(Deserialize)]
struct Branch {
    #[serde(rename = "ref")]
    name: String,
    /// A fork may have a branch of the same name. Negative where its repository is gone.
    #[serde(default)]
    repo_id: Option<i64>,
}

impl Listed {
    fn is_of(&self, head: &str) -> bool {
        self.head.name == head && self.head.repo_id == self.base.repo_id
    }
}

#[derive(Deserialize)]
struct Label {
    id: u64,
    name: String,
}

/// What Gitea and Forgejo call a draft by (`WORK_IN_PROGRESS_PREFIXES` of their settings).
const DRAFT: &str = "WIP: ";
/// Comments of one review that are told.
const COMMENTS_MAX: usize = 100;

/// It does not look for a branch: the open ones are gone through.
pub(super) async fn pull_request_of(
    exchange: &Exchange,
    repository: &str,
    head: &str,
) -> Result<Option<PullRequest>, ForgeError> {
    let (owner, name) = parts(repository)?;
    for page in 1..=PAGES_MAX {
        let page = page.to_string();
        let query = [("state", "open"), ("sort", "recentupdate"), ("limit", "50"), ("page", page.as_str())];
        let found: Vec<Listed> = exchange.get(&["repos", owner, name, "pulls"], &query).await?;
        let last = found.is_empty();
        if let Some(ours) = found.into_iter().find(|listed| listed.is_of(head)) {
            return Ok(Some(ours.pull.into()));
        }
        if last {
            break;
        }
    }
    Ok(None)
}

pub(super) async fn make_pull_request(
    exchange: &Exchange,
    repository: &str,
    new: &NewPullRequest,
) -> Result<PullRequest, ForgeError> {
    let (owner, name) = parts(repository)?;
    let title = titled(&new.title, DRAFT, new.draft);
    let mut labels = Vec::new();
    if !new.labels.is_empty() {
        labels_of(exchange, &["repos", owner, name, "labels"], &new.labels, &mut labels).await?;
        // A person has none.
        labels_of(exchange, &["orgs", owner, "labels"], &new.labels, &mut labels).await?;
    }
    let body = json!({ "head": new.head, "base": new.base, "title": title, "body": new.body, "labels": labels });
    let made: Pull = exchange.send_json(Method::POST, &["repos", owner, name, "pulls"], &body).await?;
    Ok(made.into())
}

/// Adds the ids of labels with these names.
async fn labels_of(exchange: &Exchange, path: &[&str], names: &[String], ids: &mut Vec<u64>) -> Result<(), ForgeError> {
    for page in 1..=PAGES_MAX {
        let page = page.to_string();
        let known: Vec<Label> = match exchange.get(path, &[("limit", "50"), ("page", page.as_str())]).await {
            Ok(known) => known,
            Err(ForgeError::Rejected { status: 404, .. }) => return Ok(()),
            Err(error) => return left_out::<()>("labels", Err(error)),
        };
        let last = known.is_empty();
        ids.extend(known.into_iter().filter(|label| names.contains(&label.name)).map(|label| label.id));
        if last {
            break;
        }
    }
    Ok(())
}

/// It was made with its labels.
pub(super) async fn dress(
    exchange: &Exchange,
    repository: &str,
    number: u64,
    new: &NewPullRequest,
) -> Result<(), ForgeError> {
    ask_for_review(exchange, parts(repository)?, number, &new.reviewers).await
}

pub(super) async fn edit_pull_request(
    exchange: &Exchange,
    repository: &str,
    there: &PullRequest,
    edit: &PullRequestEdit,
) -> Result<(), ForgeError> {
    let mut change = json!({ "body": edit.body });
    if let Some(draft) = edit.draft {
        change["title"] = titled(&there.title, DRAFT, draft).into();
    }
    change_pull(exchange, repository, there.number, &change).await
}

/// Comments on code are comments like others to it.
pub(super) async fn react(exchange: &Exchange, repository: &str, thread: Thread, to: Target) -> Result<(), ForgeError> {
    put_eyes(exchange, repository, "issues", thread, to).await
}

#[derive(Deserialize)]
struct Review {
    id: u64,
    #[serde(default)]
    user: Option<Login>,
    #[serde(default, with = "time::serde::rfc3339::option")]
    submitted_at: Option<OffsetDateTime>,
    #[serde(default)]
    comments_count: u64,
}

#[derive(Deserialize)]
struct Login {
    login: String,
}

#[derive(Deserialize)]
struct OnCode {
    path: Value,
    body: Value,
    /// The line, of a line that is gone 0.
    #[serde(default)]
    position: u64,
    #[serde(default)]
    original_position: u64,
}

pub(super) async fn review_comments(
    exchange: &Exchange,
    repository: &str,
    number: u64,
    (login, at): (&str, &str),
) -> Result<Vec<ReviewComment>, ForgeError> {
    let (owner, name) = parts(repository)?;
    let number = number.to_string();
    let at = OffsetDateTime::parse(at, &Rfc3339).ok();
    let far = |review: &Review| at.zip(review.submitted_at).map(|(at, then)| (then - at).abs());
    let mut nearest: Option<Review> = None;
    for page in 1..=PAGES_MAX {
        let page = page.to_string();
        let query = [("limit", "50"), ("page", page.as_str())];
        let found: Vec<Review> = exchange.get(&["repos", owner, name, "pulls", &number, "reviews"], &query).await?;
        let last = found.is_empty();
        let his = found.into_iter().filter(|one| one.user.as_ref().is_some_and(|user| user.login == login));
        for review in his {
            // Of two that are as near, or of unknown times, the later.
            if nearest.as_ref().is_none_or(|nearest| far(&review) <= far(nearest)) {
                nearest = Some(review);
            }
        }
        if last {
            break;
        }
    }
    let Some(review) = nearest.filter(|review| review.comments_count > 0) else { return Ok(Vec::new()) };
    let path = ["repos", owner, name, "pulls", &number, "reviews", &review.id.to_string(), "comments"];
    let comments: Vec<OnCode> = exchange.get(&path, &[]).await?;
    let place = |one: &OnCode| match (one.position, one.original_position) {
        (0, 0) => word(&one.path),
        (0, line) | (line, _) => format!("{}:{line}", word(&one.path)),
    };
    let told = |one: &OnCode| ReviewComment { at: place(one), body: text(&one.body) };
    Ok(comments.iter().take(COMMENTS_MAX).map(told).collect())
}
