//! The service's answers at an issue tracker: comments that it makes and edits, and a sign that it has seen something.
//!
//! A comment is made with a mark, by which it is found again: who does not know whether it was made looks first. What is said is
//! Markdown, whatever the tracker's own markup. One file for each tracker that is no [forge](super::forge), after its vendor's
//! published API. Start with [`Voice`].

mod at_forge;
mod jira;
mod linear;
mod unfolded;
pub mod wiki;

use super::{
    client::TrackerClient,
    delivery::Issue,
    forge::{ForgeError, ReviewComment},
};
use crate::{domain::linked_account::Provider, secrets::Secret};
use at_forge::AtForge;
use jira::Jira;
use linear::Linear;
use uuid::Uuid;

pub use crate::domain::integration::{Place, Spot};

/// A tracker with what lets the service speak there. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Voice {
    tracker: Tracker,
}

#[derive(Clone, Debug)]
enum Tracker {
    Forge(AtForge),
    Jira(Jira),
    Linear(Linear),
}

/// What an agent session comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEnd {
    Done,
    Failed,
    /// People are asked something.
    Asks,
}

impl Voice {
    /// `base_url` is where the tracker is for people, or its API; Gitea and Jira have no usual one. Of Jira `token` is
    /// `address:api-token` (Cloud) or a personal access token (Data Center), of Linear an API key or an OAuth token.
    pub fn new(
        tracker: Provider,
        base_url: Option<&str>,
        token: Secret,
        client: TrackerClient,
    ) -> Result<Self, ForgeError> {
        let tracker = match tracker {
            Provider::Github | Provider::Gitlab | Provider::Gitea => {
                Tracker::Forge(AtForge::new(tracker, base_url, token, client)?)
            }
            Provider::Jira => Tracker::Jira(Jira::new(base_url, &token, client)?),
            Provider::Linear => Tracker::Linear(Linear::new(base_url, &token, client)?),
        };
        Ok(Self { tracker })
    }

    /// What an issue says and who wrote it, where deliveries about its comments are without that (Jira, Linear); none elsewhere.
    pub async fn issue(&self, place: &Place) -> Result<Option<Issue>, ForgeError> {
        match &self.tracker {
            Tracker::Forge(_) => Ok(None),
            Tracker::Jira(jira) => jira.issue(place).await.map(Some),
            Tracker::Linear(linear) => linear.issue(place).await.map(Some),
        }
    }

    /// What somebody's review says of the code, where its delivery is without that (Gitea); see [`super::forge::Forge::review_comments`].
    pub async fn review(&self, place: &Place, login: &str, at: &str) -> Result<Vec<ReviewComment>, ForgeError> {
        match &self.tracker {
            Tracker::Forge(forge) => forge.review(place, login, at).await,
            Tracker::Jira(_) | Tracker::Linear(_) => Ok(Vec::new()),
        }
    }

    /// The id of the comment that was made with this mark, where there is one among a thousand.
    pub async fn find(&self, place: &Place, mark: Uuid) -> Result<Option<String>, ForgeError> {
        match &self.tracker {
            Tracker::Forge(forge) => forge.find(place, mark).await,
            Tracker::Jira(jira) => jira.find(place, mark).await,
            Tracker::Linear(linear) => linear.find(mark).await,
        }
    }

    /// Makes a comment; its id. `text` is Markdown, of at most 30,000 characters (Jira takes 32,767). One whose answer is lost
    /// may have been made. A mark is for one comment: where somebody has deleted it, Linear takes another with another mark alone.
    pub async fn say(&self, place: &Place, mark: Uuid, text: &str) -> Result<String, ForgeError> {
        match &self.tracker {
            Tracker::Forge(forge) => forge.say(place, mark, text).await,
            Tracker::Jira(jira) => jira.say(place, mark, text).await,
            Tracker::Linear(linear) => linear.say(place, mark, text).await,
        }
    }

    /// Gives a comment another text. Of one that somebody has deleted: [`ForgeError::Rejected`] with 404.
    pub async fn edit(&self, place: &Place, comment: &str, mark: Uuid, text: &str) -> Result<(), ForgeError> {
        match &self.tracker {
            Tracker::Forge(forge) => forge.edit(place, comment, mark, text).await,
            Tracker::Jira(jira) => jira.edit(place, comment, mark, text).await,
            Tracker::Linear(linear) => linear.edit(comment, text).await,
        }
    }

    /// Tells an agent session what it came to, once by `once`; nothing where the tracker knows none (all but Linear).
    pub async fn conclude(&self, session: &str, once: &str, end: SessionEnd, text: &str) -> Result<(), ForgeError> {
        match &self.tracker {
            Tracker::Forge(_) | Tracker::Jira(_) => Ok(()),
            Tracker::Linear(linear) => linear.conclude(session, once, end, text).await,
        }
    }

    /// Shows that it was seen (eyes). Doing it twice is no error. Nothing where the tracker has no reactions (Jira).
    pub async fn react(&self, place: &Place, spot: &Spot) -> Result<(), ForgeError> {
        match &self.tracker {
            Tracker::Forge(forge) => forge.react(place, spot).await,
            Tracker::Jira(_) => Ok(()),
            Tracker::Linear(linear) => linear.react(place, spot).await,
        }
    }
}
