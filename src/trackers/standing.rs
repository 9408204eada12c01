//! Who somebody is at a forge: whether he may write to the repository that an issue is about. Asked live, remembered for a
//! minute; what cannot be found out is no leave.

use super::{
    client::TrackerClient,
    delivery::{Issue, Person},
    forge::{self, ForgeAccess, ForgeError, ForgeKind, Standing},
    tokens::{Purpose, TokenOf, Tokens},
};
use crate::{
    domain::{IntegrationId, integration::GithubApp, linked_account::Provider},
    secrets::Secret,
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// How long an answer is believed.
const FRESH: Duration = Duration::from_secs(60);
const REMEMBERED_MAX: usize = 10_000;

/// Why it could not be found out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The same question may be answered later.
    #[error("{0}")]
    Later(String),
    /// It will not, before somebody changes something.
    #[error("{0}")]
    Never(String),
}

impl From<ForgeError> for AskError {
    fn from(error: ForgeError) -> Self {
        if error.is_lasting() { Self::Never(error.to_string()) } else { Self::Later(error.to_string()) }
    }
}

/// A forge, as an integration says it.
#[derive(Clone, Copy, Debug)]
pub struct Forge<'a> {
    pub integration: IntegrationId,
    pub tracker: Provider,
    pub base_url: Option<&'a str>,
    pub app: Option<&'a GithubApp>,
    /// The token, or the App's private key.
    pub token: &'a Secret,
}

type Known = HashMap<(IntegrationId, String, String), (Instant, Standing)>;

/// Asks forges, and remembers for a while what they said. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Standings {
    client: TrackerClient,
    tokens: Tokens,
    known: Arc<Mutex<Known>>,
}

impl Standings {
    pub fn new(client: TrackerClient, tokens: Tokens) -> Self {
        Self { client, tokens, known: Arc::default() }
    }

    /// Whether `person` may write to the repository of `issue`.
    pub async fn ask(&self, forge: Forge<'_>, issue: &Issue, person: &Person) -> Result<Standing, AskError> {
        let Some(repository) = issue.repository.as_ref().map(|repository| repository.name.as_str()) else {
            return Err(AskError::Never("this tracker has no repository to ask about".to_owned()));
        };
        let key = (forge.integration, repository.to_lowercase(), identity(forge.tracker, person).to_lowercase());
        if let Some(standing) = self.remembered(&key) {
            return Ok(standing);
        }
        let standing = self.look_up(forge, repository, person).await?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED_MAX {
            known.retain(|_, (at, _)| at.elapsed() < FRESH);
        }
        if known.len() < REMEMBERED_MAX {
            known.insert(key, (Instant::now(), standing.clone()));
        }
        Ok(standing)
    }

    fn remembered(&self, key: &(IntegrationId, String, String)) -> Option<Standing> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(key).filter(|(at, _)| at.elapsed() < FRESH).map(|(_, standing)| standing.clone())
    }

    async fn look_up(&self, forge: Forge<'_>, repository: &str, person: &Person) -> Result<Standing, AskError> {
        let Forge { integration, tracker, base_url, app, token } = forge;
        let never = || AskError::Never("this tracker is not asked who may: see allowed_users".to_owned());
        let kind = ForgeKind::parse(tracker.as_str()).ok_or_else(never)?;
        let of = TokenOf { integration, base_url, app, secret: token };
        let token = self.tokens.of(of, Purpose::Permissions, Some(repository)).await?;
        let forge = forge::Forge::new(ForgeAccess::new(kind, base_url, token)?, self.client.clone());
        Ok(forge.standing_of(repository, identity(tracker, person)).await?)
    }
}

/// What a forge knows somebody by: a login, or his account's id, beside which GitLab says nothing of an issue's author.
fn identity(tracker: Provider, person: &Person) -> &str {
    match tracker {
        Provider::Gitlab if !person.id.is_empty() => &person.id,
        _ => &person.login,
    }
}
