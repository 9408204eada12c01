//! JWT bearers signed with HS256 (RFC 7519, RFC 8725: one algorithm, fixed here, never the
//! token's own choice).

use crate::domain::Role;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::{Deserialize, Deserializer};
use std::fmt;

/// Seconds by which clocks may differ.
const LEEWAY_SECONDS: u64 = 5;

/// Characters of a name in a token, at most.
const NAME_CHARS_MAX: usize = 200;

/// How tokens are checked.
#[derive(Clone)]
pub struct JwtSettings {
    key: DecodingKey,
    validation: Validation,
    /// Whether an unknown team becomes one.
    pub new_teams: bool,
}

impl JwtSettings {
    /// `issuer` and `audience`, where given, must be in every token.
    pub fn hs256(secret: &[u8], issuer: Option<&str>, audience: Option<&str>, new_teams: bool) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = LEEWAY_SECONDS;
        validation.validate_nbf = true;
        let mut required = vec!["exp", "sub"];
        if let Some(issuer) = issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        match audience {
            Some(audience) => {
                validation.set_audience(&[audience]);
                required.push("aud");
            }
            None => validation.validate_aud = false,
        }
        validation.set_required_spec_claims(&required);
        Self { key: DecodingKey::from_secret(secret), validation, new_teams }
    }
}

impl fmt::Debug for JwtSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtSettings").field("new_teams", &self.new_teams).finish_non_exhaustive()
    }
}

/// What a token says of its bearer.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Claims {
    pub(super) sub: String,
    pub(super) iss: Option<String>,
    pub(super) email: Option<String>,
    pub(super) name: Option<String>,
    pub(super) team: String,
    pub(super) role: Role,
    /// Seconds since 1970.
    #[serde(deserialize_with = "numeric_date")]
    pub(super) exp: i64,
}

/// A `NumericDate` (RFC 7519, 2), which may have a fraction.
fn numeric_date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    Ok(f64::deserialize(deserializer)?.floor() as i64)
}

/// Reads a token that holds; else why it does not, without repeating any of it.
pub(super) fn verify(settings: &JwtSettings, token: &str) -> Result<Claims, &'static str> {
    use jsonwebtoken::errors::ErrorKind;
    let read = jsonwebtoken::decode::<Claims>(token, &settings.key, &settings.validation);
    let claims = read.map_err(|error| match error.kind() {
        ErrorKind::ExpiredSignature => "the token has expired",
        ErrorKind::InvalidIssuer => "the token is from another issuer",
        ErrorKind::InvalidAudience => "the token is for another audience",
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName => "the token must be signed with HS256",
        ErrorKind::ImmatureSignature => "the token is not valid yet",
        ErrorKind::InvalidSignature => "the token's signature does not hold",
        ErrorKind::MissingRequiredClaim(claim) if claim == "iss" => "the token lacks the claim iss",
        ErrorKind::MissingRequiredClaim(claim) if claim == "aud" => "the token lacks the claim aud",
        ErrorKind::MissingRequiredClaim(_) => "the token lacks a claim: sub, team, role and exp must be there",
        _ => "the token cannot be read: it must have sub, team, role (viewer, member, admin) and exp",
    })?;
    let claims = claims.claims;
    let name_ok = |text: &str| {
        !text.trim().is_empty() && text.chars().count() <= NAME_CHARS_MAX && !text.chars().any(char::is_control)
    };
    let all_ok = name_ok(&claims.sub)
        && name_ok(&claims.team)
        && [&claims.iss, &claims.email, &claims.name].iter().all(|text| text.as_deref().is_none_or(name_ok));
    if all_ok { Ok(claims) } else { Err("a claim of the token is empty, too long or has control characters") }
}
