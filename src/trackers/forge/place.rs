//! Where a forge's API is, and what lets the service in.

use super::ForgeError;
use crate::{net::NetError, secrets::Secret, trackers::exchange::Entrance};
use url::Url;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ForgeKind {
    Github,
    Gitlab,
    /// Forgejo too.
    Gitea,
}

impl ForgeKind {
    /// By the word that integrations use; none of a tracker without repositories.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "github" => Some(Self::Github),
            "gitlab" => Some(Self::Gitlab),
            "gitea" => Some(Self::Gitea),
            _ => None,
        }
    }

    /// The host whose repositories an integration with this address speaks for.
    pub fn host(self, base_url: Option<&str>) -> Option<String> {
        let url = Url::parse(base_url.or_else(|| self.home())?).ok()?;
        let host = url.host_str()?.to_ascii_lowercase();
        let with_own_api = host.strip_prefix("api.").filter(|rest| has_own_api(rest));
        Some(with_own_api.map_or(host.clone(), str::to_owned))
    }

    /// Where the vendor's own hosting is, for integrations without an address.
    fn home(self) -> Option<&'static str> {
        match self {
            Self::Github => Some("https://github.com"),
            Self::Gitlab => Some("https://gitlab.com"),
            Self::Gitea => None,
        }
    }

    /// What stands between a host of one's own and the API's paths.
    fn prefix(self) -> &'static str {
        match self {
            Self::Github => "api/v3",
            Self::Gitlab => "api/v4",
            Self::Gitea => "api/v1",
        }
    }
}

/// A forge's API and a token for it.
#[derive(Clone, Debug)]
pub struct ForgeAccess {
    pub kind: ForgeKind,
    /// Of the API, with a slash at its end.
    pub api: Url,
    /// Where it is if it is not there: an address that is that of the API already, and does not look like it.
    pub otherwise: Option<Url>,
    pub token: Secret,
}

impl ForgeAccess {
    /// `base_url` is that of the host for people, or of its API; absent: the vendor's own hosting.
    pub fn new(kind: ForgeKind, base_url: Option<&str>, token: Secret) -> Result<Self, ForgeError> {
        let without = ForgeError::Address(NetError::InvalidUrl { reason: "it needs the forge's base_url" });
        let base = base_url.or_else(|| kind.home()).ok_or(without)?;
        let unreadable = |_| ForgeError::Address(NetError::InvalidUrl { reason: "it cannot be parsed" });
        let url = Url::parse(base.trim_end_matches('/')).map_err(unreadable)?;
        let otherwise = (kind == ForgeKind::Github).then(|| with_path(url.clone(), url.path().trim_matches('/')));
        let api = api(kind, url);
        let otherwise = otherwise.filter(|bare| *bare != api && bare.host_str() == api.host_str());
        Ok(Self { kind, api, otherwise, token })
    }
}

impl From<ForgeAccess> for Entrance {
    fn from(access: ForgeAccess) -> Self {
        let token = access.token.expose();
        let (name, value, headers): (_, _, &'static [_]) = match access.kind {
            ForgeKind::Github => (
                "authorization",
                format!("Bearer {token}"),
                &[("accept", "application/vnd.github+json"), ("x-github-api-version", "2022-11-28")],
            ),
            ForgeKind::Gitlab => ("private-token", token.to_owned(), &[("accept", "application/json")]),
            ForgeKind::Gitea => ("authorization", format!("token {token}"), &[("accept", "application/json")]),
        };
        Self { api: access.api, otherwise: access.otherwise, credential: (name, Secret::new(value)), headers }
    }
}

fn with_path(mut url: Url, path: &str) -> Url {
    url.set_path(&if path.is_empty() { "/".to_owned() } else { format!("/{path}/") });
    url
}

/// Whether GitHub has the API of this host at `api.` before it: its own, and those that it keeps data of one enterprise at
/// (docs.github.com/enterprise-cloud, "data residency").
fn has_own_api(host: &str) -> bool {
    host == "github.com" || (host.ends_with(".ghe.com") && !host.starts_with("api."))
}

fn api(kind: ForgeKind, mut url: Url) -> Url {
    let host = url.host_str().unwrap_or_default().trim_start_matches("www.").to_owned();
    let path = url.path().trim_matches('/').to_owned();
    let path = if kind == ForgeKind::Github && has_own_api(&host) {
        let _ = url.set_host(Some(&format!("api.{host}")));
        String::new()
    } else if host.strip_prefix("api.").is_some_and(has_own_api) || path.split('/').any(|part| part == "api") {
        path
    } else if path.is_empty() {
        kind.prefix().to_owned()
    } else {
        format!("{path}/{}", kind.prefix())
    };
    with_path(url, &path)
}
