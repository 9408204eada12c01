//! How people and programs are known who bring no API key, from settings.

use super::build::{Parts, outgoing, policy};
use crate::{
    api::Login,
    auth::{
        Groups, Jwks, JwksPlace, JwksTimes, JwtSettings, Sessions,
        oidc::{Oidc, OidcSettings},
    },
    config::{Settings, settings::JwtKey},
    net::{CheckedClient, Timeouts},
};
use anyhow::Context;
use std::{sync::Arc, time::Duration};

/// What a key set may take to come.
const KEY_SET_TIMEOUT: Duration = Duration::from_secs(5);

/// How JWTs are checked. A key set in a file is read here, so that what is wrong with it is seen at once.
pub(super) async fn jwt(settings: &Settings) -> anyhow::Result<Option<JwtSettings>> {
    let Some(jwt) = &settings.auth.jwt else { return Ok(None) };
    let (issuer, audience) = (jwt.issuer.as_deref(), jwt.audience.as_deref());
    let place = match &jwt.key {
        JwtKey::Shared(secret) => {
            let shared = JwtSettings::hs256(secret.expose().as_bytes(), issuer, audience, jwt.new_teams);
            return Ok(Some(with_groups(shared, settings)));
        }
        JwtKey::JwksFile(path) => JwksPlace::File(path.clone()),
        JwtKey::JwksUrl(url) => {
            let timeouts = Timeouts { connect: KEY_SET_TIMEOUT, read: KEY_SET_TIMEOUT, total: Some(KEY_SET_TIMEOUT) };
            let client = CheckedClient::new(policy(settings)?, &outgoing(settings), timeouts)?;
            JwksPlace::Url { client, url: url.clone() }
        }
    };
    let in_file = matches!(place, JwksPlace::File(_));
    let keys = Jwks::new(place, JwksTimes::default());
    if in_file {
        keys.load().await.map_err(anyhow::Error::msg).context("JOURNEYMAN_JWKS")?;
    }
    Ok(Some(with_groups(JwtSettings::key_set(keys, issuer, audience, jwt.new_teams), settings)))
}

fn with_groups(jwt: JwtSettings, settings: &Settings) -> JwtSettings {
    match settings.auth.jwt.as_ref().and_then(|jwt| jwt.groups_claim.as_deref()) {
        Some(claim) => jwt.with_groups(Groups::new(claim, settings.auth.groups.clone())),
        None => jwt,
    }
}

/// How people sign in with a browser, and the sessions that begin so.
pub(super) fn login(settings: &Settings, parts: &Parts) -> anyhow::Result<Option<(Login, Sessions)>> {
    let (Some(oidc), Some(public_url)) = (&settings.auth.oidc, &settings.http.public_url) else { return Ok(None) };
    let timeouts = Timeouts { connect: KEY_SET_TIMEOUT, read: KEY_SET_TIMEOUT, total: Some(KEY_SET_TIMEOUT) };
    let provider = OidcSettings {
        issuer: oidc.issuer.clone(),
        client_id: oidc.client_id.clone(),
        client_secret: oidc.client_secret.as_ref().map(|secret| secret.expose().to_owned()),
        scopes: oidc.scopes.clone(),
        redirect: public_url.join("/auth/callback").context("JOURNEYMAN_PUBLIC_URL")?,
        client: CheckedClient::new(parts.policy.clone(), &outgoing(settings), timeouts)?,
    };
    let groups = Groups::new(&oidc.groups_claim, settings.auth.groups.clone());
    let oidc_of = Oidc::new(parts.store.clone(), provider, groups, &parts.secret);
    let sessions = Sessions::new(&parts.secret, oidc.session_lasts, oidc.session_rests);
    Ok(Some((Login { oidc: oidc_of, public_url: Arc::new(public_url.clone()) }, sessions)))
}
