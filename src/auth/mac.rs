//! HMAC-SHA256 (RFC 2104), for values that go out and must come back unchanged.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

const BLOCK_BYTES: usize = 64;

/// The code of `message` under `key`.
pub fn hmac_sha256(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    let pad = |byte: u8| {
        let mut block = [byte; BLOCK_BYTES];
        for (slot, part) in block.iter_mut().zip(key) {
            *slot ^= part;
        }
        block
    };
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().into()
}

/// Whether two codes are equal, in a time that does not tell where they differ.
pub fn equal(one: &[u8], other: &[u8]) -> bool {
    one.ct_eq(other).into()
}
