//! Browser sessions: 32 random bytes in a cookie, their SHA-256 in the database, and a token against forged requests that
//! belongs to the cookie.

use super::{AuthError, Authenticator, Ending, Refusal, authenticator::TeamChoice, bearers::chosen, keys, mac};
use crate::{
    clock,
    domain::{Principal, UserId},
    store::{
        identities,
        sessions::{self, NewSession},
        users,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use std::time::Duration;

/// Characters of a browser's description that are kept.
const USER_AGENT_CHARS_MAX: usize = 300;

/// How sessions are.
#[derive(Clone)]
pub struct Sessions {
    key: [u8; 32],
    lasts: Duration,
    rests: Duration,
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sessions").field("lasts", &self.lasts).field("rests", &self.rests).finish_non_exhaustive()
    }
}

/// A session that has just begun: what goes into its cookies.
#[derive(Clone)]
pub struct Begun {
    pub cookie: String,
    /// What every request that changes something has to repeat in a header.
    pub csrf: String,
    pub lasts: Duration,
}

impl std::fmt::Debug for Begun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Begun").field("lasts", &self.lasts).finish_non_exhaustive()
    }
}

impl Sessions {
    /// `secret` is the same on all replicas. A session lasts so long at most, and so long without being used.
    pub fn new(secret: &[u8; 32], lasts: Duration, rests: Duration) -> Self {
        Self { key: mac::hmac_sha256(secret, b"session csrf"), lasts, rests }
    }

    /// The token that belongs to a cookie.
    pub fn csrf(&self, cookie: &str) -> String {
        URL_SAFE_NO_PAD.encode(mac::hmac_sha256(&self.key, cookie.as_bytes()))
    }

    /// Whether a header repeats the cookie's token.
    pub fn is_csrf(&self, cookie: &str, given: Option<&str>) -> bool {
        given.is_some_and(|given| mac::equal(self.csrf(cookie).as_bytes(), given.as_bytes()))
    }
}

impl Authenticator {
    /// Begins a session of a user.
    ///
    /// # Errors
    /// Where sessions are not taken here, and as the database has them.
    pub async fn begin_session(&self, user: UserId, user_agent: Option<&str>) -> Result<Begun, AuthError> {
        let sessions = self.sessions().ok_or(AuthError::Missing)?;
        let cookie = URL_SAFE_NO_PAD.encode(clock::random_bytes::<32>());
        let user_agent: Option<String> = user_agent.map(|text| text.chars().take(USER_AGENT_CHARS_MAX).collect());
        let new = NewSession {
            id: clock::new_id(),
            user,
            hash: &keys::hash(&cookie),
            user_agent: user_agent.as_deref(),
            lasts: sessions.lasts,
            rests: sessions.rests,
        };
        sessions::insert(self.store(), new).await?;
        Ok(Begun { csrf: sessions.csrf(&cookie), cookie, lasts: sessions.lasts })
    }

    /// Whether a request with a session's cookie is one that its own pages made.
    pub fn is_own_request(&self, cookie: &str, csrf: Option<&str>) -> bool {
        self.sessions().is_some_and(|sessions| sessions.is_csrf(cookie, csrf))
    }

    /// Ends the session of a cookie, if there is one: here at once, elsewhere within a second.
    pub async fn end_session(&self, cookie: &str) -> Result<(), AuthError> {
        if let Some(id) = sessions::end_by_hash(self.store(), &keys::hash(cookie)).await? {
            self.end(Ending { session: Some(id), ..Ending::default() });
        }
        Ok(())
    }

    pub(super) async fn by_session(
        &self,
        settings: &Sessions,
        hash: &[u8; 32],
        choice: Option<&TeamChoice>,
    ) -> Result<(Principal, Duration), AuthError> {
        let refused = AuthError::Refused(Refusal("the session has ended: sign in again"));
        let Some(found) = sessions::resolve(self.store(), hash, settings.rests).await? else { return Err(refused) };
        let Some(user) = users::get(self.store(), found.user).await? else { return Err(refused) };
        let place = chosen(identities::teams(self.store(), user.id).await?, choice)?;
        let principal = Principal {
            team: place.team,
            team_name: place.name,
            user: user.id,
            user_name: user.name,
            email: user.email,
            role: place.role,
            operator: user.operator,
            scopes: None,
            api_key: None,
            session: Some(found.id),
        };
        Ok((principal, found.expires_in))
    }
}
