//! API keys: made, shown once, listed without the key, revoked.

use super::{Answer, Error, Faults, Idempotency, Service, access, access::Right, idempotency};
use crate::{
    auth::{ApiKey, mac},
    clock,
    domain::{ApiKeyId, Principal, Scope, Timestamp, UserId},
    store::api_keys::{self, KeyRow, NewKey},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

const NAME_CHARS_MAX: usize = 200;

#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewApiKey {
    pub name: String,
    /// At most one's own; absent: all that one may oneself.
    pub scopes: Option<Vec<Scope>>,
    pub expires_at: Option<Timestamp>,
}

/// A key as lists show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ApiKeyView {
    pub id: ApiKeyId,
    pub user: UserId,
    pub name: String,
    /// The key's first characters.
    pub prefix: String,
    /// Null: all that the owner's role allows.
    pub scopes: Option<Vec<Scope>>,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub last_used_at: Option<Timestamp>,
}

/// A key at its making: the only answer that holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApiKeyCreated {
    pub id: ApiKeyId,
    /// `jm_…`; shown this once.
    pub key: String,
    pub user: UserId,
    pub name: String,
    pub prefix: String,
    pub scopes: Option<Vec<Scope>>,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
}

impl From<KeyRow> for ApiKeyView {
    fn from(row: KeyRow) -> Self {
        Self {
            id: row.id,
            user: row.user,
            name: row.name,
            prefix: row.prefix,
            scopes: row.scopes,
            created_at: row.created_at,
            expires_at: row.expires_at,
            last_used_at: row.last_used_at,
        }
    }
}

impl Service {
    /// Makes a key for the principal himself.
    pub async fn create_api_key(
        &self,
        principal: &Principal,
        new: NewApiKey,
        key: Option<&Idempotency>,
    ) -> Result<Answer, Error> {
        access::require(principal, Right::OwnKeys)?;
        let scopes = check(principal, &new)?;
        let mut tx = self.store().team(principal.team).await?;
        if let Some(done) = idempotency::begin(&mut tx, principal, key).await? {
            return self.unveiled(done);
        }
        let id: ApiKeyId = clock::new_id();
        let bytes = clock::random_bytes();
        let made = ApiKey::from_bytes(&bytes);
        let (hash, prefix) = (made.hash(), made.prefix());
        let row = NewKey {
            id,
            name: new.name.trim(),
            prefix: &prefix,
            hash: &hash,
            scopes: scopes.as_deref(),
            expires_at: new.expires_at,
        };
        let created_at = api_keys::insert(&mut tx, principal.team, principal.user, row).await?;
        let created = ApiKeyCreated {
            id,
            // What is kept for copies of this request must not hold the key.
            key: URL_SAFE_NO_PAD.encode(self.veil(id, bytes)),
            user: principal.user,
            name: new.name.trim().to_owned(),
            prefix,
            scopes,
            created_at,
            expires_at: new.expires_at,
        };
        let answer = Answer::new(201, &created)?.at(format!("/v1/api_keys/{id}"));
        let answer = idempotency::commit(tx, principal, key, answer).await?;
        self.unveiled(answer)
    }

    /// Keys that are not revoked, newest first: one's own, of an admin the team's.
    pub async fn api_keys(
        &self,
        principal: &Principal,
        before: Option<ApiKeyId>,
        limit: u32,
    ) -> Result<Vec<ApiKeyView>, Error> {
        access::require(principal, Right::OwnKeys)?;
        let mut tx = self.store().team(principal.team).await?;
        let rows = api_keys::list(&mut tx, whose(principal), before, i64::from(limit)).await?;
        tx.commit().await?;
        Ok(rows.into_iter().map(Into::into).collect())
    }

    pub async fn api_key(&self, principal: &Principal, id: ApiKeyId) -> Result<ApiKeyView, Error> {
        access::require(principal, Right::OwnKeys)?;
        let mut tx = self.store().team(principal.team).await?;
        let row = api_keys::get(&mut tx, id).await?;
        tx.commit().await?;
        visible(principal, row).map(Into::into)
    }

    /// Revokes a key: at once here, within seconds on other replicas.
    pub async fn revoke_api_key(&self, principal: &Principal, id: ApiKeyId) -> Result<(), Error> {
        access::require(principal, Right::OwnKeys)?;
        let mut tx = self.store().team(principal.team).await?;
        let row = api_keys::get(&mut tx, id).await?;
        visible(principal, row)?;
        api_keys::revoke(&mut tx, id).await?;
        tx.commit().await?;
        self.inner.authenticator.forget_key(id);
        Ok(())
    }

    /// The key's bytes under a pad that this service alone can make again. The id is used once,
    /// so that the pad is.
    fn veil(&self, id: ApiKeyId, bytes: [u8; 32]) -> [u8; 32] {
        let pad = mac::hmac_sha256(&self.settings().secret, format!("api key {id}").as_bytes());
        let mut veiled = bytes;
        for (byte, part) in veiled.iter_mut().zip(pad) {
            *byte ^= part;
        }
        veiled
    }

    fn unveiled(&self, mut answer: Answer) -> Result<Answer, Error> {
        let mut created: ApiKeyCreated = serde_json::from_slice(&answer.body).map_err(Error::internal)?;
        let veiled: [u8; 32] = URL_SAFE_NO_PAD
            .decode(&created.key)
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| Error::internal("a kept API key cannot be read"))?;
        let key = ApiKey::from_bytes(&self.veil(created.id, veiled));
        key.expose().clone_into(&mut created.key);
        answer.body = serde_json::to_vec(&created).map_err(Error::internal)?;
        Ok(answer)
    }
}

/// The scopes that the key gets: those asked for, else those of the key that asks.
fn check(principal: &Principal, new: &NewApiKey) -> Result<Option<Vec<Scope>>, Error> {
    let mut faults = Faults::default();
    faults.line("/name", &new.name, NAME_CHARS_MAX);
    if new.expires_at.is_some_and(|at| at <= clock::now()) {
        faults.add("/expires_at", "must lie in the future");
    }
    let mut scopes = new.scopes.clone();
    match &mut scopes {
        Some(scopes) => {
            if scopes.is_empty() {
                faults.add("/scopes", "must name at least one scope");
            }
            scopes.sort_by_key(|scope| scope.as_str());
            scopes.dedup();
        }
        None => scopes.clone_from(&principal.scopes),
    }
    faults.finish()?;
    let more = scopes.iter().flatten().find(|scope| !has(principal, **scope));
    match more {
        Some(scope) => Err(Error::Forbidden(format!("you do not have the scope {} yourself", scope.as_str()))),
        None => Ok(scopes),
    }
}

fn has(principal: &Principal, scope: Scope) -> bool {
    principal.scopes.as_ref().is_none_or(|own| own.contains(&scope))
}

/// An admin sees the team's keys, others their own.
fn whose(principal: &Principal) -> Option<UserId> {
    (!access::may(principal, Right::ManageKeys)).then_some(principal.user)
}

fn visible(principal: &Principal, row: Option<KeyRow>) -> Result<KeyRow, Error> {
    row.filter(|row| whose(principal).is_none_or(|user| user == row.user)).ok_or(Error::NotFound)
}
