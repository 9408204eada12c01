//! API keys: how they look, and the first one of an empty database.

use crate::{
    clock,
    domain::{ApiKeyId, Scope, TeamId, Timestamp, UserId},
    store::{
        AcrossTx, Store, StoreError,
        accounts::{self, FirstAdmin},
        api_keys::{self, NewKey},
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use std::fmt;

/// Characters of a key that lists show.
const PREFIX_CHARS: usize = 8;

/// An API key in clear: exists only between its making and the answer that carries it.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// A new key: `jm_` and 32 random bytes.
    pub fn generate() -> Self {
        Self::from_bytes(&clock::random_bytes())
    }

    pub(crate) fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(format!("jm_{}", URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// A key that an operator chose.
    pub fn chosen(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What is stored in its stead.
    pub fn hash(&self) -> [u8; 32] {
        hash(&self.0)
    }

    /// Its first characters; of a short key that somebody chose nothing.
    pub fn prefix(&self) -> String {
        if self.0.len() < 24 { "…".to_owned() } else { self.0.chars().take(PREFIX_CHARS).collect() }
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(***)")
    }
}

pub(super) fn hash(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

/// Gives an empty database its first team (`default`), its admin, who is an operator of the instance too, and his key:
/// `chosen`, or else a new one. Answers the key if it made one; the caller shows it once.
pub async fn bootstrap(store: &Store, chosen: Option<&str>) -> Result<Option<ApiKey>, StoreError> {
    let key = chosen.map_or_else(ApiKey::generate, ApiKey::chosen);
    let first = FirstAdmin {
        team: clock::new_id(),
        team_name: "default",
        user: clock::new_id(),
        key: NewKey {
            id: clock::new_id(),
            name: "bootstrap",
            prefix: &key.prefix(),
            hash: &key.hash(),
            scopes: None,
            expires_at: None,
        },
    };
    let made = accounts::bootstrap(store, first).await?;
    Ok((made && chosen.is_none()).then_some(key))
}

/// Makes a key for an operator, who works on the database itself.
pub async fn issue(
    store: &Store,
    team: TeamId,
    user: UserId,
    name: &str,
    scopes: Option<&[Scope]>,
    expires_at: Option<Timestamp>,
) -> Result<(ApiKeyId, ApiKey), StoreError> {
    let mut tx = store.across_teams().await?;
    let made = issue_within(&mut tx, team, user, name, scopes, expires_at).await?;
    tx.commit().await?;
    Ok(made)
}

/// The same within an operator's transaction.
pub async fn issue_within(
    tx: &mut AcrossTx,
    team: TeamId,
    user: UserId,
    name: &str,
    scopes: Option<&[Scope]>,
    expires_at: Option<Timestamp>,
) -> Result<(ApiKeyId, ApiKey), StoreError> {
    let key = ApiKey::generate();
    let id: ApiKeyId = clock::new_id();
    let row = NewKey { id, name, prefix: &key.prefix(), hash: &key.hash(), scopes, expires_at };
    api_keys::insert_within(tx, team, user, row).await?;
    Ok((id, key))
}
