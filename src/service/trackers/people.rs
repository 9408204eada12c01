//! Who somebody at a tracker is to the team.

use crate::{
    domain::{Principal, Role, UserId, linked_account::Provider},
    service::Error,
    store::{TeamTx, linked_accounts, members, trackers::integrations::IntegrationRow},
    trackers::{Issue, Person, rules::Wanted},
};
use url::Url;

/// What is known of an account at a tracker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// A member of the team who may make tasks.
    Member(UserId),
    /// The integration names him.
    Allowed,
    /// The forge lets him write to the repository.
    MayWrite,
    /// Nobody says that he may; why not.
    Stranger(String),
    /// The forge is to be asked.
    Unasked,
}

impl Known {
    /// Whether he may make and steer tasks, and his words are those of somebody who may.
    pub fn may(&self) -> bool {
        matches!(self, Self::Member(_) | Self::Allowed | Self::MayWrite)
    }

    pub(super) fn member(&self) -> Option<UserId> {
        match self {
            Self::Member(user) => Some(*user),
            _ => None,
        }
    }

    /// Why he may not; none where he may.
    pub(super) fn why_not(&self, person: Option<&Person>) -> Option<String> {
        let name = person.map_or("whoever did it", |person| person.login.as_str());
        match self {
            Self::Stranger(why) => Some(format!("{name} may not make or steer tasks: {why}")),
            Self::Unasked => Some(format!("{name} may not make or steer tasks: nobody was asked about him")),
            _ => None,
        }
    }

    /// For the model.
    pub(super) fn standing(&self) -> &'static str {
        match self {
            Self::Member(_) => "a member of the team that you work for",
            Self::Allowed | Self::MayWrite => "who may ask for changes here",
            Self::Stranger(_) | Self::Unasked => "a stranger: nobody vouches for what is written",
        }
    }
}

/// Whether only some may ask for it. What a forge lets people close or merge, and what its checks came to, is so.
pub(super) fn needs_leave(wanted: &Wanted) -> bool {
    match wanted {
        Wanted::Task { .. } | Wanted::Message { .. } => true,
        Wanted::Cancel { ended, .. } => !ended,
        Wanted::Failure { .. } | Wanted::Merged { .. } | Wanted::Reopened | Wanted::Moved | Wanted::Nothing(_) => false,
    }
}

/// Whether the forge can be asked who may.
pub(super) fn can_be_asked_about(row: &IntegrationRow) -> bool {
    let forge = match row.tracker {
        Provider::Github | Provider::Gitlab => true,
        Provider::Gitea => row.spec.base_url.is_some(),
        Provider::Jira | Provider::Linear => false,
    };
    forge && row.has_token
}

/// What the team itself knows of somebody.
pub(super) async fn known(tx: &mut TeamTx, row: &IntegrationRow, person: Option<&Person>) -> Result<Known, Error> {
    let Some(person) = person else { return Ok(Known::Stranger("the tracker does not say who it was".to_owned())) };
    let host = host(row);
    // GitLab gives of an issue's author the id alone, which may be somebody's login.
    let has_login = row.tracker != Provider::Gitlab || person.login != person.id;
    let login = if has_login { person.login.as_str() } else { "" };
    let linked = linked_accounts::meet(tx, row.tracker, host.as_deref(), login, &person.id).await?;
    if let [user] = linked.as_slice() {
        let member = members::get(tx, *user).await?;
        if member.is_some_and(|member| member.role >= Role::Member && !member.deactivated) {
            return Ok(Known::Member(*user));
        }
    }
    if row.spec.allowed_users.iter().any(|name| person.is_called(name)) {
        return Ok(Known::Allowed);
    }
    if can_be_asked_about(row) {
        return Ok(Known::Unasked);
    }
    let why = if row.has_token || matches!(row.tracker, Provider::Jira | Provider::Linear) {
        "allowed_users does not name him, and no member has this account"
    } else {
        "allowed_users does not name him, no member has this account, and without a token the forge is not asked"
    };
    Ok(Known::Stranger(why.to_owned()))
}

/// What is known of who wrote an issue. Where that is said to be somebody else's word, both must be let: what is known of him then
/// counts who is known less.
pub(super) async fn known_author(tx: &mut TeamTx, row: &IntegrationRow, issue: &Issue) -> Result<Known, Error> {
    let author = known(tx, row, issue.author.as_ref()).await?;
    if issue.in_the_name_of.is_none() || !author.may() {
        return Ok(author);
    }
    let other = known(tx, row, issue.in_the_name_of.as_ref()).await?;
    Ok(if other.may() { author } else { other })
}

/// Where accounts are: logins of one host say nothing of another's. Absent where the integration does not say: a login
/// that two members have is then nobody's.
fn host(row: &IntegrationRow) -> Option<String> {
    let Some(base) = row.spec.base_url.as_deref() else { return row.tracker.usual_host().map(str::to_owned) };
    let url = Url::parse(base).ok()?;
    let host = match url.port() {
        Some(port) => format!("{}:{port}", url.host_str()?),
        None => url.host_str()?.to_owned(),
    };
    Some(if host == "api.github.com" { "github.com".to_owned() } else { host })
}

/// The principal as whom tasks of a member are made.
pub(super) async fn principal(tx: &mut TeamTx, row: &IntegrationRow, user: UserId) -> Result<Option<Principal>, Error> {
    let member = members::get(tx, user).await?.filter(|member| !member.deactivated && member.role >= Role::Member);
    Ok(member.map(|member| Principal {
        team: row.team,
        team_name: String::new(),
        user,
        user_name: member.name,
        email: member.email,
        role: member.role,
        operator: false,
        scopes: None,
        api_key: None,
        session: None,
    }))
}
