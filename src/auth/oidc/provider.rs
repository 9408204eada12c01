//! The provider itself: what it says of itself (OpenID Connect Discovery 1.0), where a browser is sent, and codes for tokens.

use super::OidcError;
use crate::{
    auth::{Jwks, JwksPlace, JwksTimes, jwt::Verifier},
    net::{self, CheckedClient},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use serde::Deserialize;
use std::{fmt, sync::Arc, time::Duration};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};
use url::Url;

/// How long what a provider says of itself is believed.
const METADATA_FRESH: Duration = Duration::from_secs(3_600);

/// At the soonest it is asked again where that failed.
const METADATA_RETRY: Duration = Duration::from_secs(5);

/// Bytes of its answers, at most.
const METADATA_BYTES_MAX: usize = 256 * 1024;
const TOKENS_BYTES_MAX: usize = 128 * 1024;

/// How long others wait for the one who asks.
const WAIT: Duration = Duration::from_secs(10);

/// Where people sign in.
#[derive(Clone)]
pub struct OidcSettings {
    /// As it stands in `iss`, to the letter.
    pub issuer: String,
    pub client_id: String,
    /// Absent: a public client, which PKCE alone protects.
    pub client_secret: Option<String>,
    pub scopes: Vec<String>,
    /// Our own `/auth/callback`, as browsers reach it.
    pub redirect: Url,
    /// Its addresses are checked; plain http to private ones alone.
    pub client: CheckedClient,
}

impl fmt::Debug for OidcSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OidcSettings").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

/// What a provider says of itself, as far as it matters here.
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    authorization_endpoint: Url,
    token_endpoint: Url,
    jwks_uri: Url,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

/// What is known of it.
#[derive(Clone)]
struct Known {
    authorization: Url,
    token: Url,
    keys: Jwks,
    keys_uri: Url,
    secret_in_body: bool,
}

#[derive(Default)]
struct Asked {
    known: Option<Arc<Known>>,
    at: Option<Instant>,
    failed: bool,
}

pub(super) struct Provider {
    settings: OidcSettings,
    asked: Mutex<Asked>,
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider").field("settings", &self.settings).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Tokens {
    id_token: Option<String>,
}

#[derive(Deserialize)]
struct TokenError {
    error: String,
}

impl Provider {
    pub(super) fn new(settings: OidcSettings) -> Self {
        Self { settings, asked: Mutex::default() }
    }

    pub(super) fn issuer(&self) -> &str {
        &self.settings.issuer
    }

    pub(super) fn client_id(&self) -> &str {
        &self.settings.client_id
    }

    /// Where a browser is sent.
    pub(super) async fn authorization(&self, state: &str, nonce: &str, challenge: &str) -> Result<Url, OidcError> {
        let mut url = self.known().await?.authorization.clone();
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.settings.client_id)
            .append_pair("redirect_uri", self.settings.redirect.as_str())
            .append_pair("scope", &self.settings.scopes.join(" "))
            .append_pair("state", state)
            .append_pair("nonce", nonce)
            .append_pair("code_challenge", challenge)
            .append_pair("code_challenge_method", "S256");
        Ok(url)
    }

    /// The ID token for a code.
    pub(super) async fn exchange(&self, code: &str, verifier: &str) -> Result<String, OidcError> {
        let known = self.known().await?;
        let failed = |reason: String| OidcError::Unavailable(format!("the token endpoint: {reason}"));
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", self.settings.redirect.as_str()),
            ("code_verifier", verifier),
        ];
        self.settings.client.vet(&known.token).await.map_err(|error| failed(error.to_string()))?;
        let mut request =
            self.settings.client.request(Method::POST, &known.token).map_err(|e| failed(e.to_string()))?;
        match &self.settings.client_secret {
            Some(secret) if !known.secret_in_body => {
                request = request.header(http::header::AUTHORIZATION, self.basic(secret));
            }
            secret => {
                form.push(("client_id", &self.settings.client_id));
                form.extend(secret.as_deref().map(|secret| ("client_secret", secret)));
            }
        }
        let request = request
            .header(http::header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(http::header::ACCEPT, "application/json")
            .body(url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish());
        let answer = net::fetch(request, TOKENS_BYTES_MAX).await.map_err(|error| failed(error.to_string()))?;
        if answer.status != 200 {
            // A code is used once and not for long: that it is refused is the usual case.
            return Err(match serde_json::from_slice::<TokenError>(&answer.body) {
                Ok(said) if (400..500).contains(&answer.status) => OidcError::Refused(super::word(&said.error)),
                _ => failed(format!("it was answered with {}", answer.status)),
            });
        }
        let tokens: Tokens = serde_json::from_slice(&answer.body).map_err(|_| failed("no JSON came".to_owned()))?;
        tokens.id_token.ok_or(OidcError::Distrusted("it gave no ID token: the scope openid must be among the scopes"))
    }

    /// What ID tokens are checked with.
    pub(super) async fn verifier(&self) -> Result<Verifier, OidcError> {
        let known = self.known().await?;
        Ok(Verifier::of(known.keys.clone(), &self.settings.issuer, &self.settings.client_id))
    }

    /// RFC 6749, 2.3.1: both are encoded as in forms before they are joined.
    fn basic(&self, secret: &str) -> String {
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        format!("Basic {}", STANDARD.encode(format!("{}:{}", encoded(&self.settings.client_id), encoded(secret))))
    }

    /// What is known, asked anew once it is old. What was known stays where that fails.
    async fn known(&self) -> Result<Arc<Known>, OidcError> {
        let unavailable = |reason: &str| OidcError::Unavailable(reason.to_owned());
        let waiting = timeout(WAIT, self.asked.lock()).await;
        let mut asked = waiting.map_err(|_| unavailable("others wait for it already"))?;
        let pause = if asked.failed || asked.known.is_none() { METADATA_RETRY } else { METADATA_FRESH };
        if asked.at.is_none_or(|at| at.elapsed() >= pause) {
            asked.at = Some(Instant::now());
            match self.discover(asked.known.as_deref()).await {
                Ok(known) => {
                    asked.known = Some(Arc::new(known));
                    asked.failed = false;
                }
                Err(reason) => {
                    asked.failed = true;
                    tracing::warn!(%reason, issuer = %self.settings.issuer, "what the identity provider says of itself cannot be read");
                }
            }
        }
        asked.known.clone().ok_or_else(|| unavailable("what it says of itself could not be read yet"))
    }

    async fn discover(&self, before: Option<&Known>) -> Result<Known, String> {
        let issuer = self.settings.issuer.trim_end_matches('/');
        let url = Url::parse(&format!("{issuer}/.well-known/openid-configuration")).map_err(|e| e.to_string())?;
        let client = &self.settings.client;
        client.vet(&url).await.map_err(|error| error.to_string())?;
        let request = client.request(Method::GET, &url).map_err(|error| error.to_string())?;
        let answer = net::fetch(request, METADATA_BYTES_MAX).await.map_err(|error| error.to_string())?;
        if answer.status != 200 {
            return Err(format!("{url} was answered with {}", answer.status));
        }
        let said: Metadata = serde_json::from_slice(&answer.body).map_err(|error| format!("{url}: {error}"))?;
        if said.issuer != self.settings.issuer {
            return Err(format!("it calls itself {:?}: the setting must be the same to the letter", said.issuer));
        }
        if !matches!(said.authorization_endpoint.scheme(), "http" | "https") {
            return Err("its authorization_endpoint is no address for a browser".to_owned());
        }
        let keys = match before {
            Some(before) if before.keys_uri == said.jwks_uri => before.keys.clone(),
            _ => {
                let place = JwksPlace::Url { client: client.clone(), url: said.jwks_uri.clone() };
                Jwks::new(place, JwksTimes::default())
            }
        };
        // A key that was withdrawn goes with the next look.
        keys.load_or_say().await;
        // Without a word on it (Discovery 1.0, 3) it is in the header.
        let methods = said.token_endpoint_auth_methods_supported.unwrap_or_default();
        let has = |method: &str| methods.iter().any(|one| one == method);
        Ok(Known {
            authorization: said.authorization_endpoint,
            token: said.token_endpoint,
            keys,
            keys_uri: said.jwks_uri,
            secret_in_body: has("client_secret_post") && !has("client_secret_basic"),
        })
    }
}
