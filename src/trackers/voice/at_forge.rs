//! Answers at a forge: its own comments and reactions, the mark hidden in the text.

use super::{Place, Spot};
use crate::{
    domain::linked_account::Provider,
    secrets::Secret,
    trackers::{
        client::TrackerClient,
        forge::{Forge, ForgeAccess, ForgeError, ForgeKind, ReviewComment, Target, Thread},
        mark,
    },
};
use uuid::Uuid;

#[derive(Clone, Debug)]
pub(super) struct AtForge {
    forge: Forge,
}

impl AtForge {
    pub(super) fn new(
        tracker: Provider,
        base_url: Option<&str>,
        token: Secret,
        client: TrackerClient,
    ) -> Result<Self, ForgeError> {
        let none = || ForgeError::Unreadable(format!("{} is no forge", tracker.as_str()));
        let kind = ForgeKind::parse(tracker.as_str()).ok_or_else(none)?;
        Ok(Self { forge: Forge::new(ForgeAccess::new(kind, base_url, token)?, client) })
    }

    pub(super) async fn review(&self, place: &Place, login: &str, at: &str) -> Result<Vec<ReviewComment>, ForgeError> {
        match thread(place)? {
            (repository, Thread::PullRequest(number)) => {
                self.forge.review_comments(repository, number, login, at).await
            }
            (_, Thread::Issue(_)) => Ok(Vec::new()),
        }
    }

    pub(super) async fn find(&self, place: &Place, mark: Uuid) -> Result<Option<String>, ForgeError> {
        let (repository, thread) = thread(place)?;
        let found = self.forge.comment_with(repository, thread, &mark::hidden(mark)).await?;
        Ok(found.map(|comment| comment.id.to_string()))
    }

    pub(super) async fn say(&self, place: &Place, mark: Uuid, text: &str) -> Result<String, ForgeError> {
        let (repository, thread) = thread(place)?;
        let made = self.forge.make_comment(repository, thread, &marked(mark, text)).await?;
        Ok(made.id.to_string())
    }

    pub(super) async fn edit(&self, place: &Place, comment: &str, mark: Uuid, text: &str) -> Result<(), ForgeError> {
        let (repository, thread) = thread(place)?;
        self.forge.edit_comment(repository, thread, id(comment)?, &marked(mark, text)).await
    }

    pub(super) async fn react(&self, place: &Place, spot: &Spot) -> Result<(), ForgeError> {
        let (repository, thread) = thread(place)?;
        let target = match spot {
            Spot::Issue => Target::Opening,
            Spot::Comment(comment) => Target::Comment(id(comment)?),
            Spot::ReviewComment(comment) => Target::ReviewComment(id(comment)?),
            Spot::Session { .. } => return Ok(()),
        };
        self.forge.react(repository, thread, target).await
    }
}

fn marked(mark: Uuid, text: &str) -> String {
    format!("{}\n{text}", mark::hidden(mark))
}

/// The repository and the number in `owner/name#12` or `group/project!3`.
fn thread(place: &Place) -> Result<(&str, Thread), ForgeError> {
    let unreadable = || ForgeError::Unreadable(format!("{} names no issue of a repository", place.issue));
    let at = place.issue.rfind(['#', '!']).ok_or_else(unreadable)?;
    let (repository, number) = place.issue.split_at(at);
    let is_pull_request = place.is_pull_request || number.starts_with('!');
    let number = number[1..].parse().map_err(|_| unreadable())?;
    Ok((repository, if is_pull_request { Thread::PullRequest(number) } else { Thread::Issue(number) }))
}

/// A review as a whole has an id of this service's own at Gitea, and nothing there can be reacted to.
fn id(comment: &str) -> Result<u64, ForgeError> {
    comment.parse().map_err(|_| ForgeError::Unreadable(format!("{comment} is no id of a comment")))
}
