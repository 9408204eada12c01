//! Signatures as Standard Webhooks has them: HMAC-SHA256 (RFC 2104) over `{id}.{timestamp}.{body}`, `v1,` and base64 in front.

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::STANDARD};

/// What stands before the base64 of a secret's bytes.
const PREFIX: &str = "whsec_";

/// `webhook-signature` of one secret; none where the secret is none of the form `whsec_…`.
pub fn signature(secret: &str, id: &str, timestamp: i64, body: &str) -> Option<String> {
    let key = STANDARD.decode(secret.strip_prefix(PREFIX)?).ok()?;
    let mut signing = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &key));
    for part in [id, ".", &timestamp.to_string(), ".", body] {
        signing.update(part.as_bytes());
    }
    Some(format!("v1,{}", STANDARD.encode(signing.sign())))
}
