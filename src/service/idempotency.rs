//! Doing a thing once however often it is asked for with the same key.
//!
//! The first request takes the key and does its work in one transaction; its copies wait for that
//! transaction (2 s at most) and answer what it answered. Refusals are not kept: nothing happened.

use super::{Service, error::Error};
use crate::{
    auth::mac,
    domain::Principal,
    store::{
        TeamTx,
        idempotency::{self, Begun, Key, Stored},
    },
};
use serde::Serialize;
use sha2::{Digest, Sha256};

/// The key that a caller gave, for one route and one body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    route: String,
    key: String,
    fingerprint: [u8; 32],
}

impl Idempotency {
    /// `route` is the method and the path; `canonical_body` the same for equal bodies.
    pub fn new(route: String, key: String, canonical_body: &[u8]) -> Self {
        Self::with_fingerprint(route, key, Sha256::digest(canonical_body).into())
    }

    pub fn with_fingerprint(route: String, key: String, fingerprint: [u8; 32]) -> Self {
        Self { route, key, fingerprint }
    }

    fn row<'a>(&'a self, principal: &Principal) -> Key<'a> {
        Key {
            team: principal.team,
            user: principal.user,
            route: &self.route,
            key: &self.key,
            fingerprint: &self.fingerprint,
        }
    }
}

/// What a use case that creates or acts answers, in the form in which it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// The path of what was made.
    pub location: Option<String>,
    /// JSON; empty for none.
    pub body: Vec<u8>,
    /// It was done before, and this is what was answered then.
    pub replayed: bool,
}

impl Answer {
    pub fn new<T: Serialize>(status: u16, value: &T) -> Result<Self, Error> {
        let body = serde_json::to_vec(value).map_err(Error::internal)?;
        Ok(Self { status, location: None, body, replayed: false })
    }

    #[must_use]
    pub fn at(mut self, location: String) -> Self {
        self.location = Some(location);
        self
    }
}

/// Takes the key within the transaction; answers what was answered, if it was done before.
pub(super) async fn begin(
    tx: &mut TeamTx,
    principal: &Principal,
    key: Option<&Idempotency>,
) -> Result<Option<Answer>, Error> {
    let Some(key) = key else { return Ok(None) };
    match idempotency::begin(tx, key.row(principal)).await? {
        Begun::First => Ok(None),
        Begun::Done(Stored { status, location, body }) => Ok(Some(Answer { status, location, body, replayed: true })),
        Begun::Mismatch => Err(Error::IdempotencyMismatch),
        Begun::InFlight => Err(Error::InFlight),
    }
}

/// Keeps the answer and commits it with the effect.
pub(super) async fn commit(
    mut tx: TeamTx,
    principal: &Principal,
    key: Option<&Idempotency>,
    answer: Answer,
) -> Result<Answer, Error> {
    if let Some(key) = key {
        let stored = Stored { status: answer.status, location: answer.location.clone(), body: answer.body.clone() };
        idempotency::finish(&mut tx, key.row(principal), &stored).await?;
    }
    tx.commit().await?;
    Ok(answer)
}

impl Service {
    /// A secret under a pad that this service alone can make again, and the same once more: the secret. What is kept for
    /// copies of a request must not hold what its answer shows once. `used_once` names one secret alone, so that the pad is
    /// used once.
    pub(super) fn veil(&self, used_once: &str, mut bytes: [u8; 32]) -> [u8; 32] {
        let pad = mac::hmac_sha256(&self.settings().secret, used_once.as_bytes());
        for (byte, part) in bytes.iter_mut().zip(pad) {
            *byte ^= part;
        }
        bytes
    }
}
