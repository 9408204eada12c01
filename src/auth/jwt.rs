//! JWT bearers (RFC 7519, RFC 8725): either HS256 under one secret or RS256, ES256 and EdDSA under the keys of one set. The
//! algorithms are fixed here and never the token's own choice, nor is where a key comes from: `jku`, `x5u`, `jwk` and
//! `x5c` in a token's head are not looked at.

use super::{
    groups::Groups,
    jwks::{Jwks, NoKey},
    key_set::KID_BYTES_MAX,
};
use crate::domain::Role;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, IgnoredAny},
};
use serde_json::{Map, Value};
use std::{fmt, sync::Arc};

/// Seconds by which clocks may differ.
const LEEWAY_SECONDS: u64 = 5;

/// Characters of a name in a token, at most.
const NAME_CHARS_MAX: usize = 200;

/// Bytes of a token, at most.
pub(super) const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// How bearers are checked.
#[derive(Clone)]
pub struct JwtSettings {
    pub(super) verifier: Verifier,
    /// Whether an unknown team becomes one.
    pub new_teams: bool,
    /// What groups in a token make of its bearer; absent: they are not looked at.
    pub(super) groups: Option<Groups>,
}

/// Who signs tokens, for whom, and with what.
#[derive(Clone)]
pub(super) struct Verifier {
    keys: Keys,
    issuer: Option<String>,
    audience: Option<String>,
}

#[derive(Clone)]
enum Keys {
    Shared(Arc<DecodingKey>),
    Set(Jwks),
}

/// Why a token is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Refused(&'static str),
    /// No key set could be read yet.
    NoKeySet,
}

impl From<&'static str> for Fault {
    fn from(why: &'static str) -> Self {
        Self::Refused(why)
    }
}

impl JwtSettings {
    /// `issuer` and `audience`, where given, must be in every token.
    pub fn hs256(secret: &[u8], issuer: Option<&str>, audience: Option<&str>, new_teams: bool) -> Self {
        Self::new(Keys::Shared(Arc::new(DecodingKey::from_secret(secret))), issuer, audience, new_teams)
    }

    /// The same for tokens signed with a key of a set.
    pub fn key_set(keys: Jwks, issuer: Option<&str>, audience: Option<&str>, new_teams: bool) -> Self {
        Self::new(Keys::Set(keys), issuer, audience, new_teams)
    }

    fn new(keys: Keys, issuer: Option<&str>, audience: Option<&str>, new_teams: bool) -> Self {
        let (issuer, audience) = (issuer.map(str::to_owned), audience.map(str::to_owned));
        Self { verifier: Verifier { keys, issuer, audience }, new_teams, groups: None }
    }

    /// Takes teams and roles from groups too.
    #[must_use]
    pub fn with_groups(mut self, groups: Groups) -> Self {
        self.groups = Some(groups);
        self
    }

    /// The set that tokens are verified with, where there is one.
    pub fn keys(&self) -> Option<&Jwks> {
        match &self.verifier.keys {
            Keys::Shared(_) => None,
            Keys::Set(keys) => Some(keys),
        }
    }
}

impl fmt::Debug for JwtSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtSettings").field("new_teams", &self.new_teams).finish_non_exhaustive()
    }
}

impl Verifier {
    /// Of tokens that this issuer signed for this audience with a key of its set.
    pub(super) fn of(keys: Jwks, issuer: &str, audience: &str) -> Self {
        Self { keys: Keys::Set(keys), issuer: Some(issuer.to_owned()), audience: Some(audience.to_owned()) }
    }

    /// Reads a token that holds; else why it does not, without repeating any of it.
    pub(super) async fn read<T: DeserializeOwned>(&self, token: &str) -> Result<T, Fault> {
        let head = head(token)?;
        let (key, algorithm) = match &self.keys {
            Keys::Shared(key) => match head.alg.as_str() {
                "HS256" => (Arc::clone(key), Algorithm::HS256),
                _ => return Err("the token must be signed with HS256".into()),
            },
            Keys::Set(keys) => {
                let algorithm = match head.alg.as_str() {
                    "RS256" => Algorithm::RS256,
                    "ES256" => Algorithm::ES256,
                    "EdDSA" => Algorithm::EdDSA,
                    _ => return Err("the token must be signed with RS256, ES256 or EdDSA".into()),
                };
                let key = keys.key(head.kid.as_deref(), algorithm).await.map_err(|why| match why {
                    NoKey::Unknown => Fault::Refused("the key that the token names is not in the key set"),
                    NoKey::NoSet => Fault::NoKeySet,
                })?;
                (key, algorithm)
            }
        };
        Ok(decode(token, &key, &self.validation(algorithm))?)
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.leeway = LEEWAY_SECONDS;
        validation.validate_nbf = true;
        let mut required = vec!["exp", "sub"];
        if let Some(issuer) = &self.issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        match &self.audience {
            Some(audience) => {
                validation.set_audience(&[audience]);
                required.push("aud");
            }
            None => validation.validate_aud = false,
        }
        validation.set_required_spec_claims(&required);
        validation
    }
}

/// What a token says of its bearer.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Claims {
    pub(super) sub: String,
    pub(super) iss: Option<String>,
    pub(super) email: Option<String>,
    pub(super) name: Option<String>,
    /// By name. Team and role may be absent where groups give them.
    pub(super) team: Option<String>,
    pub(super) role: Option<Role>,
    /// Seconds since 1970.
    #[serde(deserialize_with = "numeric_date")]
    pub(super) exp: i64,
    #[serde(flatten)]
    pub(super) others: Map<String, Value>,
}

/// A `NumericDate` (RFC 7519, 2), which may have a fraction.
fn numeric_date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    Ok(f64::deserialize(deserializer)?.floor() as i64)
}

/// Reads a bearer that holds.
pub(super) async fn verify(settings: &JwtSettings, token: &str) -> Result<Claims, Fault> {
    let claims: Claims = settings.verifier.read(token).await?;
    if settings.groups.is_none() && (claims.team.is_none() || claims.role.is_none()) {
        return Err("the token lacks a claim: sub, team, role and exp must be there".into());
    }
    let names =
        [Some(&claims.sub), claims.team.as_ref(), claims.iss.as_ref(), claims.email.as_ref(), claims.name.as_ref()];
    if names.into_iter().flatten().all(|name| is_name(name)) {
        Ok(claims)
    } else {
        Err("a claim of the token is empty, too long or has control characters".into())
    }
}

/// Whether a text of a token can be a name here.
pub(super) fn is_name(text: &str) -> bool {
    !text.trim().is_empty() && text.chars().count() <= NAME_CHARS_MAX && !text.chars().any(char::is_control)
}

/// What of a token's head is looked at.
#[derive(Deserialize)]
struct Head {
    alg: String,
    typ: Option<String>,
    kid: Option<String>,
    crit: Option<IgnoredAny>,
}

fn head(token: &str) -> Result<Head, &'static str> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err("the token is longer than 16 KiB");
    }
    let unreadable = "the token's head cannot be read";
    let head = token.split('.').next().unwrap_or_default();
    let head = URL_SAFE_NO_PAD.decode(head).map_err(|_| unreadable)?;
    let head: Head = serde_json::from_slice(&head).map_err(|_| unreadable)?;
    if head.crit.is_some() {
        // RFC 7515, 4.1.11: what must be understood and is not.
        return Err("the token has extensions in crit that are not understood here");
    }
    let typ = head.typ.as_deref().map(str::to_ascii_lowercase);
    // RFC 8725, 3.11; RFC 9068, 2.1: tokens made for other uses name them.
    if typ.is_some_and(|typ| !matches!(typ.trim_start_matches("application/"), "jwt" | "at+jwt")) {
        return Err("the token is of another type: typ must be JWT or at+jwt");
    }
    if head.kid.as_ref().is_some_and(|kid| kid.len() > KID_BYTES_MAX) {
        return Err("the key that the token names is not in the key set");
    }
    Ok(head)
}

fn decode<T: DeserializeOwned>(token: &str, key: &DecodingKey, validation: &Validation) -> Result<T, &'static str> {
    use jsonwebtoken::errors::ErrorKind;
    let read = jsonwebtoken::decode::<T>(token, key, validation);
    let claims = read.map_err(|error| match error.kind() {
        ErrorKind::ExpiredSignature => "the token has expired",
        ErrorKind::InvalidIssuer => "the token is from another issuer",
        ErrorKind::InvalidAudience => "the token is for another audience",
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName => "the token is signed with another algorithm",
        ErrorKind::ImmatureSignature => "the token is not valid yet",
        ErrorKind::InvalidSignature => "the token's signature does not hold",
        ErrorKind::MissingRequiredClaim(claim) if claim == "iss" => "the token lacks the claim iss",
        ErrorKind::MissingRequiredClaim(claim) if claim == "aud" => "the token lacks the claim aud",
        ErrorKind::MissingRequiredClaim(_) => "the token lacks a claim that must be there: sub or exp",
        _ => "the token cannot be read: its claims are not as they must be (role is viewer, member or admin)",
    })?;
    Ok(claims.claims)
}
