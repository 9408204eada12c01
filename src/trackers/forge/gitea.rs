//! Gitea's and Forgejo's API, version 1 (`/api/swagger` of each instance): pull requests, reactions. Its comments are as GitHub's.

use super::{
    Exchange, ForgeError, NewPullRequest, PAGES_MAX, PullRequest, Target, Thread,
    github::{Pull, leave_out, parts, put_eyes},
};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

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
    /// A fork may have a branch of the same name.
    #[serde(default)]
    repo_id: Option<u64>,
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
    let title = if new.draft { format!("{DRAFT}{}", new.title) } else { new.title.clone() };
    let mut labels = Vec::new();
    if !new.labels.is_empty() {
        match exchange.get::<Vec<Label>>(&["repos", owner, name, "labels"], &[("limit", "50")]).await {
            Ok(known) => {
                labels.extend(known.into_iter().filter(|label| new.labels.contains(&label.name)).map(|label| label.id));
            }
            Err(error) => leave_out("labels", Some(error)),
        }
    }
    let body = json!({ "head": new.head, "base": new.base, "title": title, "body": new.body, "labels": labels });
    let made: Pull = exchange.send_json(Method::POST, &["repos", owner, name, "pulls"], &body).await?;
    if !new.reviewers.is_empty() {
        let path = ["repos", owner, name, "pulls", &made.number.to_string(), "requested_reviewers"];
        let asked: Result<Value, _> =
            exchange.send_json(Method::POST, &path, &json!({ "reviewers": new.reviewers })).await;
        leave_out("reviewers", asked.err());
    }
    Ok(made.into())
}

/// Comments on code are comments like others to it.
pub(super) async fn react(exchange: &Exchange, repository: &str, thread: Thread, to: Target) -> Result<(), ForgeError> {
    put_eyes(exchange, repository, "issues", thread, to).await
}
