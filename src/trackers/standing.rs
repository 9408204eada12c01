//! Who somebody is at a forge: whether he may write to the repository that an issue is about. Asked live, remembered for a
//! minute; what cannot be found out is no leave.

use super::{
    delivery::{Issue, Person},
    tokens::{TokenOf, Tokens},
};
use crate::{
    domain::{IntegrationId, integration::GithubApp, linked_account::Provider},
    net::{CheckedClient, client},
    secrets::Secret,
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use serde_json::Value;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;
use url::Url;

/// How long an answer is believed.
const FRESH: Duration = Duration::from_secs(60);
const REMEMBERED_MAX: usize = 10_000;
const ANSWER_BYTES_MAX: usize = 256 << 10;
/// GitLab's access level of a Developer (docs.gitlab.com/api/members).
const GITLAB_DEVELOPER: u64 = 30;

/// Whether a forge lets somebody write to a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    MayWrite,
    /// Why not, for people.
    MayNot(String),
}

/// Why it could not be found out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The same question may be answered later.
    #[error("{0}")]
    Later(String),
    /// It will not, before somebody changes something.
    #[error("{0}")]
    Never(String),
}

/// A forge, as an integration says it.
#[derive(Clone, Copy, Debug)]
pub struct Forge<'a> {
    pub integration: IntegrationId,
    pub tracker: Provider,
    pub base_url: Option<&'a str>,
    pub app: Option<&'a GithubApp>,
    /// The token, or the App's private key.
    pub token: &'a Secret,
}

type Known = HashMap<(IntegrationId, String, String), (Instant, Standing)>;

/// Asks forges, and remembers for a while what they said. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Standings {
    client: CheckedClient,
    tokens: Tokens,
    known: Arc<Mutex<Known>>,
}

impl Standings {
    pub fn new(client: CheckedClient, tokens: Tokens) -> Self {
        Self { client, tokens, known: Arc::default() }
    }

    /// Whether `person` may write to the repository of `issue`.
    pub async fn ask(&self, forge: Forge<'_>, issue: &Issue, person: &Person) -> Result<Standing, AskError> {
        let Some(repository) = issue.repository.as_ref().map(|repository| repository.name.as_str()) else {
            return Err(AskError::Never("this tracker has no repository to ask about".to_owned()));
        };
        let key = (forge.integration, repository.to_lowercase(), identity(forge.tracker, person).to_lowercase());
        if let Some(standing) = self.remembered(&key) {
            return Ok(standing);
        }
        let standing = self.look_up(forge, repository, person).await?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED_MAX {
            known.retain(|_, (at, _)| at.elapsed() < FRESH);
        }
        if known.len() < REMEMBERED_MAX {
            known.insert(key, (Instant::now(), standing.clone()));
        }
        Ok(standing)
    }

    fn remembered(&self, key: &(IntegrationId, String, String)) -> Option<Standing> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(key).filter(|(at, _)| at.elapsed() < FRESH).map(|(_, standing)| standing.clone())
    }

    async fn look_up(&self, forge: Forge<'_>, repository: &str, person: &Person) -> Result<Standing, AskError> {
        let mut last = None;
        for url in questions(forge.tracker, forge.base_url, repository, person)? {
            let answer = self.fetch(forge, &url).await?;
            // A forge that hides what one may not see says so as well: no member.
            if answer.status != 404 {
                return read(forge.tracker, answer.status, &answer.body);
            }
            last = Some(answer);
        }
        match last {
            Some(_) => Ok(Standing::MayNot("the forge knows him as no member of the repository".to_owned())),
            None => Err(AskError::Never("nobody can be asked".to_owned())),
        }
    }

    async fn fetch(&self, forge: Forge<'_>, url: &Url) -> Result<client::Fetched, AskError> {
        let never = |error: crate::net::NetError| AskError::Never(format!("the forge may not be asked: {error}"));
        self.client.refuse_plain(url).await.map_err(|error| AskError::Later(error.to_string()))?;
        let request = self.client.request(Method::GET, url).map_err(never)?;
        let Forge { integration, base_url, app, token, .. } = forge;
        let of = TokenOf { integration, base_url, app, secret: token };
        let token = self.tokens.of(of, None).await.map_err(|error| {
            let why = error.to_string();
            if error.is_lasting() { AskError::Never(why) } else { AskError::Later(why) }
        })?;
        let token = token.expose();
        let request = match forge.tracker {
            Provider::Gitlab => request.header("private-token", token),
            Provider::Gitea => request.header("authorization", format!("token {token}")),
            _ => request.bearer_auth(token).header("accept", "application/vnd.github+json"),
        };
        let request = request.header("user-agent", "journeyman");
        client::fetch(request, ANSWER_BYTES_MAX)
            .await
            .map_err(|error| AskError::Later(format!("the forge could not be asked: {error}")))
    }
}

/// What a forge knows somebody by: a login, or his account's id, beside which GitLab says nothing of an issue's author.
fn identity(tracker: Provider, person: &Person) -> &str {
    match tracker {
        Provider::Gitlab => person.also.first().unwrap_or(&person.login),
        _ => &person.login,
    }
}

/// Where to ask, in turn: a forge of one's own may have its API below a path.
fn questions(tracker: Provider, base: Option<&str>, repository: &str, person: &Person) -> Result<Vec<Url>, AskError> {
    let part = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let (owner, name) = repository.split_once('/').unwrap_or((repository, ""));
    let base = base.map(|base| base.trim_end_matches('/'));
    let collaborator =
        format!("/repos/{}/{}/collaborators/{}/permission", part(owner), part(name), part(&person.login));
    let texts = match (tracker, base) {
        (Provider::Github, None | Some("https://github.com" | "https://api.github.com")) => {
            vec![format!("https://api.github.com{collaborator}")]
        }
        (Provider::Github, Some(base)) if base.ends_with("/api/v3") => vec![format!("{base}{collaborator}")],
        (Provider::Github, Some(base)) => {
            vec![format!("{base}/api/v3{collaborator}"), format!("{base}{collaborator}")]
        }
        (Provider::Gitlab, base) => {
            let base = base.unwrap_or("https://gitlab.com").trim_end_matches("/api/v4");
            let id = part(identity(tracker, person));
            vec![format!("{base}/api/v4/projects/{}/members/all/{id}", part(repository))]
        }
        (Provider::Gitea, Some(base)) => vec![format!("{}/api/v1{collaborator}", base.trim_end_matches("/api/v1"))],
        (Provider::Gitea, None) => {
            return Err(AskError::Never("the integration has no base_url, so nobody can be asked".to_owned()));
        }
        (Provider::Jira | Provider::Linear, _) => {
            return Err(AskError::Never("this tracker is not asked who may: see allowed_users".to_owned()));
        }
    };
    let parse = |text: &String| {
        Url::parse(text).map_err(|_| AskError::Never("the integration's base_url is no address".to_owned()))
    };
    texts.iter().map(parse).collect()
}

/// What an answer says of him (docs.github.com/rest/collaborators, docs.gitlab.com/api/members, Gitea's swagger).
fn read(tracker: Provider, status: u16, body: &[u8]) -> Result<Standing, AskError> {
    match status {
        200 => {}
        401 | 403 => return Err(AskError::Never(format!("the forge refused the integration's token ({status})"))),
        status => return Err(AskError::Later(format!("the forge answered {status}"))),
    }
    let unread = || AskError::Later("the forge's answer could not be read".to_owned());
    let json: Value = serde_json::from_slice(body).map_err(|_| unread())?;
    if tracker == Provider::Gitlab {
        let level = json.get("access_level").and_then(Value::as_u64).ok_or_else(unread)?;
        let blocked = json.get("state").and_then(Value::as_str).is_some_and(|state| state != "active");
        return Ok(if level >= GITLAB_DEVELOPER && !blocked {
            Standing::MayWrite
        } else {
            Standing::MayNot(format!("his access level is {level}, and 30 is needed"))
        });
    }
    let permission = json.get("permission").and_then(Value::as_str).ok_or_else(unread)?;
    Ok(match permission {
        "owner" | "admin" | "maintain" | "write" => Standing::MayWrite,
        other => Standing::MayNot(format!("his permission is {other}, and write is needed")),
    })
}
