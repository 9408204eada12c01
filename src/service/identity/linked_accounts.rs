//! Accounts of members at forges and trackers. Nobody becomes another by his own word: what a member says of himself an admin
//! confirms, what others say of him he confirms himself.

use crate::{
    clock,
    domain::{
        LinkedAccountId, Principal, Timestamp, UserId,
        linked_account::{LinkState, Provider},
    },
    service::{
        Answer, Error, Faults, Idempotency, Service, access,
        access::Right,
        audit::{self, Action, Subject},
        idempotency,
    },
    store::{
        StoreError,
        linked_accounts::{self, LinkRow, NewLink},
        members,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

const HOST_CHARS_MAX: usize = 260;
const LOGIN_CHARS_MAX: usize = 200;
/// Links of one member.
const LINKS_MAX: u32 = 50;

#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewLinkedAccount {
    pub provider: Provider,
    /// A host's name, perhaps with a port; absent: `github.com`, `gitlab.com`, `linear.app`.
    #[schema(example = "git.example.org")]
    pub host: Option<String>,
    /// As the provider calls him: its user name, or what it identifies accounts by.
    #[schema(max_length = 200)]
    pub login: String,
    /// The member whose it is; absent: the caller. Others' are for admins.
    pub user: Option<UserId>,
}

/// An account of a member elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct LinkedAccountView {
    pub id: LinkedAccountId,
    pub user: UserId,
    pub provider: Provider,
    pub host: String,
    pub login: String,
    pub state: LinkState,
    /// Null: the service found it.
    pub proposed_by: Option<UserId>,
    pub confirmed_by: Option<UserId>,
    pub created_at: Timestamp,
    pub confirmed_at: Option<Timestamp>,
}

impl From<LinkRow> for LinkedAccountView {
    fn from(row: LinkRow) -> Self {
        Self {
            id: row.id,
            user: row.user,
            provider: row.provider,
            host: row.host,
            login: row.login,
            state: row.state,
            proposed_by: row.proposed_by,
            confirmed_by: row.confirmed_by,
            created_at: row.created_at,
            confirmed_at: row.confirmed_at,
        }
    }
}

impl Service {
    /// Proposes a link: of one's own, or an admin of any member's.
    pub async fn propose_link(
        &self,
        principal: &Principal,
        new: NewLinkedAccount,
        key: Option<&Idempotency>,
    ) -> Result<Answer, Error> {
        access::require(principal, Right::OwnLinks)?;
        let user = new.user.unwrap_or(principal.user);
        if user != principal.user {
            access::require(principal, Right::ManageLinks)?;
        }
        let (host, login) = check(&new)?;
        let mut tx = self.store().team(principal.team).await?;
        if let Some(done) = idempotency::begin(&mut tx, principal, key).await? {
            return Ok(done);
        }
        if members::get(&mut tx, user).await?.is_none() {
            return Err(Error::invalid("/user", "there is no such member"));
        }
        if linked_accounts::count(&mut tx, user).await? >= LINKS_MAX {
            return Err(conflict("too_many_links", format!("a member may have {LINKS_MAX} linked accounts")));
        }
        let row = NewLink {
            id: clock::new_id(),
            user,
            provider: new.provider,
            host: &host,
            login: &login,
            proposed_by: Some(principal.user),
        };
        let row = linked_accounts::insert(&mut tx, principal.team, row).await.map_err(|error| match error {
            StoreError::Conflict(constraint) if constraint == "linked_accounts_login" => {
                conflict("already_linked", "this login is linked to a member already: an admin can delete that link")
            }
            error => error.into(),
        })?;
        note(&mut tx, principal, Action::LinkedAccountProposed, &row).await?;
        let id = row.id;
        let answer = Answer::new(201, &LinkedAccountView::from(row))?.at(format!("/v1/linked_accounts/{id}"));
        idempotency::commit(tx, principal, key, answer).await
    }

    /// Links, newest first: one's own, of an admin the team's.
    pub async fn links(
        &self,
        principal: &Principal,
        state: Option<LinkState>,
        before: Option<LinkedAccountId>,
        limit: u32,
    ) -> Result<Vec<LinkedAccountView>, Error> {
        access::require(principal, Right::OwnLinks)?;
        let whose = (!access::may(principal, Right::ManageLinks)).then_some(principal.user);
        let mut tx = self.store().team(principal.team).await?;
        let rows = linked_accounts::list(&mut tx, whose, state, before, limit).await?;
        tx.commit().await?;
        Ok(rows.into_iter().map(Into::into).collect())
    }

    pub async fn link(&self, principal: &Principal, id: LinkedAccountId) -> Result<LinkedAccountView, Error> {
        access::require(principal, Right::OwnLinks)?;
        let mut tx = self.store().team(principal.team).await?;
        let row = visible(principal, linked_accounts::lock(&mut tx, id).await?)?;
        tx.commit().await?;
        Ok(row.into())
    }

    /// Confirms a link, so that its login means its user. Confirmed again it stays as it is.
    pub async fn confirm_link(&self, principal: &Principal, id: LinkedAccountId) -> Result<LinkedAccountView, Error> {
        access::require(principal, Right::OwnLinks)?;
        let mut tx = self.store().team(principal.team).await?;
        let row = visible(principal, linked_accounts::lock(&mut tx, id).await?)?;
        if row.state == LinkState::Confirmed {
            return Ok(row.into());
        }
        if row.user != principal.user || row.proposed_by == Some(principal.user) {
            // What he says of himself is not shown by his saying it again.
            access::require(principal, Right::ManageLinks)?;
        }
        let row = linked_accounts::confirm(&mut tx, id, principal.user).await?.ok_or(Error::NotFound)?;
        note(&mut tx, principal, Action::LinkedAccountConfirmed, &row).await?;
        tx.commit().await?;
        Ok(row.into())
    }

    pub async fn delete_link(&self, principal: &Principal, id: LinkedAccountId) -> Result<(), Error> {
        access::require(principal, Right::OwnLinks)?;
        let mut tx = self.store().team(principal.team).await?;
        let row = visible(principal, linked_accounts::lock(&mut tx, id).await?)?;
        linked_accounts::delete(&mut tx, id).await?;
        note(&mut tx, principal, Action::LinkedAccountDeleted, &row).await?;
        tx.commit().await?;
        Ok(())
    }
}

async fn note(
    tx: &mut crate::store::TeamTx,
    principal: &Principal,
    action: Action,
    row: &LinkRow,
) -> Result<(), Error> {
    let detail: Value = json!({ "user": row.user, "provider": row.provider, "host": row.host });
    audit::record(tx, principal, action, Subject::new("linked_account", row.id), detail).await
}

fn visible(principal: &Principal, row: Option<LinkRow>) -> Result<LinkRow, Error> {
    let may = |row: &LinkRow| row.user == principal.user || access::may(principal, Right::ManageLinks);
    row.filter(may).ok_or(Error::NotFound)
}

/// Host and login as they are kept.
fn check(new: &NewLinkedAccount) -> Result<(String, String), Error> {
    let mut faults = Faults::default();
    let host = match (&new.host, new.provider.usual_host()) {
        (Some(host), _) => host.trim().to_ascii_lowercase(),
        (None, Some(usual)) => usual.to_owned(),
        (None, None) => {
            faults.add("/host", "must be named for this provider");
            String::new()
        }
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']');
    if new.host.is_some() && (host.is_empty() || host.len() > HOST_CHARS_MAX || !host.bytes().all(plain)) {
        faults.add("/host", "must be a host's name, perhaps with a port: git.example.org");
    }
    let login = new.login.trim().trim_start_matches('@').to_owned();
    faults.line("/login", &login, LOGIN_CHARS_MAX);
    if login.chars().any(char::is_whitespace) {
        faults.add("/login", "may not contain blanks");
    }
    faults.finish()?;
    Ok((host, login))
}

fn conflict(code: &'static str, detail: impl Into<String>) -> Error {
    Error::Conflict { code, detail: detail.into(), state: None }
}
