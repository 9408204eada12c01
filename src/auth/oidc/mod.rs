//! Signing in with a browser at the operator's identity provider: OpenID Connect's code flow with PKCE (OpenID Connect
//! Core 1.0, 3.1; RFC 7636; RFC 9700).
//!
//! A login begins with a redirect that carries a state, a nonce and a challenge; what belongs to them goes into a sealed cookie of
//! this browser, so that no replica keeps anything. It ends with a code that is exchanged for an ID token, which is checked like any
//! token here. Start with [`Oidc`].

mod provider;
mod sealed;

pub use provider::OidcSettings;

use super::{
    Groups,
    jwt::{self, Fault},
};
use crate::{
    clock,
    domain::UserId,
    store::{Store, StoreError, accounts::Identity, identities},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use provider::Provider;
use sealed::Seal;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::{fmt, sync::Arc, time::Duration};
use url::Url;

/// How long a login may take.
pub const LOGIN_LASTS: Duration = Duration::from_secs(600);

/// Bytes of a code, a state or an error's name, at most.
const PARAMETER_BYTES_MAX: usize = 4_096;

/// Why nobody is signed in.
#[derive(Debug, thiserror::Error)]
pub enum OidcError {
    /// The provider cannot be asked; the reason is for the log.
    #[error("the identity provider cannot be reached just now")]
    Unavailable(String),
    /// This browser has not begun it, or too long ago.
    #[error("this login was not begun in this browser, or more than ten minutes ago: begin again")]
    NotBegun,
    /// The provider says no.
    #[error("the identity provider refused: {0}")]
    Refused(String),
    /// What it says cannot be believed.
    #[error("the identity provider's answer does not hold: {0}")]
    Distrusted(&'static str),
    #[error("the user is deactivated")]
    Deactivated,
    #[error("you are in no team: an admin makes you a member, or a group of the identity provider")]
    NoTeam,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a browser is sent away with.
#[derive(Clone)]
pub struct Away {
    pub location: Url,
    /// For a cookie that comes back with it.
    pub cookie: String,
}

impl fmt::Debug for Away {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Away").finish_non_exhaustive()
    }
}

/// What a browser comes back with.
#[derive(Clone, Default)]
pub struct Back {
    pub state: Option<String>,
    pub code: Option<String>,
    /// RFC 9207.
    pub issuer: Option<String>,
    pub error: Option<String>,
}

impl fmt::Debug for Back {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Back").field("error", &self.error).finish_non_exhaustive()
    }
}

/// Who has signed in, and where he wanted to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedIn {
    pub user: UserId,
    pub return_to: String,
}

/// A login that is under way, as its cookie holds it.
#[derive(Serialize, Deserialize)]
struct Login {
    state: String,
    nonce: String,
    verifier: String,
    return_to: String,
    /// Seconds since 1970.
    until: i64,
}

/// What an ID token says.
#[derive(Deserialize)]
struct IdClaims {
    sub: String,
    aud: Value,
    azp: Option<String>,
    nonce: Option<String>,
    name: Option<String>,
    preferred_username: Option<String>,
    email: Option<String>,
    email_verified: Option<Value>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

/// The identity provider at which people sign in. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Oidc {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    provider: Provider,
    groups: Groups,
    seal: Seal,
}

impl Oidc {
    /// `secret` is the same on all replicas.
    pub fn new(store: Store, settings: OidcSettings, groups: Groups, secret: &[u8; 32]) -> Self {
        let (provider, seal) = (Provider::new(settings), Seal::new(secret));
        Self { inner: Arc::new(Inner { store, provider, groups, seal }) }
    }

    /// Sends a browser to the provider. `return_to` is a path of our own, which the caller has checked.
    pub async fn begin(&self, return_to: &str) -> Result<Away, OidcError> {
        let random = || URL_SAFE_NO_PAD.encode(clock::random_bytes::<32>());
        let login = Login {
            state: random(),
            nonce: random(),
            verifier: random(),
            return_to: return_to.to_owned(),
            until: clock::now().0.unix_timestamp() + LOGIN_LASTS.as_secs() as i64,
        };
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(login.verifier.as_bytes()));
        let location = self.inner.provider.authorization(&login.state, &login.nonce, &challenge).await?;
        let text = serde_json::to_vec(&login).map_err(|error| OidcError::Unavailable(error.to_string()))?;
        Ok(Away { location, cookie: self.inner.seal.seal(&text) })
    }

    /// Signs in whom the provider sends back with what `cookie` has kept: makes him known, and his memberships follow his
    /// groups.
    pub async fn finish(&self, cookie: Option<&str>, back: &Back) -> Result<SignedIn, OidcError> {
        let login: Login = cookie
            .and_then(|cookie| self.inner.seal.open(cookie))
            .and_then(|text| serde_json::from_slice(&text).ok())
            .ok_or(OidcError::NotBegun)?;
        let same = |given: &String| super::mac::equal(given.as_bytes(), login.state.as_bytes());
        if login.until < clock::now().0.unix_timestamp() || !back.state.as_ref().is_some_and(same) {
            return Err(OidcError::NotBegun);
        }
        let provider = &self.inner.provider;
        if back.issuer.as_ref().is_some_and(|issuer| issuer != provider.issuer()) {
            return Err(OidcError::Distrusted("it comes from another issuer"));
        }
        if let Some(error) = &back.error {
            return Err(OidcError::Refused(word(error)));
        }
        let code = back.code.as_deref().filter(|code| !code.is_empty() && code.len() <= PARAMETER_BYTES_MAX);
        let code = code.ok_or(OidcError::Distrusted("it holds no code"))?;
        let token = provider.exchange(code, &login.verifier).await?;
        let claims: IdClaims = provider.verifier().await?.read(&token).await.map_err(|fault| match fault {
            Fault::Refused(why) => OidcError::Distrusted(why),
            Fault::NoKeySet => OidcError::Unavailable("its key set cannot be read".to_owned()),
        })?;
        let user = self.sign_in(&claims, &login).await?;
        Ok(SignedIn { user, return_to: login.return_to })
    }

    async fn sign_in(&self, claims: &IdClaims, login: &Login) -> Result<UserId, OidcError> {
        let provider = &self.inner.provider;
        if claims.nonce.as_deref() != Some(login.nonce.as_str()) {
            return Err(OidcError::Distrusted("its nonce is of another login"));
        }
        // OpenID Connect Core 1.0, 3.1.3.7: of several audiences one is whom it was issued to.
        let several = claims.aud.as_array().is_some_and(|all| all.len() > 1);
        let to_us = claims.azp.as_deref().map_or(!several, |azp| azp == provider.client_id());
        if !to_us {
            return Err(OidcError::Distrusted("it was issued to another client"));
        }
        // An address that nobody has checked is not his.
        let verified = match &claims.email_verified {
            Some(Value::Bool(verified)) => *verified,
            Some(Value::String(word)) => word == "true",
            _ => true,
        };
        let email = claims.email.as_deref().filter(|email| verified && jwt::is_name(email));
        let names = [claims.name.as_deref(), claims.preferred_username.as_deref(), email];
        let name = names.into_iter().flatten().find(|name| jwt::is_name(name)).unwrap_or(&claims.sub);
        if !jwt::is_name(&claims.sub) {
            return Err(OidcError::Distrusted("its sub is empty, too long or has control characters"));
        }
        let identity = Identity { issuer: provider.issuer(), subject: &claims.sub, name, email };
        let user = identities::see(&self.inner.store, clock::new_id(), identity).await?;
        if user.deactivated {
            return Err(OidcError::Deactivated);
        }
        let teams = self.inner.groups.follow(&self.inner.store, user.id, &claims.others).await?;
        if teams.is_empty() { Err(OidcError::NoTeam) } else { Ok(user.id) }
    }
}

/// An error's name as the provider gives it (RFC 6749, 4.1.2.1), and nothing else that a link may have put there.
fn word(error: &str) -> String {
    let plain = !error.is_empty() && error.len() <= 64 && error.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if plain { error.to_owned() } else { "an error".to_owned() }
}
