//! A JSON Web Key Set (RFC 7517) as the keys that may verify: for each type of key one algorithm, fixed here.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;
use std::{fmt, sync::Arc};

/// Keys of a set, at most.
const KEYS_MAX: usize = 100;

/// Bytes of a key's id, at most.
pub(super) const KID_BYTES_MAX: usize = 256;

/// Bytes of an RSA modulus: 2,048 bits (RFC 7518, 3.3) to 8,192.
const MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=1_024;

/// The keys of a set, by id and algorithm.
#[derive(Clone)]
pub(super) struct KeySet {
    keys: Vec<Named>,
}

#[derive(Clone)]
struct Named {
    kid: Option<String>,
    algorithm: Algorithm,
    key: Arc<DecodingKey>,
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| (&key.kid, key.algorithm))).finish()
    }
}

#[derive(Deserialize)]
struct RawSet {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct RawKey {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeySet {
    /// Reads a set. Keys that are of no use here (other types, for encryption, too weak) are left out (RFC 7517, 5).
    ///
    /// # Errors
    /// Says why it is none, or that it holds no key of use.
    pub(super) fn parse(json: &[u8]) -> Result<Self, &'static str> {
        let raw: RawSet = serde_json::from_slice(json).map_err(|_| "it is no JSON Web Key Set")?;
        if raw.keys.len() > KEYS_MAX {
            return Err("it holds more than 100 keys");
        }
        let mut keys: Vec<Named> = Vec::new();
        for value in raw.keys {
            let Some(key) = serde_json::from_value(value).ok().and_then(usable) else { continue };
            let twice = |known: &Named| known.kid == key.kid && known.algorithm == key.algorithm;
            if key.kid.is_some() && keys.iter().any(twice) {
                return Err("two of its keys have the same kid");
            }
            keys.push(key);
        }
        if keys.is_empty() {
            return Err("it holds no key for RS256 (2,048 bits or more), ES256 or EdDSA (Ed25519)");
        }
        Ok(Self { keys })
    }

    /// The key of that id, or without an id the only one for the algorithm.
    pub(super) fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<Arc<DecodingKey>> {
        let mut fitting = self.keys.iter().filter(|key| key.algorithm == algorithm);
        let found = match kid {
            Some(kid) => fitting.find(|key| key.kid.as_deref() == Some(kid))?,
            None => fitting.next().filter(|_| fitting.next().is_none())?,
        };
        Some(Arc::clone(&found.key))
    }
}

fn usable(raw: RawKey) -> Option<Named> {
    if raw.purpose.as_deref().is_some_and(|purpose| purpose != "sig")
        || raw.key_ops.as_ref().is_some_and(|ops| !ops.iter().any(|op| op == "verify"))
        || raw.kid.as_ref().is_some_and(|kid| kid.is_empty() || kid.len() > KID_BYTES_MAX)
    {
        return None;
    }
    let bytes = |text: &Option<String>| URL_SAFE_NO_PAD.decode(text.as_ref()?).ok();
    let of_32 = |text: &Option<String>| bytes(text).filter(|bytes| bytes.len() == 32);
    let (algorithm, word, key) = match (raw.kty.as_str(), raw.crv.as_deref()) {
        ("RSA", None) => {
            let (n, e) = (bytes(&raw.n)?, bytes(&raw.e)?);
            let strong = MODULUS_BYTES.contains(&n.len()) && n[0] != 0 && (1..=5).contains(&e.len()) && e != [1];
            let key = strong.then(|| DecodingKey::from_rsa_raw_components(&n, &e))?;
            (Algorithm::RS256, "RS256", key)
        }
        ("EC", Some("P-256")) => {
            of_32(&raw.x)?;
            of_32(&raw.y)?;
            let key = DecodingKey::from_ec_components(raw.x.as_ref()?, raw.y.as_ref()?).ok()?;
            (Algorithm::ES256, "ES256", key)
        }
        ("OKP", Some("Ed25519")) => (Algorithm::EdDSA, "EdDSA", DecodingKey::from_ed_der(&of_32(&raw.x)?)),
        _ => return None,
    };
    // RFC 9864 names the same algorithm by its curve.
    let same = |alg: &str| alg == word || (alg == "Ed25519" && word == "EdDSA");
    if raw.alg.as_deref().is_some_and(|alg| !same(alg)) {
        return None;
    }
    Some(Named { kid: raw.kid, algorithm, key: Arc::new(key) })
}
