//! API keys: made, shown once, listed without the key, revoked.

use super::{
    Answer, Error, Faults, Idempotency, Service, access,
    access::Right,
    audit::{self, Action, Subject},
    idempotency,
};
use crate::{
    auth::{ApiKey, Ending},
    clock,
    domain::{ApiKeyId, Principal, Scope, Timestamp, UserId},
    store::{
        TeamTx,
        api_keys::{self, KeyRow, NewKey},
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

const NAME_CHARS_MAX: usize = 200;
const OVERLAP_SECONDS_DEFAULT: u32 = 86_400;
const OVERLAP_SECONDS_MAX: u32 = 2_592_000;

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
    /// The key that follows it, where it was rotated.
    pub followed_by: Option<ApiKeyId>,
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
    /// The key that it follows; null where it follows none.
    #[serde(default)]
    pub follows: Option<FollowedKey>,
}

/// A key that was rotated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FollowedKey {
    pub id: ApiKeyId,
    /// Until then it goes on.
    pub expires_at: Timestamp,
}

#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiKeyRotation {
    /// How long the old key goes on, from 0 (it ends at once) to 2,592,000 (30 days); absent: a day.
    #[schema(minimum = 0, maximum = 2_592_000)]
    pub overlap_seconds: Option<u32>,
    /// When the new one ends; absent: after as long as the old one was to live.
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
            followed_by: row.followed_by,
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
        let created = self.new_key(&mut tx, principal, new.name.trim(), scopes, new.expires_at).await?;
        let answer = Answer::new(201, &created)?.at(format!("/v1/api_keys/{}", created.id));
        let answer = idempotency::commit(tx, principal, key, answer).await?;
        self.unveiled(answer)
    }

    /// Makes a key that follows one of the principal's own, with its name and scopes. The old one goes on for a while, so that
    /// whoever uses it can change over.
    pub async fn rotate_api_key(
        &self,
        principal: &Principal,
        id: ApiKeyId,
        rotation: ApiKeyRotation,
        key: Option<&Idempotency>,
    ) -> Result<Answer, Error> {
        access::require(principal, Right::OwnKeys)?;
        let overlap = rotation.overlap_seconds.unwrap_or(OVERLAP_SECONDS_DEFAULT);
        let mut faults = Faults::default();
        if overlap > OVERLAP_SECONDS_MAX {
            faults.add("/overlap_seconds", format!("must be from 0 to {OVERLAP_SECONDS_MAX}"));
        }
        if rotation.expires_at.is_some_and(|at| at <= clock::now()) {
            faults.add("/expires_at", "must lie in the future");
        }
        faults.finish()?;
        let mut tx = self.store().team(principal.team).await?;
        if let Some(done) = idempotency::begin(&mut tx, principal, key).await? {
            return self.unveiled(done);
        }
        let old = visible(principal, api_keys::get(&mut tx, id).await?)?;
        check_rotation(principal, &old)?;
        // As long as the old one was to live.
        let expires_at = rotation.expires_at.or_else(|| {
            old.expires_at.map(|at| Timestamp(clock::now().0 + (at.0 - old.created_at.0).max(time::Duration::DAY)))
        });
        let mut created = self.new_key(&mut tx, principal, &old.name, old.scopes, expires_at).await?;
        let Some(old_expires_at) = api_keys::follow(&mut tx, id, created.id, overlap).await? else {
            return Err(rotated());
        };
        created.follows = Some(FollowedKey { id, expires_at: old_expires_at });
        let detail = json!({ "followed_by": created.id, "overlap_seconds": overlap });
        audit::record(&mut tx, principal, Action::ApiKeyRotated, Subject::new("api_key", id), detail).await?;
        let answer = Answer::new(201, &created)?.at(format!("/v1/api_keys/{}", created.id));
        let answer = idempotency::commit(tx, principal, key, answer).await?;
        self.inner.authenticator.end(Ending { team: Some(principal.team), api_key: Some(id), ..Ending::default() });
        self.unveiled(answer)
    }

    /// Writes a new key of the principal's; what is answered holds it veiled.
    async fn new_key(
        &self,
        tx: &mut TeamTx,
        principal: &Principal,
        name: &str,
        scopes: Option<Vec<Scope>>,
        expires_at: Option<Timestamp>,
    ) -> Result<ApiKeyCreated, Error> {
        let id: ApiKeyId = clock::new_id();
        let bytes = clock::random_bytes();
        let made = ApiKey::from_bytes(&bytes);
        let (hash, prefix) = (made.hash(), made.prefix());
        let row = NewKey { id, name, prefix: &prefix, hash: &hash, scopes: scopes.as_deref(), expires_at };
        let created_at = api_keys::insert(tx, principal.team, principal.user, row).await?;
        let detail = json!({ "prefix": prefix, "scopes": scopes, "expires_at": expires_at });
        audit::record(tx, principal, Action::ApiKeyCreated, Subject::new("api_key", id), detail).await?;
        Ok(ApiKeyCreated {
            id,
            // What is kept for copies of this request must not hold the key.
            key: URL_SAFE_NO_PAD.encode(self.veil(&format!("api key {id}"), bytes)),
            user: principal.user,
            name: name.to_owned(),
            prefix,
            scopes,
            created_at,
            expires_at,
            follows: None,
        })
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
        let row = visible(principal, row)?;
        api_keys::revoke(&mut tx, id).await?;
        let detail = json!({ "user": row.user, "prefix": row.prefix });
        audit::record(&mut tx, principal, Action::ApiKeyRevoked, Subject::new("api_key", id), detail).await?;
        tx.commit().await?;
        self.inner.authenticator.end(Ending { team: Some(principal.team), api_key: Some(id), ..Ending::default() });
        Ok(())
    }

    fn unveiled(&self, mut answer: Answer) -> Result<Answer, Error> {
        let mut created: ApiKeyCreated = serde_json::from_slice(&answer.body).map_err(Error::internal)?;
        let veiled: [u8; 32] = URL_SAFE_NO_PAD
            .decode(&created.key)
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| Error::internal("a kept API key cannot be read"))?;
        let key = ApiKey::from_bytes(&self.veil(&format!("api key {}", created.id), veiled));
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
    let more = scopes.iter().flatten().find(|scope| !may_give(principal, **scope));
    match more {
        Some(scope) => Err(Error::Forbidden(format!("you do not have the scope {} yourself", scope.as_str()))),
        None => Ok(scopes),
    }
}

/// Nobody has the scope to work for others by his role: an admin gives it to a key.
fn may_give(principal: &Principal, scope: Scope) -> bool {
    principal.has(scope) || (scope == Scope::TasksDelegate && access::may(principal, Right::ManageKeys))
}

/// A key is rotated by its owner alone, who sees the new one, and by a credential that reaches as far.
fn check_rotation(principal: &Principal, old: &KeyRow) -> Result<(), Error> {
    if old.user != principal.user {
        return Err(Error::Forbidden("this is another member's key: he rotates it himself".to_owned()));
    }
    if old.followed_by.is_some() {
        return Err(rotated());
    }
    let further = match &old.scopes {
        None => principal.scopes.is_some(),
        Some(scopes) => scopes.iter().any(|scope| !may_give(principal, *scope)),
    };
    if further { Err(Error::Forbidden("this key may more than the one that you call with".to_owned())) } else { Ok(()) }
}

fn rotated() -> Error {
    Error::Conflict {
        code: "rotated",
        detail: "another key follows this one already: rotate that one".to_owned(),
        state: None,
    }
}

/// An admin sees the team's keys, others their own.
fn whose(principal: &Principal) -> Option<UserId> {
    (!access::may(principal, Right::ManageKeys)).then_some(principal.user)
}

fn visible(principal: &Principal, row: Option<KeyRow>) -> Result<KeyRow, Error> {
    row.filter(|row| whose(principal).is_none_or(|user| user == row.user)).ok_or(Error::NotFound)
}
