//! Users of the whole instance, for its operators; and what becomes of the tasks of those who leave.

use crate::{
    auth::Ending,
    domain::{Principal, TeamId, Timestamp, UserId},
    service::{
        Error, Service, access,
        access::Right,
        audit::{self, Action, Subject},
    },
    store::{
        api_keys, sessions,
        users::{self, UserRow},
    },
};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// Tasks that are cancelled between two looks.
const TASKS_AT_ONCE: u32 = 100;

/// A user as operators of the instance see him.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct UserView {
    pub id: UserId,
    /// Who vouches for him: `iss` of his tokens, or `local`.
    pub issuer: String,
    pub subject: String,
    pub name: String,
    pub email: Option<String>,
    pub operator: bool,
    pub created_at: Timestamp,
    /// Null: he is active.
    pub deactivated_at: Option<Timestamp>,
}

impl From<UserRow> for UserView {
    fn from(row: UserRow) -> Self {
        Self {
            id: row.id,
            issuer: row.issuer,
            subject: row.subject,
            name: row.name,
            email: row.email,
            operator: row.operator,
            created_at: row.created_at,
            deactivated_at: row.deactivated_at,
        }
    }
}

impl Service {
    /// Users after `after`, in the order of their ids.
    pub async fn users_of_instance(
        &self,
        principal: &Principal,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Vec<UserView>, Error> {
        access::require(principal, Right::ManageUsers)?;
        let rows = users::list(self.store(), after, limit).await?;
        Ok(rows.into_iter().map(Into::into).collect())
    }

    pub async fn user_of_instance(&self, principal: &Principal, id: UserId) -> Result<UserView, Error> {
        access::require(principal, Right::ManageUsers)?;
        let row = users::get(self.store(), id).await?.ok_or(Error::NotFound)?;
        Ok(row.into())
    }

    /// Ends a user's keys, sessions, streams and tokens, everywhere within seconds, and cancels his tasks. Called again it
    /// goes on where it was cut off.
    pub async fn deactivate_user(&self, principal: &Principal, id: UserId) -> Result<UserView, Error> {
        access::require(principal, Right::ManageUsers)?;
        if id == principal.user {
            return Err(Error::Conflict {
                code: "oneself",
                detail: "you cannot deactivate yourself: have another operator do it".to_owned(),
                state: None,
            });
        }
        let mut tx = self.store().operator(principal.team).await?;
        if !users::deactivate(&mut tx, id).await? {
            return Err(Error::NotFound);
        }
        api_keys::revoke_all(&mut tx, id, None).await?;
        sessions::end_all(&mut tx, id).await?;
        audit::record(&mut tx, principal, Action::UserDeactivated, Subject::new("user", id), Value::Null).await?;
        tx.commit().await?;
        self.inner.authenticator.end(Ending { user: Some(id), ..Ending::default() });
        self.cancel_tasks_of(principal, id, None).await?;
        self.user_of_instance(principal, id).await
    }

    /// Lets a user in again. What ended with his deactivation stays ended.
    pub async fn reactivate_user(&self, principal: &Principal, id: UserId) -> Result<UserView, Error> {
        access::require(principal, Right::ManageUsers)?;
        let mut tx = self.store().operator(principal.team).await?;
        if !users::reactivate(&mut tx, id).await? {
            return Err(Error::NotFound);
        }
        audit::record(&mut tx, principal, Action::UserReactivated, Subject::new("user", id), Value::Null).await?;
        tx.commit().await?;
        self.user_of_instance(principal, id).await
    }

    /// Cancels what a user has not finished, in one team or in all, in the name of who sent him away.
    pub(super) async fn cancel_tasks_of(
        &self,
        by: &Principal,
        user: UserId,
        team: Option<TeamId>,
    ) -> Result<(), Error> {
        let mut after = None;
        loop {
            let tasks = users::unfinished(self.store(), user, team, after, TASKS_AT_ONCE).await?;
            let Some((_, last)) = tasks.last() else { return Ok(()) };
            after = Some(*last);
            for (team, task) in tasks {
                let there = Principal { team, ..by.clone() };
                match self.cancel_for_leaving(&there, task).await {
                    // It has ended or gone by itself.
                    Ok(()) | Err(Error::Conflict { .. } | Error::NotFound) => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }

    /// Forgets here at once how a user stood in a team; other replicas hear of it.
    pub(super) fn forget_member(&self, team: TeamId, user: UserId) {
        self.inner.authenticator.end(Ending { user: Some(user), team: Some(team), ..Ending::default() });
    }
}
