//! What lets the service into a tracker: an integration's token as it is, or, where the integration is a GitHub App's, one that
//! GitHub gives it for an hour.
//!
//! An App signs for itself with its private key, and is given tokens of one installation, of one repository where that is known,
//! and with the permissions that what it is for needs
//! (docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app).

use super::{
    client::TrackerClient,
    forge::{Forge, ForgeAccess, ForgeError, ForgeKind},
};
use crate::{
    clock,
    domain::{IntegrationId, Timestamp, integration::GithubApp},
    secrets::Secret,
};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// A token that ends sooner than this is asked for anew.
const SPARE: Duration = Duration::from_secs(300);
/// How long an App's own signature holds; GitHub takes ten minutes at most.
const SIGNED_SECONDS: i64 = 540;
/// Clocks differ.
const SKEW_SECONDS: i64 = 60;
const KEPT_MAX: usize = 10_000;
/// How long it is believed that an installation is not let into a repository.
const REFUSED_FRESH: Duration = Duration::from_secs(60);

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Reading and pushing by git.
    Git,
    /// Pull requests, with their labels and reviewers.
    PullRequests,
    /// Comments and reactions.
    Comments,
    /// Asking who may.
    Permissions,
}

impl Purpose {
    /// Permissions of a token, the best first (docs.github.com/rest/authentication/permissions-required-for-github-apps). An App
    /// that has not all of them itself is given none of them: the next is asked for.
    fn permissions(self) -> &'static [&'static [(&'static str, &'static str)]] {
        match self {
            // A workflow file that people have approved is pushed as well.
            Self::Git => &[&[("contents", "write"), ("workflows", "write")], &[("contents", "write")]],
            // Whether it is a draft is told by who may write contents.
            Self::PullRequests => &[&[("contents", "write"), ("issues", "write"), ("pull_requests", "write")]],
            Self::Comments => &[&[("issues", "write"), ("pull_requests", "write")]],
            Self::Permissions => &[&[("metadata", "read")]],
        }
    }
}

/// An integration, as tokens are asked for.
#[derive(Clone, Copy, Debug)]
pub struct TokenOf<'a> {
    pub integration: IntegrationId,
    pub base_url: Option<&'a str>,
    pub app: Option<&'a GithubApp>,
    /// The token, or the App's private key.
    pub secret: &'a Secret,
}

/// A token of an installation.
#[derive(Clone, Debug)]
pub struct InstallationToken {
    pub token: Secret,
    pub until: Timestamp,
}

/// What a token was given for: where, to whom by which key, for which repository and what for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct GivenFor {
    integration: IntegrationId,
    base_url: Option<String>,
    app: GithubApp,
    key_hash: [u8; 32],
    repository: Option<String>,
    purpose: Purpose,
}

type Kept = HashMap<GivenFor, InstallationToken>;
type NotLet = HashMap<GivenFor, (Instant, u16, String)>;

/// Gives tokens, and keeps those that still hold. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tokens {
    client: TrackerClient,
    kept: Arc<Mutex<Kept>>,
    not_let: Arc<Mutex<NotLet>>,
}

#[derive(Serialize)]
struct Claims<'a> {
    iat: i64,
    exp: i64,
    iss: &'a str,
}

impl Tokens {
    pub fn new(client: TrackerClient) -> Self {
        Self { client, kept: Arc::default(), not_let: Arc::default() }
    }

    /// What an integration's tracker is asked with; for one repository (`owner/name`) and one purpose alone where the tracker can
    /// tell. [`ForgeError::Rejected`] with 404 or 422: the App is not let into the repository.
    pub async fn of(&self, of: TokenOf<'_>, purpose: Purpose, repository: Option<&str>) -> Result<Secret, ForgeError> {
        let Some(app) = of.app else { return Ok(of.secret.clone()) };
        let key = GivenFor {
            integration: of.integration,
            base_url: of.base_url.map(str::to_owned),
            app: app.clone(),
            key_hash: Sha256::digest(of.secret.expose()).into(),
            repository: repository.map(str::to_lowercase),
            purpose,
        };
        if let Some(token) = self.kept(&key) {
            return Ok(token);
        }
        if let Some((status, reason)) = self.not_let(&key) {
            return Err(ForgeError::Rejected { status, reason });
        }
        let signed = signed(app, of.secret)?;
        let access = ForgeAccess::new(ForgeKind::Github, of.base_url, signed)?;
        let forge = Forge::new(access, self.client.clone());
        let given = match given(&forge, app, &key).await {
            Ok(given) => given,
            Err(ForgeError::Rejected { status: status @ (404 | 422), reason }) => {
                self.note_not_let(key, status, &reason);
                return Err(ForgeError::Rejected { status, reason });
            }
            Err(error) => return Err(error),
        };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_MAX {
            kept.retain(|_, token| holds(token));
        }
        if kept.len() < KEPT_MAX {
            kept.insert(key, given.clone());
        }
        Ok(given.token)
    }

    fn kept(&self, key: &GivenFor) -> Option<Secret> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(key).filter(|token| holds(token)).map(|token| token.token.clone())
    }

    fn not_let(&self, key: &GivenFor) -> Option<(u16, String)> {
        let not_let = self.not_let.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, status, reason) = not_let.get(key).filter(|(at, ..)| at.elapsed() < REFUSED_FRESH)?;
        Some((*status, reason.clone()))
    }

    fn note_not_let(&self, key: GivenFor, status: u16, reason: &str) {
        let mut not_let = self.not_let.lock().unwrap_or_else(PoisonError::into_inner);
        not_let.retain(|_, (at, ..)| at.elapsed() < REFUSED_FRESH);
        if not_let.len() < KEPT_MAX {
            not_let.insert(key, (clock::monotonic(), status, reason.to_owned()));
        }
    }
}

/// A token with as few permissions as the App lets one have.
async fn given(forge: &Forge, app: &GithubApp, key: &GivenFor) -> Result<InstallationToken, ForgeError> {
    let repository = key.repository.as_deref();
    for permissions in key.purpose.permissions() {
        match forge.installation_token(&app.installation_id, repository, permissions).await {
            // It has not all of these, or no such repository.
            Err(ForgeError::Rejected { status: 422, .. }) => {}
            answer => return answer,
        }
    }
    forge.installation_token(&app.installation_id, repository, &[]).await
}

fn holds(token: &InstallationToken) -> bool {
    token.until.0 - SPARE > clock::now().0
}

/// Whether this is a private key that an App signs with: RSA, as PEM.
pub fn is_app_key(secret: &Secret) -> bool {
    EncodingKey::from_rsa_pem(secret.expose().as_bytes()).is_ok()
}

/// The App's word that it is itself.
fn signed(app: &GithubApp, key: &Secret) -> Result<Secret, ForgeError> {
    let unusable = |_| ForgeError::Refused { status: 401, reason: "the App's private key cannot be used".to_owned() };
    let key = EncodingKey::from_rsa_pem(key.expose().as_bytes()).map_err(unusable)?;
    let now = clock::now().0.unix_timestamp();
    let claims = Claims { iat: now - SKEW_SECONDS, exp: now + SIGNED_SECONDS, iss: &app.app_id };
    jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &key).map(Secret::new).map_err(unusable)
}
