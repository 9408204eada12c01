//! Sealing at rest: AES-256-GCM under a key of its own for every secret, which the master key wraps.
//!
//! Whose a secret is goes into both seals as associated data (NIST SP 800-38D), so that a row copied
//! to another owner does not open. A master key is known by an id that tells nothing of it; a change of
//! the master key wraps the secrets' keys anew ([`Keyring::rewrap`]) and touches no secret. What cannot
//! be opened is an error that names it, never an empty value. Start with [`Keyring`].

use super::Secret;
use crate::{
    clock,
    domain::secret::{Owner, Sealed},
};
use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hmac,
};
use std::{fmt, sync::Arc};
use zeroize::{Zeroize, Zeroizing};

const KEY_BYTES: usize = 32;

/// Why a stored secret does not open. Each names the secret; none holds anything of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    #[error(
        "{owner} cannot be opened: it was sealed under the master key {key_id}, which this process does not have; \
         give that key as JOURNEYMAN_SECRET_KEY or JOURNEYMAN_SECRET_KEY_OLD, or set the secret again"
    )]
    UnknownKey { owner: Owner, key_id: String },
    #[error("{owner} cannot be opened: what is stored is damaged or another's; set the secret again")]
    Damaged { owner: Owner },
    /// The machine's own cryptography failed, which it does only where it is broken.
    #[error("{owner} could not be sealed")]
    Failed { owner: Owner },
}

/// The master key, and earlier ones that still open what they have sealed. Cheap to clone.
#[derive(Clone)]
pub struct Keyring {
    inner: Arc<Keys>,
}

struct Keys {
    current: MasterKey,
    old: Vec<MasterKey>,
}

struct MasterKey {
    id: String,
    key: LessSafeKey,
    handles: Zeroizing<[u8; KEY_BYTES]>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").field("current", &self.current_id()).finish_non_exhaustive()
    }
}

impl Keyring {
    /// `current` seals and opens, the `old` ones only open.
    pub fn new(current: &[u8; KEY_BYTES], old: &[[u8; KEY_BYTES]]) -> Self {
        let current = MasterKey::new(current);
        let mut known: Vec<MasterKey> = Vec::new();
        for key in old.iter().map(MasterKey::new) {
            if key.id != current.id && known.iter().all(|other| other.id != key.id) {
                known.push(key);
            }
        }
        Self { inner: Arc::new(Keys { current, old: known }) }
    }

    /// The id of the key that seals.
    pub fn current_id(&self) -> &str {
        &self.inner.current.id
    }

    /// What handles of brokers' secrets are made from.
    pub fn handle_key(&self) -> &[u8; KEY_BYTES] {
        &self.inner.current.handles
    }

    /// Whether what was sealed under this key opens here.
    pub fn knows(&self, key_id: &str) -> bool {
        self.find(key_id).is_some()
    }

    /// Seals a value under a fresh key of its own.
    pub fn seal(&self, owner: &Owner, value: &Secret) -> Result<Sealed, SealError> {
        let failed = || SealError::Failed { owner: owner.clone() };
        let own: Zeroizing<[u8; KEY_BYTES]> = Zeroizing::new(clock::random_bytes());
        let key = aead_key(&own);
        let sealed = seal(&key, &bound_to(owner, Part::Value), value.expose().as_bytes()).ok_or_else(failed)?;
        let wrapped_key = self.wrap(owner, own.as_slice()).ok_or_else(failed)?;
        Ok(Sealed { key_id: self.current_id().to_owned(), wrapped_key, sealed })
    }

    /// Opens what was sealed for just this owner.
    pub fn open(&self, owner: &Owner, sealed: &Sealed) -> Result<Secret, SealError> {
        let damaged = || SealError::Damaged { owner: owner.clone() };
        let own = self.unwrap(owner, sealed)?;
        let own: &[u8; KEY_BYTES] = own.as_slice().try_into().map_err(|_| damaged())?;
        let mut value = open(&aead_key(own), &bound_to(owner, Part::Value), &sealed.sealed).ok_or_else(damaged)?;
        // The text takes the bytes over; what was not text is wiped.
        String::from_utf8(std::mem::take(&mut *value)).map(Secret::new).map_err(|error| {
            error.into_bytes().zeroize();
            damaged()
        })
    }

    /// The secret's own key wrapped by the current master key: what a change of keys writes. The value stays sealed.
    pub fn rewrap(&self, owner: &Owner, sealed: &Sealed) -> Result<Vec<u8>, SealError> {
        let own = self.unwrap(owner, sealed)?;
        self.wrap(owner, &own).ok_or_else(|| SealError::Failed { owner: owner.clone() })
    }

    fn wrap(&self, owner: &Owner, own: &[u8]) -> Option<Vec<u8>> {
        seal(&self.inner.current.key, &bound_to(owner, Part::Key), own)
    }

    fn unwrap(&self, owner: &Owner, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let unknown = || SealError::UnknownKey { owner: owner.clone(), key_id: sealed.key_id.clone() };
        let master = self.find(&sealed.key_id).ok_or_else(unknown)?;
        let damaged = || SealError::Damaged { owner: owner.clone() };
        open(&master.key, &bound_to(owner, Part::Key), &sealed.wrapped_key).ok_or_else(damaged)
    }

    fn find(&self, key_id: &str) -> Option<&MasterKey> {
        let Keys { current, old } = &*self.inner;
        std::iter::once(current).chain(old).find(|key| key.id == key_id)
    }
}

impl MasterKey {
    /// Wrapping and naming each have a key of their own, derived from the master's bytes: these also sign cursors.
    fn new(bytes: &[u8; KEY_BYTES]) -> Self {
        let derive = |label: &[u8]| {
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, bytes), label);
            let mut derived = Zeroizing::new([0; KEY_BYTES]);
            derived.copy_from_slice(tag.as_ref());
            derived
        };
        let id = derive(b"journeyman: name of a master key");
        let id = id.iter().take(8).fold(0_u64, |id, byte| id << 8 | u64::from(*byte));
        Self {
            id: format!("{id:016x}"),
            key: aead_key(&derive(b"journeyman: wrapping keys of secrets")),
            handles: derive(b"journeyman: handles of secrets"),
        }
    }
}

/// Which of the two seals of a secret.
#[derive(Clone, Copy)]
enum Part {
    Value,
    Key,
}

/// The associated data: each part behind its length, so that no two owners are written alike.
fn bound_to(owner: &Owner, part: Part) -> Vec<u8> {
    let what: &[u8] = match part {
        Part::Value => b"journeyman secret 1: value",
        Part::Key => b"journeyman secret 1: key",
    };
    let parts = [
        what,
        owner.team.0.as_bytes().as_slice(),
        owner.kind.as_str().as_bytes(),
        owner.id.as_bytes().as_slice(),
        owner.name.as_bytes(),
    ];
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

fn aead_key(bytes: &[u8; KEY_BYTES]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes).expect("AES-256 takes 32 bytes"))
}

/// Nonce, what is sealed, tag. A random nonce will do: no key seals often enough for two to meet.
fn seal(key: &LessSafeKey, bound_to: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
    let nonce: [u8; NONCE_LEN] = clock::random_bytes();
    let mut bytes = Vec::with_capacity(NONCE_LEN + plain.len() + AES_256_GCM.tag_len());
    bytes.extend_from_slice(&nonce);
    bytes.extend_from_slice(plain);
    let tag = key.seal_in_place_separate_tag(
        Nonce::assume_unique_for_key(nonce),
        Aad::from(bound_to),
        &mut bytes[NONCE_LEN..],
    );
    let Ok(tag) = tag else {
        bytes.zeroize();
        return None;
    };
    bytes.extend_from_slice(tag.as_ref());
    Some(bytes)
}

fn open(key: &LessSafeKey, bound_to: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, rest) = sealed.split_first_chunk::<NONCE_LEN>()?;
    let mut bytes = Zeroizing::new(rest.to_vec());
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let length = key.open_in_place(nonce, Aad::from(bound_to), &mut bytes).ok()?.len();
    bytes.truncate(length);
    Some(bytes)
}
