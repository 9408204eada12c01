//! What lets the service into a tracker: an integration's token as it is, or, where the integration is a GitHub App's, one that
//! GitHub gives it for an hour.
//!
//! An App signs for itself with its private key, and is given tokens of one installation, of one repository where that is known
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
    time::Duration,
};

/// A token that ends sooner than this is asked for anew.
const SPARE: Duration = Duration::from_secs(300);
/// How long an App's own signature holds; GitHub takes ten minutes at most.
const SIGNED_SECONDS: i64 = 540;
/// Clocks differ.
const SKEW_SECONDS: i64 = 60;
const KEPT_MAX: usize = 10_000;

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

/// What a token was given for: where, to whom by which key, for which repository.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct GivenFor {
    integration: IntegrationId,
    base_url: Option<String>,
    app: GithubApp,
    key_hash: [u8; 32],
    repository: Option<String>,
}

type Kept = HashMap<GivenFor, InstallationToken>;

/// Gives tokens, and keeps those that still hold. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tokens {
    client: TrackerClient,
    kept: Arc<Mutex<Kept>>,
}

#[derive(Serialize)]
struct Claims<'a> {
    iat: i64,
    exp: i64,
    iss: &'a str,
}

impl Tokens {
    pub fn new(client: TrackerClient) -> Self {
        Self { client, kept: Arc::default() }
    }

    /// What an integration's tracker is asked with; for one repository (`owner/name`) alone where the tracker can tell.
    pub async fn of(&self, of: TokenOf<'_>, repository: Option<&str>) -> Result<Secret, ForgeError> {
        let Some(app) = of.app else { return Ok(of.secret.clone()) };
        let key = GivenFor {
            integration: of.integration,
            base_url: of.base_url.map(str::to_owned),
            app: app.clone(),
            key_hash: Sha256::digest(of.secret.expose()).into(),
            repository: repository.and_then(|path| path.rsplit('/').next()).map(str::to_owned),
        };
        if let Some(token) = self.kept(&key) {
            return Ok(token);
        }
        let signed = signed(app, of.secret)?;
        let access = ForgeAccess::new(ForgeKind::Github, of.base_url, signed)?;
        let forge = Forge::new(access, self.client.clone());
        let given = forge.installation_token(&app.installation_id, key.repository.as_deref()).await?;
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
