//! Who one is, which team one is in, and who else is.

use super::{Error, Service, access, access::Right};
use crate::{
    domain::{ApiKeyId, Principal, Role, Scope, TeamId, Timestamp, UserId},
    store::{StoreError, accounts},
};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// The principal of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct MeView {
    pub user: MeUser,
    pub team: crate::domain::task::TeamRef,
    pub role: Role,
    /// Null: all that the role allows.
    pub scopes: Option<Vec<Scope>>,
    /// The key that was used; null for a JWT.
    pub api_key: Option<ApiKeyId>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct MeUser {
    pub id: UserId,
    pub name: String,
    pub email: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct TeamView {
    pub id: TeamId,
    pub name: String,
    #[schema(value_type = Object)]
    pub limits: Box<RawValue>,
    pub created_at: Timestamp,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct MemberView {
    pub user: MeUser,
    pub role: Role,
    #[schema(value_type = Object)]
    pub limits: Box<RawValue>,
    pub created_at: Timestamp,
}

/// Who the principal is.
pub fn me(principal: &Principal) -> MeView {
    MeView {
        user: MeUser { id: principal.user, name: principal.user_name.clone(), email: principal.email.clone() },
        team: crate::domain::task::TeamRef { id: principal.team, name: principal.team_name.clone() },
        role: principal.role,
        scopes: principal.scopes.clone(),
        api_key: principal.api_key,
    }
}

impl Service {
    /// The principal's own team.
    pub async fn team(&self, principal: &Principal) -> Result<TeamView, Error> {
        access::require(principal, Right::ReadTeam)?;
        let mut tx = self.store().team(principal.team).await?;
        let row = accounts::own_team(&mut tx).await?.ok_or(Error::NotFound)?;
        tx.commit().await?;
        let limits = raw(row.limits, "teams", row.id)?;
        Ok(TeamView { id: row.id, name: row.name, limits, created_at: row.created_at })
    }

    /// The members of the principal's team after `after`.
    pub async fn members(
        &self,
        principal: &Principal,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Vec<MemberView>, Error> {
        access::require(principal, Right::ReadTeam)?;
        let mut tx = self.store().team(principal.team).await?;
        let rows = accounts::members(&mut tx, after, i64::from(limit)).await?;
        tx.commit().await?;
        rows.into_iter()
            .map(|row| {
                Ok(MemberView {
                    limits: raw(row.limits, "members", row.user)?,
                    user: MeUser { id: row.user, name: row.name, email: row.email },
                    role: row.role,
                    created_at: row.created_at,
                })
            })
            .collect()
    }
}

fn raw(text: String, table: &'static str, id: impl ToString) -> Result<Box<RawValue>, Error> {
    RawValue::from_string(text).map_err(|_| StoreError::corrupt(table, "limits", id).into())
}
