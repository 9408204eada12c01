//! From the `Authorization` header to a principal, with a short memory so that not every request
//! asks the database.

use super::{
    jwt::{self, Claims, JwtSettings},
    keys,
};
use crate::{
    clock,
    domain::{ApiKeyId, Principal, UserId},
    store::{Store, StoreError, accounts, api_keys},
};
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// How long a resolved credential is believed without asking again; so long may a key that
/// another replica revoked live on.
const CACHE_TTL: Duration = Duration::from_secs(5);

/// Credentials remembered, at most.
const CACHE_ENTRIES_MAX: usize = 10_000;

#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    #[error("send Authorization: Bearer and an API key or a JWT")]
    Missing,
    #[error("{0}")]
    Refused(Refusal),
    #[error("the token's team is not known here")]
    UnknownTeam,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a credential is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal(&'static str);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Resolves credentials. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Authenticator {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    jwt: Option<JwtSettings>,
    /// By SHA-256 of the credential.
    cache: Mutex<HashMap<[u8; 32], Cached>>,
}

#[derive(Debug)]
struct Cached {
    principal: Arc<Principal>,
    until: Instant,
}

impl Authenticator {
    pub fn new(store: Store, jwt: Option<JwtSettings>) -> Self {
        Self { inner: Arc::new(Inner { store, jwt, cache: Mutex::default() }) }
    }

    /// The principal of an `Authorization` header's value.
    pub async fn authenticate(&self, authorization: Option<&str>) -> Result<Arc<Principal>, AuthError> {
        let header = authorization.ok_or(AuthError::Missing)?;
        let (scheme, token) = header.split_once(' ').ok_or(AuthError::Missing)?;
        let token = token.trim();
        if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() {
            return Err(AuthError::Missing);
        }
        let hash = keys::hash(token);
        if let Some(principal) = self.remembered(&hash) {
            return Ok(principal);
        }
        let (principal, lives) = match &self.inner.jwt {
            Some(settings) if looks_like_jwt(token) => self.by_jwt(settings, token).await?,
            _ => self.by_key(&hash).await?,
        };
        let principal = Arc::new(principal);
        self.remember(hash, Arc::clone(&principal), lives);
        Ok(principal)
    }

    /// Forgets a key at once: it was revoked or changed here.
    pub fn forget_key(&self, id: ApiKeyId) {
        self.cache().retain(|_, cached| cached.principal.api_key != Some(id));
    }

    /// Forgets all that was remembered of a user: his role was changed here.
    pub fn forget_user(&self, id: UserId) {
        self.cache().retain(|_, cached| cached.principal.user != id);
    }

    async fn by_key(&self, hash: &[u8; 32]) -> Result<(Principal, Duration), AuthError> {
        let found = api_keys::resolve(&self.inner.store, hash).await?;
        let found = found.ok_or(AuthError::Refused(Refusal("the API key is unknown, revoked or expired")))?;
        Ok((found.principal, found.expires_in.unwrap_or(CACHE_TTL)))
    }

    async fn by_jwt(&self, settings: &JwtSettings, token: &str) -> Result<(Principal, Duration), AuthError> {
        let claims = jwt::verify(settings, token).map_err(|why| AuthError::Refused(Refusal(why)))?;
        let store = &self.inner.store;
        let team = match accounts::team_by_name(store, &claims.team).await? {
            Some(team) => team,
            None if settings.new_teams => accounts::ensure_team(store, clock::new_id(), &claims.team).await?,
            None => return Err(AuthError::UnknownTeam),
        };
        let name = display_name(&claims);
        let identity = accounts::Identity {
            issuer: claims.iss.as_deref().unwrap_or("jwt"),
            subject: &claims.sub,
            name,
            email: claims.email.as_deref(),
        };
        let user = accounts::ensure_user(store, clock::new_id(), identity).await?;
        accounts::ensure_member(store, team, user, claims.role).await?;
        let left = claims.exp.saturating_sub(clock::now().0.unix_timestamp()).max(0);
        let principal = Principal {
            team,
            team_name: claims.team.clone(),
            user,
            user_name: name.to_owned(),
            email: claims.email.clone(),
            // The token's role holds for the request, whatever the member's row says.
            role: claims.role,
            scopes: None,
            api_key: None,
        };
        Ok((principal, Duration::from_secs(left.unsigned_abs())))
    }

    fn remembered(&self, hash: &[u8; 32]) -> Option<Arc<Principal>> {
        let cache = self.cache();
        let cached = cache.get(hash)?;
        (cached.until > Instant::now()).then(|| Arc::clone(&cached.principal))
    }

    fn remember(&self, hash: [u8; 32], principal: Arc<Principal>, lives: Duration) {
        let now = Instant::now();
        let mut cache = self.cache();
        if cache.len() >= CACHE_ENTRIES_MAX {
            cache.retain(|_, cached| cached.until > now);
            if cache.len() >= CACHE_ENTRIES_MAX {
                cache.clear();
            }
        }
        cache.insert(hash, Cached { principal, until: now + lives.min(CACHE_TTL) });
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 32], Cached>> {
        self.inner.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A JSON object in base64url begins with `eyJ`; no key of ours does.
fn looks_like_jwt(token: &str) -> bool {
    token.starts_with("eyJ") && token.bytes().filter(|byte| *byte == b'.').count() == 2
}

fn display_name(claims: &Claims) -> &str {
    claims.name.as_deref().or(claims.email.as_deref()).unwrap_or(&claims.sub)
}
