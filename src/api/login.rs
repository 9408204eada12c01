//! `/auth`: signing in with a browser at the operator's identity provider, and out again. These are for browsers: they
//! redirect and set cookies; all else is done at `/v1` with the session's cookie.

use super::{
    ApiState,
    caller::Caller,
    cookies::Cookie,
    error::ApiError,
    query::{FromQuery, Pairs, Query},
};
use crate::{
    auth::oidc::{Back, LOGIN_LASTS, Oidc, OidcError},
    service,
};
use axum::{
    extract::{RawQuery, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use std::sync::Arc;
use url::Url;
use utoipa_axum::{router::OpenApiRouter, routes};

/// Where one is taken who did not say.
const HOME: &str = "/";
const RETURN_TO_CHARS_MAX: usize = 1_000;

/// How people sign in with a browser.
#[derive(Clone, Debug)]
pub struct Login {
    pub oidc: Oidc,
    /// The address under which browsers reach the service.
    pub public_url: Arc<Url>,
}

impl Login {
    /// Whether browsers reach the service over https.
    pub(crate) fn is_secure(&self) -> bool {
        self.public_url.scheme() == "https"
    }
}

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(login)).routes(routes!(callback)).routes(routes!(logout))
}

struct LoginQuery {
    return_to: Option<String>,
}

impl FromQuery for LoginQuery {
    fn from_query(query: &mut Pairs) -> Self {
        Self { return_to: query.text("return_to", RETURN_TO_CHARS_MAX) }
    }
}

/// Sends a browser to the identity provider. `return_to` is a path of this service to which it comes back.
#[utoipa::path(get, path = "/auth/login", tag = "accounts", operation_id = "login", security(()),
    params(("return_to" = Option<String>, Query, description = "A path of this service; default `/`")),
    responses((status = 303, description = "To the identity provider")))]
async fn login(State(state): State<ApiState>, Query(query): Query<LoginQuery>) -> Result<Response, ApiError> {
    let login = of(&state)?;
    let return_to = match query.return_to {
        Some(path) => own_path(&login.public_url, &path)
            .ok_or_else(|| ApiError::field("/return_to", "must be a path of this service, such as /tasks"))?,
        None => HOME.to_owned(),
    };
    let away = login.oidc.begin(&return_to).await?;
    let cookie = Cookie::Login.set(&away.cookie, LOGIN_LASTS, login.is_secure());
    Ok(see_other(away.location.as_str(), [cookie]))
}

/// Where the identity provider sends a browser back to: begins its session.
#[utoipa::path(get, path = "/auth/callback", tag = "accounts", operation_id = "login_callback", security(()),
    params(
        ("code" = Option<String>, Query, description = "From the identity provider"),
        ("state" = Option<String>, Query, description = "From the identity provider"),
        ("iss" = Option<String>, Query, description = "From the identity provider"),
        ("error" = Option<String>, Query, description = "From the identity provider"),
    ),
    responses((status = 303, description = "To where the login was begun, with the session's cookies")))]
async fn callback(
    State(state): State<ApiState>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let login = of(&state)?;
    let secure = login.is_secure();
    let done = login.oidc.finish(Cookie::Login.of(&headers, secure), &back(query.as_deref())).await;
    let over = Cookie::Login.clear(secure);
    let signed_in = done.map_err(|error| ApiError::from(error).with_header(header::SET_COOKIE, over.clone()))?;
    if let Some(before) = Cookie::Session.of(&headers, secure) {
        state.authenticator.end_session(before).await?;
    }
    let agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    let begun = state.authenticator.begin_session(signed_in.user, agent).await?;
    let session = Cookie::Session.set(&begun.cookie, begun.lasts, secure);
    let csrf = Cookie::Csrf.set(&begun.csrf, begun.lasts, secure);
    Ok(see_other(&signed_in.return_to, [over, session, csrf]))
}

/// Ends the browser's session. It needs the header `X-CSRF-Token`, as every request with a session's cookie that changes
/// something.
#[utoipa::path(post, path = "/auth/logout", tag = "accounts", operation_id = "logout",
    responses((status = 204, description = "The session is over")))]
async fn logout(State(state): State<ApiState>, caller: Caller) -> Result<Response, ApiError> {
    let secure = of(&state)?.is_secure();
    let Some(session) = caller.session else {
        return Err(ApiError::field("", "there is no session to end: keys and tokens are not signed in"));
    };
    match state.service.end_session(&caller, session).await {
        // It was ended elsewhere meanwhile.
        Ok(()) | Err(service::Error::NotFound) => {}
        Err(error) => return Err(error.into()),
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    for cookie in [Cookie::Session, Cookie::Csrf, Cookie::Team] {
        response.headers_mut().append(header::SET_COOKIE, cookie.clear(secure));
    }
    Ok(response)
}

fn of(state: &ApiState) -> Result<&Login, ApiError> {
    state.login.as_ref().ok_or_else(ApiError::not_found)
}

/// What the provider's redirect says; it may say more.
fn back(query: Option<&str>) -> Back {
    let mut back = Back::default();
    for (name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        let place = match &*name {
            "state" => &mut back.state,
            "code" => &mut back.code,
            "iss" => &mut back.issuer,
            "error" => &mut back.error,
            _ => continue,
        };
        *place = Some(value.into_owned());
    }
    back
}

/// A path of our own as browsers will understand it, whatever was written: nothing that leads to another host.
fn own_path(public_url: &Url, path: &str) -> Option<String> {
    // Browsers take `\` for `/` and leave out tabs and line breaks (WHATWG URL, 4.4).
    if !path.starts_with('/') || path.contains('\\') || path.chars().any(char::is_control) {
        return None;
    }
    let url = public_url.join(path).ok()?;
    if url.origin() != public_url.origin() || !url.username().is_empty() {
        return None;
    }
    let mut own = url.path().to_owned();
    if own.starts_with("//") {
        return None;
    }
    for (mark, part) in [('?', url.query()), ('#', url.fragment())] {
        if let Some(part) = part {
            own.push(mark);
            own.push_str(part);
        }
    }
    Some(own)
}

/// A redirect that no one keeps.
fn see_other<const N: usize>(location: &str, cookies: [HeaderValue; N]) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    let headers = response.headers_mut();
    let fixed: [(HeaderName, &'static str); 2] =
        [(header::CACHE_CONTROL, "no-store"), (header::REFERRER_POLICY, "no-referrer")];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(location) = HeaderValue::from_str(location) {
        headers.insert(header::LOCATION, location);
    }
    for cookie in cookies {
        headers.append(header::SET_COOKIE, cookie);
    }
    response
}

impl From<OidcError> for ApiError {
    fn from(error: OidcError) -> Self {
        match error {
            OidcError::Unavailable(reason) => {
                tracing::warn!(%reason, "nobody can sign in");
                Self::unavailable("the identity provider cannot be reached just now", 5)
            }
            OidcError::NotBegun => Self::new(StatusCode::BAD_REQUEST, "login_not_begun", error.to_string()),
            OidcError::Refused(_) => Self::new(StatusCode::FORBIDDEN, "login_refused", error.to_string()),
            OidcError::Distrusted(reason) => {
                tracing::warn!(reason, "an answer of the identity provider does not hold");
                Self::new(StatusCode::FORBIDDEN, "login_distrusted", error.to_string())
            }
            OidcError::Deactivated | OidcError::NoTeam => {
                Self::new(StatusCode::FORBIDDEN, "login_refused", error.to_string())
            }
            OidcError::Store(error) => service::Error::from(error).into(),
        }
    }
}
