//! What a browser keeps for us and may neither read nor change: AES-256-GCM under a key of our own.

use crate::{auth::mac, clock};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use std::fmt;

/// What it is for; nothing sealed for anything else opens here.
const PURPOSE: &[u8] = b"oidc login";

/// Bytes of a sealed text in base64, at most: what browsers keep of one cookie.
const SEALED_BYTES_MAX: usize = 4_096;

pub(super) struct Seal(LessSafeKey);

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal(***)")
    }
}

impl Seal {
    pub(super) fn new(secret: &[u8; 32]) -> Self {
        let key = mac::hmac_sha256(secret, PURPOSE);
        Self(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).expect("the key has its length")))
    }

    pub(super) fn seal(&self, text: &[u8]) -> String {
        let nonce: [u8; NONCE_LEN] = clock::random_bytes();
        let mut sealed = text.to_vec();
        let done =
            self.0.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(PURPOSE), &mut sealed);
        done.expect("a text of this size can be sealed");
        URL_SAFE_NO_PAD.encode([&nonce[..], &sealed].concat())
    }

    pub(super) fn open(&self, sealed: &str) -> Option<Vec<u8>> {
        if sealed.len() > SEALED_BYTES_MAX {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (nonce, text) = bytes.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut text = text.to_vec();
        let length = self.0.open_in_place(nonce, Aad::from(PURPOSE), &mut text).ok()?.len();
        text.truncate(length);
        Some(text)
    }
}
