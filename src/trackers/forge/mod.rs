//! A forge's own API, as far as it is spoken to: pull requests by their branch, comments by a mark in them, reactions. What is
//! made is looked for first, so that a call whose answer was lost is not made twice.
//!
//! One file for each forge, after its published OpenAPI (GitLab: its documentation of the REST API). Start with [`Forge`].

mod error;
mod gitea;
mod github;
mod gitlab;
mod place;

pub use super::delivery::ReviewComment;
pub use error::ForgeError;
pub use place::{ForgeAccess, ForgeKind};

use super::exchange::Exchange;
use crate::trackers::{client::TrackerClient, tokens::InstallationToken};

/// Pages of a list that are read, of 100 each.
pub(super) const PAGES_MAX: u32 = 10;

/// A pull request, or what a forge calls it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullRequest {
    /// By which the repository knows it.
    pub number: u64,
    /// For people.
    pub url: String,
    pub title: String,
    pub body: String,
    /// By which GitHub's GraphQL knows it; empty elsewhere.
    pub node: String,
}

/// What a pull request is to say from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullRequestEdit {
    pub body: String,
    /// Whether it becomes a draft, or one that is ready; absent: it stays as it is.
    pub draft: Option<bool>,
}

/// A pull request to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewPullRequest {
    /// The branch with the work, of the same repository.
    pub head: String,
    /// The branch that it is for.
    pub base: String,
    pub title: String,
    pub body: String,
    pub draft: bool,
    pub labels: Vec<String>,
    /// Logins.
    pub reviewers: Vec<String>,
}

/// What a comment stands under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thread {
    Issue(u64),
    PullRequest(u64),
}

/// What of a thread a reaction is to; comments by the ids that the forge gave them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// What it begins with.
    Opening,
    Comment(u64),
    ReviewComment(u64),
}

/// A comment of the service's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment {
    pub id: u64,
    pub body: String,
}

/// Whether a forge lets somebody write to a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    MayWrite,
    /// Why not, for people.
    MayNot(String),
}

/// One forge with what lets the service in. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Forge {
    kind: ForgeKind,
    exchange: Exchange,
}

impl Forge {
    pub fn new(access: ForgeAccess, client: TrackerClient) -> Self {
        let kind = access.kind;
        Self { kind, exchange: Exchange::new(access.into(), client) }
    }

    /// The key of a pull request, as deliveries about it have it.
    pub fn key_of(&self, repository: &str, number: u64) -> String {
        match self.kind {
            ForgeKind::Github | ForgeKind::Gitea => format!("{repository}#{number}"),
            ForgeKind::Gitlab => format!("{repository}!{number}"),
        }
    }

    /// A token of an installation of the App that this forge is asked as, for one of its repositories (`owner/name`) where it is
    /// given, and with these permissions alone where there are any. GitHub's alone.
    pub async fn installation_token(
        &self,
        installation: &str,
        repository: Option<&str>,
        permissions: &[(&str, &str)],
    ) -> Result<InstallationToken, ForgeError> {
        github::installation_token(&self.exchange, installation, repository, permissions).await
    }

    /// Whether somebody may write to a repository: by his login, at GitLab by his account's id. Whom the forge does not know as
    /// one of its members may not.
    pub async fn standing_of(&self, repository: &str, person: &str) -> Result<Standing, ForgeError> {
        let found = match self.kind {
            ForgeKind::Github | ForgeKind::Gitea => github::standing_of(&self.exchange, repository, person).await,
            ForgeKind::Gitlab => gitlab::standing_of(&self.exchange, repository, person).await,
        };
        match found {
            Err(ForgeError::Rejected { status: 404, .. }) => {
                Ok(Standing::MayNot("the forge knows him as no member of the repository".to_owned()))
            }
            found => found,
        }
    }

    /// The open pull request of a branch, where there is one. `repository` is its path at the forge: `owner/name`.
    pub async fn pull_request_of(&self, repository: &str, head: &str) -> Result<Option<PullRequest>, ForgeError> {
        match self.kind {
            ForgeKind::Github => github::pull_request_of(&self.exchange, repository, head).await,
            ForgeKind::Gitlab => gitlab::pull_request_of(&self.exchange, repository, head).await,
            ForgeKind::Gitea => gitea::pull_request_of(&self.exchange, repository, head).await,
        }
    }

    /// Makes a pull request, without what [`Self::dress`] gives it.
    pub async fn make_pull_request(&self, repository: &str, new: &NewPullRequest) -> Result<PullRequest, ForgeError> {
        match self.kind {
            ForgeKind::Github => github::make_pull_request(&self.exchange, repository, new).await,
            ForgeKind::Gitlab => gitlab::make_pull_request(&self.exchange, repository, new).await,
            ForgeKind::Gitea => gitea::make_pull_request(&self.exchange, repository, new).await,
        }
    }

    /// Gives a pull request its labels and reviewers; twice is as once. Those that the forge does not take are left out.
    pub async fn dress(&self, repository: &str, number: u64, new: &NewPullRequest) -> Result<(), ForgeError> {
        match self.kind {
            ForgeKind::Github => github::dress(&self.exchange, repository, number, new).await,
            ForgeKind::Gitlab => gitlab::dress(&self.exchange, repository, number, new).await,
            ForgeKind::Gitea => gitea::dress(&self.exchange, repository, number, new).await,
        }
    }

    /// Has a pull request say something else.
    pub async fn edit_pull_request(
        &self,
        repository: &str,
        there: &PullRequest,
        edit: &PullRequestEdit,
    ) -> Result<(), ForgeError> {
        match self.kind {
            ForgeKind::Github => github::edit_pull_request(&self.exchange, repository, there, edit).await,
            ForgeKind::Gitlab => gitlab::edit_pull_request(&self.exchange, repository, there, edit).await,
            ForgeKind::Gitea => gitea::edit_pull_request(&self.exchange, repository, there, edit).await,
        }
    }

    /// What somebody's review says of the code, of which its delivery does not tell: of his reviews the one that was written
    /// nearest to `at` (RFC 3339). Gitea's and Forgejo's alone.
    pub async fn review_comments(
        &self,
        repository: &str,
        number: u64,
        login: &str,
        at: &str,
    ) -> Result<Vec<ReviewComment>, ForgeError> {
        match self.kind {
            ForgeKind::Gitea => gitea::review_comments(&self.exchange, repository, number, (login, at)).await,
            ForgeKind::Github | ForgeKind::Gitlab => Ok(Vec::new()),
        }
    }

    /// The first comment whose text holds `mark`.
    pub async fn comment_with(
        &self,
        repository: &str,
        thread: Thread,
        mark: &str,
    ) -> Result<Option<Comment>, ForgeError> {
        match self.kind {
            ForgeKind::Github | ForgeKind::Gitea => {
                github::comment_with(&self.exchange, repository, thread, mark).await
            }
            ForgeKind::Gitlab => gitlab::comment_with(&self.exchange, repository, thread, mark).await,
        }
    }

    pub async fn make_comment(&self, repository: &str, thread: Thread, body: &str) -> Result<Comment, ForgeError> {
        match self.kind {
            ForgeKind::Github | ForgeKind::Gitea => {
                github::make_comment(&self.exchange, repository, thread, body).await
            }
            ForgeKind::Gitlab => gitlab::make_comment(&self.exchange, repository, thread, body).await,
        }
    }

    pub async fn edit_comment(
        &self,
        repository: &str,
        thread: Thread,
        comment: u64,
        body: &str,
    ) -> Result<(), ForgeError> {
        match self.kind {
            ForgeKind::Github | ForgeKind::Gitea => {
                github::edit_comment(&self.exchange, repository, comment, body).await
            }
            ForgeKind::Gitlab => gitlab::edit_comment(&self.exchange, repository, thread, comment, body).await,
        }
    }

    /// Puts eyes to it: it was seen. Twice is as once.
    pub async fn react(&self, repository: &str, thread: Thread, to: Target) -> Result<(), ForgeError> {
        match self.kind {
            ForgeKind::Github => github::react(&self.exchange, repository, thread, to).await,
            ForgeKind::Gitlab => gitlab::react(&self.exchange, repository, thread, to).await,
            ForgeKind::Gitea => gitea::react(&self.exchange, repository, thread, to).await,
        }
    }
}

/// What goes with a pull request and is not taken does not undo it; what fails for now is for the caller to try again.
fn left_out<T>(what: &str, came: Result<T, ForgeError>) -> Result<(), ForgeError> {
    match came {
        Ok(_) => Ok(()),
        Err(error) if error.is_lasting() => {
            tracing::warn!(%error, "a pull request is without its {what}");
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// A title that says by `mark` whether it is a draft.
fn titled(title: &str, mark: &str, draft: bool) -> String {
    let bare = title.strip_prefix(mark).unwrap_or(title);
    if draft { format!("{mark}{bare}") } else { bare.to_owned() }
}
