//! What a request brings besides its body: its principal, the ids in its path, its
//! idempotency key.

use super::{ApiState, cookies::Cookie, error::ApiError, query, rate_limits::Told};
use crate::{
    auth::{AuthError, Credential, TeamChoice},
    domain::Principal,
    service::{Idempotency, access, access::Right, audit},
};
use axum::{
    extract::{FromRequestParts, RawPathParams},
    http::{HeaderMap, request::Parts},
};
use percent_encoding::percent_decode_str;
use std::{fmt, ops::Deref, str::FromStr, sync::Arc};

/// Characters of an idempotency key, at most.
const IDEMPOTENCY_KEY_CHARS_MAX: usize = 255;

/// A caller whose credential holds.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) principal: Arc<Principal>,
    /// For streams that outlive what it says.
    credential: Credential,
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Caller").field(&self.principal).finish()
    }
}

impl Caller {
    /// Whether the credential still holds: keys are revoked, tokens expire.
    pub(crate) async fn still_holds(&self, state: &ApiState) -> bool {
        match state.authenticator.principal(&self.credential).await {
            Ok(now) => now.role >= self.principal.role,
            // The database cannot be asked just now: that is no reason to end a stream.
            Err(AuthError::Store(_)) => true,
            Err(_) => false,
        }
    }

    /// Refuses early what the service would refuse after reading the body.
    pub(crate) fn require(&self, right: Right) -> Result<(), ApiError> {
        Ok(access::require(&self.principal, right)?)
    }
}

impl Deref for Caller {
    type Target = Principal;

    fn deref(&self) -> &Principal {
        &self.principal
    }
}

impl FromRequestParts<ApiState> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        let credential = credential(parts, state)?;
        let principal = state.authenticator.principal(&credential).await?;
        audit::identified(&principal);
        if let Some(standing) = state.rate_limits.count(&principal) {
            if let Some(told) = parts.extensions.get::<Told>() {
                // One request has one caller.
                let _ = told.set(standing);
            }
            standing.admits()?;
        }
        query::refuse_on_writes(parts)?;
        Ok(Self { principal, credential })
    }
}

/// A header says who calls; where there is none, a session's cookie. A browser sends that one with whatever any page makes it
/// ask: a request that changes something has to show that it is a page of our own.
fn credential(parts: &Parts, state: &ApiState) -> Result<Credential, ApiError> {
    let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let named = text("journeyman-team").map(|name| TeamChoice { name: name.trim().to_owned(), strict: true });
    let header = text("authorization");
    let Some(login) = state.login.as_ref().filter(|_| header.is_none()) else {
        return Ok(Credential::bearer(header, named));
    };
    let Some(cookie) = Cookie::Session.of(&parts.headers, login.is_secure()) else {
        return Ok(Credential::bearer(None, named));
    };
    if !parts.method.is_safe() && !state.authenticator.is_own_request(cookie, text("x-csrf-token")) {
        return Err(ApiError::forged());
    }
    let chosen = || {
        let name = Cookie::Team.of(&parts.headers, login.is_secure())?;
        let name = percent_decode_str(name).decode_utf8().ok()?.into_owned();
        Some(TeamChoice { name, strict: false })
    };
    Ok(Credential::session(cookie, named.or_else(chosen)))
}

/// The ids in a path, in their order; one that does not parse names nothing that exists.
#[derive(Debug)]
pub(crate) struct Ids<T>(pub(crate) T);

/// What can be read from the parameters of a path.
pub(crate) trait FromPath: Sized {
    fn from_path(values: &[&str]) -> Option<Self>;
}

impl<A: FromStr> FromPath for (A,) {
    fn from_path(values: &[&str]) -> Option<Self> {
        let [a] = values else { return None };
        Some((a.parse().ok()?,))
    }
}

impl<A: FromStr, B: FromStr> FromPath for (A, B) {
    fn from_path(values: &[&str]) -> Option<Self> {
        let [a, b] = values else { return None };
        Some((a.parse().ok()?, b.parse().ok()?))
    }
}

impl<S, T> FromRequestParts<S> for Ids<T>
where
    S: Send + Sync,
    T: FromPath,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let params = RawPathParams::from_request_parts(parts, state).await.map_err(|_| ApiError::not_found())?;
        let values: Vec<&str> = params.iter().map(|(_, value)| value).collect();
        T::from_path(&values).map(Self).ok_or_else(ApiError::not_found)
    }
}

/// The `Idempotency-Key` of a request, with the route that it is for.
#[derive(Clone, Debug)]
pub(crate) struct IdempotencyKey {
    route: String,
    key: Option<String>,
}

impl IdempotencyKey {
    /// Binds the key to the body that came with it.
    pub(crate) fn of(self, canonical_body: &[u8]) -> Option<Idempotency> {
        Some(Idempotency::new(self.route, self.key?, canonical_body))
    }

    /// The same for a body known by its hash alone.
    pub(crate) fn of_hash(self, hash: [u8; 32]) -> Option<Idempotency> {
        Some(Idempotency::with_fingerprint(self.route, self.key?, hash))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let route = format!("{} {}", parts.method, parts.uri.path());
        Ok(Self { route, key: read_key(&parts.headers)? })
    }
}

fn read_key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let key = value.to_str().unwrap_or_default().trim();
    if key.is_empty() || key.len() > IDEMPOTENCY_KEY_CHARS_MAX {
        let detail = format!("Idempotency-Key must have 1 to {IDEMPOTENCY_KEY_CHARS_MAX} visible ASCII characters");
        return Err(ApiError::field("", detail));
    }
    Ok(Some(key.to_owned()))
}
