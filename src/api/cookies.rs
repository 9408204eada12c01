//! Cookies: those of a request, and those that we set. Over https they have `__Host-` in front, which keeps them from other
//! hosts and other paths (RFC 6265bis, 4.1.3.2).

use axum::http::{HeaderMap, HeaderValue, header};
use std::time::Duration;

/// Our cookies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cookie {
    /// A browser session.
    Session,
    /// What its pages repeat in `X-CSRF-Token`; they can read it.
    Csrf,
    /// A login that is under way.
    Login,
    /// The team that its user has chosen; the pages set it.
    Team,
}

impl Cookie {
    fn name(self, secure: bool) -> &'static str {
        match (self, secure) {
            (Self::Session, true) => "__Host-journeyman_session",
            (Self::Session, false) => "journeyman_session",
            (Self::Csrf, true) => "__Host-journeyman_csrf",
            (Self::Csrf, false) => "journeyman_csrf",
            (Self::Login, true) => "__Host-journeyman_login",
            (Self::Login, false) => "journeyman_login",
            (Self::Team, true) => "__Host-journeyman_team",
            (Self::Team, false) => "journeyman_team",
        }
    }

    /// Its value in a request; nothing where it is there twice, of which one may be another's.
    pub(crate) fn of(self, headers: &HeaderMap, secure: bool) -> Option<&str> {
        let name = self.name(secure);
        let lines = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let mut values = pairs.filter(|(key, _)| *key == name).map(|(_, value)| value.trim().trim_matches('"'));
        let value = values.next().filter(|value| !value.is_empty())?;
        values.next().is_none().then_some(value)
    }

    /// The header that sets it; `lasts` of nothing takes it away.
    pub(crate) fn set(self, value: &str, lasts: Duration, secure: bool) -> HeaderValue {
        let script = if self == Self::Csrf { "" } else { "; HttpOnly" };
        let secure_too = if secure { "; Secure" } else { "" };
        let name = self.name(secure);
        let text = format!("{name}={value}; Path=/; Max-Age={}; SameSite=Lax{script}{secure_too}", lasts.as_secs());
        HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
    }

    /// The header that takes it away.
    pub(crate) fn clear(self, secure: bool) -> HeaderValue {
        self.set("", Duration::ZERO, secure)
    }
}
