//! An App of GitHub, and the tokens that it is given.

use super::{Held, TOKEN};
use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa::{KeyPair, KeySize},
    signature::KeyPair as _,
};
use axum::http::HeaderMap;
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

/// An App of GitHub with its one installation.
#[derive(Clone)]
pub(crate) struct App {
    id: String,
    installation: String,
    /// PEM.
    public_key: String,
    /// It is let into these alone; none: into all.
    repositories: Vec<String>,
}

/// What the App may do itself.
const PERMISSIONS: [&str; 4] = ["contents", "issues", "metadata", "pull_requests"];

impl App {
    /// One, and the private key that it signs with, as PEM.
    pub(crate) fn new(id: &str, installation: &str) -> (Self, String) {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let private: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let public_key = pem("RSA PUBLIC KEY", pair.public_key().as_ref());
        let app =
            Self { id: id.to_owned(), installation: installation.to_owned(), public_key, repositories: Vec::new() };
        (app, pem("PRIVATE KEY", private.as_ref()))
    }

    pub(crate) fn for_repositories(mut self, names: &[&str]) -> Self {
        self.repositories = names.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    /// Whether it can give what a token is asked for.
    fn lets(&self, asked: &Value) -> bool {
        let mut names = asked["repositories"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let mut permissions = asked["permissions"].as_object().into_iter().flatten().map(|(name, _)| name);
        names.all(|name| self.repositories.is_empty() || self.repositories.iter().any(|own| own == name))
            && permissions.all(|name| PERMISSIONS.contains(&name.as_str()))
    }
}

fn pem(kind: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", lines.join("\n"))
}

/// `POST /app/installations/{installation_id}/access_tokens`: to whom signs as the App with its private key.
pub(super) fn token(held: &mut Held, headers: &HeaderMap, installation: &str, body: &[u8]) -> (u16, Value) {
    let bearer = headers.get("authorization").and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let (Some(app), Some(bearer)) = (&held.app, bearer) else { return (401, json!({ "message": "Bad credentials" })) };
    let mut rules = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::RS256);
    rules.set_issuer(&[&app.id]);
    rules.set_required_spec_claims(&["exp", "iss"]);
    let key = jsonwebtoken::DecodingKey::from_rsa_pem(app.public_key.as_bytes()).unwrap();
    let Ok(claims) = jsonwebtoken::decode::<Value>(bearer, &key, &rules) else {
        return (401, json!({ "message": "A JSON web token could not be decoded" }));
    };
    let (begins, ends) = (claims.claims["iat"].as_i64().unwrap(), claims.claims["exp"].as_i64().unwrap());
    if ends - begins > 660 || installation != app.installation {
        return (404, json!({ "message": "Not Found" }));
    }
    let asked: Value = serde_json::from_slice(body).unwrap_or_default();
    if !app.lets(&asked) {
        let why =
            "There is at least one repository that does not exist or is not accessible to the parent installation.";
        return (422, json!({ "message": why }));
    }
    // Whose they are says the answer alone.
    let repositories: Vec<Value> =
        app.repositories.iter().map(|name| json!({ "full_name": format!("team/{name}") })).collect();
    held.given.push(asked);
    let until = (time::OffsetDateTime::now_utc() + std::time::Duration::from_secs(3_600))
        .replace_nanosecond(0)
        .unwrap()
        .format(&time::format_description::well_known::Rfc3339)
        .unwrap();
    let mut given = json!({ "token": TOKEN, "expires_at": until, "repository_selection": "selected",
        "permissions": { "contents": "write", "issues": "write", "pull_requests": "write" } });
    if !repositories.is_empty() {
        given["repositories"] = repositories.into();
    }
    (201, given)
}
