//! Whether a request comes from who holds an integration's secret.

use crate::{domain::linked_account::Provider, secrets::Secret};
use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderMap;
use serde_json::Value;
use subtle::ConstantTimeEq;

/// How far a GitLab's `webhook-timestamp` may be from now (Standard Webhooks).
const GITLAB_SECONDS: i64 = 300;
/// How old Linear's signed `webhookTimestamp` may be (`@linear/sdk`, `LinearWebhookClient`).
const LINEAR_MS: i64 = 60_000;

/// Why a request is not believed. Callers are told nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("it has no signature where this tracker has its own")]
    Missing,
    #[error("its signature is of another secret or of another body")]
    Wrong,
    #[error("it is too old, or from the future")]
    Stale,
    #[error("it is another tracker's")]
    OtherTracker,
}

/// Holds the raw bytes of a request against the secrets, of which there are two while one follows another. Time does not
/// tell how much of a signature was right. `now_ms` is since 1970.
pub fn verify(
    tracker: Provider,
    headers: &HeaderMap,
    body: &[u8],
    secrets: &[Secret],
    now_ms: i64,
) -> Result<(), Refused> {
    match tracker {
        Provider::Github => {
            // A Gitea signs like this as well.
            let foreign = ["x-gitea-", "x-forgejo-", "x-gogs-"];
            if headers.keys().any(|name| foreign.iter().any(|start| name.as_str().starts_with(start))) {
                return Err(Refused::OtherTracker);
            }
            hex_signature(prefixed(headers, "x-hub-signature-256")?, body, secrets)
        }
        Provider::Gitlab => gitlab(headers, body, secrets, now_ms / 1_000),
        Provider::Gitea => {
            let signature = one(headers, "x-forgejo-signature").or_else(|_| one(headers, "x-gitea-signature"))?;
            hex_signature(signature, body, secrets)
        }
        Provider::Jira => hex_signature(prefixed(headers, "x-hub-signature")?, body, secrets),
        Provider::Linear => {
            hex_signature(one(headers, "linear-signature")?, body, secrets)?;
            let json: Value = serde_json::from_slice(body).map_err(|_| Refused::Stale)?;
            let sent = json.get("webhookTimestamp").and_then(Value::as_i64).ok_or(Refused::Stale)?;
            if sent.abs_diff(now_ms) > LINEAR_MS.unsigned_abs() { Err(Refused::Stale) } else { Ok(()) }
        }
    }
}

/// The one header of this name.
fn one<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a str, Refused> {
    let mut found = headers.get_all(name).iter();
    match (found.next(), found.next()) {
        (Some(value), None) => value.to_str().map(str::trim).map_err(|_| Refused::Wrong),
        (None, _) => Err(Refused::Missing),
        (Some(_), Some(_)) => Err(Refused::Wrong),
    }
}

fn prefixed<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a str, Refused> {
    one(headers, name)?.strip_prefix("sha256=").ok_or(Refused::Wrong)
}

fn hex_signature(signature: &str, body: &[u8], secrets: &[Secret]) -> Result<(), Refused> {
    let given = from_hex(signature).ok_or(Refused::Wrong)?;
    let is_of = |secret: &Secret| signs(secret.expose().as_bytes(), &[body], &given);
    // Each is tried, so that time does not tell which it was.
    let any = secrets.iter().fold(false, |any, secret| is_of(secret) | any);
    if any { Ok(()) } else { Err(Refused::Wrong) }
}

/// The token alone, or a signature of the time and the body (Standard Webhooks), of which the latter goes first.
fn gitlab(headers: &HeaderMap, body: &[u8], secrets: &[Secret], now: i64) -> Result<(), Refused> {
    if headers.contains_key("webhook-signature") {
        let (signatures, id) = (one(headers, "webhook-signature")?, one(headers, "webhook-id")?);
        let time = one(headers, "webhook-timestamp")?;
        let start = format!("{id}.{time}.");
        let given = signatures.split(' ').take(10).filter_map(|part| STANDARD.decode(part.strip_prefix("v1,")?).ok());
        let signed = given.fold(false, |any, signature| {
            let of = |secret: &Secret| signs(&standard_key(secret), &[start.as_bytes(), body], &signature);
            secrets.iter().fold(any, |any, secret| of(secret) | any)
        });
        if signed {
            let sent: i64 = time.parse().map_err(|_| Refused::Stale)?;
            return if sent.abs_diff(now) > GITLAB_SECONDS.unsigned_abs() { Err(Refused::Stale) } else { Ok(()) };
        }
    }
    let token = one(headers, "x-gitlab-token")?;
    let is = |secret: &Secret| bool::from(secret.expose().as_bytes().ct_eq(token.as_bytes()));
    let any = secrets.iter().fold(false, |any, secret| is(secret) | any);
    if any { Ok(()) } else { Err(Refused::Wrong) }
}

/// `whsec_` and base64, or the bytes themselves.
fn standard_key(secret: &Secret) -> Vec<u8> {
    let text = secret.expose();
    let decoded = text.strip_prefix("whsec_").and_then(|key| STANDARD.decode(key).ok());
    decoded.unwrap_or_else(|| text.as_bytes().to_vec())
}

/// HMAC-SHA256 (RFC 2104), compared in constant time.
fn signs(key: &[u8], parts: &[&[u8]], signature: &[u8]) -> bool {
    // Whoever has an empty key could be anybody.
    if key.is_empty() {
        return false;
    }
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in parts {
        context.update(part);
    }
    context.sign().as_ref().ct_eq(signature).into()
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let bytes = text.as_bytes();
    if bytes.len() != 64 {
        return None;
    }
    let digit = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
    let mut found = [0; 32];
    for (slot, pair) in found.iter_mut().zip(bytes.chunks_exact(2)) {
        *slot = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(found)
}
