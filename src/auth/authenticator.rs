//! From a credential to a principal, with a short memory so that not every request asks the database.

use super::{
    jwt::{self, JwtSettings},
    keys,
    sessions::Sessions,
};
use crate::{
    domain::{Principal, TeamId},
    store::{Store, StoreError, api_keys, endings::Ending},
};
use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{sync::broadcast, time::Instant};

/// How long a resolved credential is believed without asking again; so long at most may a key that
/// another replica revoked live on, and a second where this one hears of it.
const CACHE_TTL: Duration = Duration::from_secs(5);

/// Credentials remembered, at most.
const CACHE_ENTRIES_MAX: usize = 10_000;

/// Endings that a slow stream may have before it; one that is further behind looks again all the same.
const ENDINGS_WAITING_MAX: usize = 256;

#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    #[error("send Authorization: Bearer and an API key or a JWT")]
    Missing,
    #[error("{0}")]
    Refused(Refusal),
    #[error("the token's team is not known here")]
    UnknownTeam,
    #[error("you are in no such team as the header Journeyman-Team names")]
    NotInTeam,
    #[error("you are in no team: an admin makes you a member, or a group of the identity provider")]
    NoTeam,
    #[error("an admin has removed you from this team: only an admin can bring you back")]
    Removed,
    #[error("the key set that tokens are verified with cannot be read just now")]
    NoKeySet,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a credential is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal(pub(super) &'static str);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// The team that a caller who is in several chooses, by id or name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TeamChoice {
    pub name: String,
    /// Whether he is refused where he is not in it; a cookie may be older than that.
    pub strict: bool,
}

impl TeamChoice {
    fn names(&self, principal: &Principal) -> bool {
        self.is(principal.team, &principal.team_name)
    }

    pub(super) fn is(&self, team: TeamId, name: &str) -> bool {
        self.name == name || self.name.parse() == Ok(team)
    }
}

/// What a request brings to say who calls.
#[derive(Clone)]
pub struct Credential {
    kind: Kind,
    team: Option<Arc<TeamChoice>>,
}

#[derive(Clone)]
enum Kind {
    None,
    /// An `Authorization` header's value.
    Header(Arc<str>),
    /// A session cookie's value.
    Session(Arc<str>),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("team", &self.team).finish_non_exhaustive()
    }
}

impl Credential {
    /// An `Authorization` header's value, or nothing.
    pub fn bearer(authorization: Option<&str>, team: Option<TeamChoice>) -> Self {
        let kind = authorization.map_or(Kind::None, |header| Kind::Header(header.into()));
        Self { kind, team: team.map(Arc::new) }
    }

    /// A session cookie's value.
    pub fn session(cookie: &str, team: Option<TeamChoice>) -> Self {
        Self { kind: Kind::Session(cookie.into()), team: team.map(Arc::new) }
    }

    /// What tells it apart from all others, without being it.
    fn remembered_as(&self, token: &str, session: bool) -> [u8; 32] {
        let mut text = String::with_capacity(token.len() + 40);
        text.push_str(if session { "session" } else { "bearer" });
        text.push('\n');
        text.push_str(token);
        if let Some(team) = &self.team {
            text.push('\n');
            text.push_str(if team.strict { "must" } else { "may" });
            text.push('\n');
            text.push_str(&team.name);
        }
        keys::hash(&text)
    }
}

/// The token of a header's value.
fn bearer(header: &str) -> Result<&str, AuthError> {
    let (scheme, token) = header.split_once(' ').ok_or(AuthError::Missing)?;
    let token = token.trim();
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() {
        return Err(AuthError::Missing);
    }
    Ok(token)
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
    sessions: Option<Sessions>,
    /// By SHA-256 of the credential.
    cache: Mutex<HashMap<[u8; 32], Cached>>,
    /// How much has ended: what was looked up before the last ending is not remembered after it.
    ended: AtomicU64,
    endings: broadcast::Sender<Ending>,
}

#[derive(Debug)]
struct Cached {
    principal: Arc<Principal>,
    until: Instant,
}

impl Authenticator {
    pub fn new(store: Store, jwt: Option<JwtSettings>) -> Self {
        Self::with_sessions(store, jwt, None)
    }

    /// One that takes the cookies of browser sessions too.
    pub fn with_sessions(store: Store, jwt: Option<JwtSettings>, sessions: Option<Sessions>) -> Self {
        let endings = broadcast::Sender::new(ENDINGS_WAITING_MAX);
        let (cache, ended) = (Mutex::default(), AtomicU64::new(0));
        Self { inner: Arc::new(Inner { store, jwt, sessions, cache, ended, endings }) }
    }

    /// The principal of an `Authorization` header's value.
    pub async fn authenticate(&self, authorization: Option<&str>) -> Result<Arc<Principal>, AuthError> {
        self.principal(&Credential::bearer(authorization, None)).await
    }

    /// The principal of what a request brings.
    pub async fn principal(&self, credential: &Credential) -> Result<Arc<Principal>, AuthError> {
        let (token, session) = match &credential.kind {
            Kind::None => return Err(AuthError::Missing),
            Kind::Header(header) => (bearer(header)?, false),
            Kind::Session(cookie) => (&**cookie, true),
        };
        if token.len() > jwt::TOKEN_BYTES_MAX {
            return Err(AuthError::Refused(Refusal("the credential is longer than 16 KiB")));
        }
        let hash = keys::hash(token);
        let team = credential.team.as_deref();
        let remembered = credential.remembered_as(token, session);
        if let Some(principal) = self.remembered(&remembered) {
            return Ok(principal);
        }
        let ended = self.inner.ended.load(Ordering::Acquire);
        let (principal, lives) = match (&self.inner.sessions, &self.inner.jwt) {
            (Some(sessions), _) if session => self.by_session(sessions, &hash, team).await?,
            (None, _) if session => return Err(AuthError::Missing),
            (_, Some(settings)) if looks_like_jwt(token) => self.by_jwt(settings, token, team).await?,
            _ => self.by_key(&hash).await?,
        };
        if team.is_some_and(|team| team.strict && !team.names(&principal)) {
            return Err(AuthError::NotInTeam);
        }
        let principal = Arc::new(principal);
        self.remember(remembered, Arc::clone(&principal), lives, ended);
        Ok(principal)
    }

    pub(super) fn sessions(&self) -> Option<&Sessions> {
        self.inner.sessions.as_ref()
    }

    /// Forgets at once what no longer holds, and tells those whose streams are open.
    pub fn end(&self, ending: Ending) {
        self.inner.ended.fetch_add(1, Ordering::AcqRel);
        self.cache().retain(|_, cached| !ending.concerns(&cached.principal));
        // Nobody may be listening.
        let _ = self.inner.endings.send(ending);
    }

    /// What ends from now on, wherever it is heard of.
    pub fn endings(&self) -> broadcast::Receiver<Ending> {
        self.inner.endings.subscribe()
    }

    pub(super) fn store(&self) -> &Store {
        &self.inner.store
    }

    async fn by_key(&self, hash: &[u8; 32]) -> Result<(Principal, Duration), AuthError> {
        let found = api_keys::resolve(&self.inner.store, hash).await?;
        let found = found.ok_or(AuthError::Refused(Refusal("the API key is unknown, revoked or expired")))?;
        Ok((found.principal, found.expires_in.unwrap_or(CACHE_TTL)))
    }

    fn remembered(&self, hash: &[u8; 32]) -> Option<Arc<Principal>> {
        let cache = self.cache();
        let cached = cache.get(hash)?;
        (cached.until > Instant::now()).then(|| Arc::clone(&cached.principal))
    }

    fn remember(&self, hash: [u8; 32], principal: Arc<Principal>, lives: Duration, ended: u64) {
        let now = Instant::now();
        let mut cache = self.cache();
        // What ended meanwhile may have been this; it is asked again.
        if self.inner.ended.load(Ordering::Acquire) != ended {
            return;
        }
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
