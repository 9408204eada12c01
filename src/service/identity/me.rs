//! Who one is, and what one may.

use crate::{
    domain::{ApiKeyId, Principal, Role, Scope, SessionId, TeamId, UserId, task::TeamRef},
    service::{Error, Service},
    store::identities,
};
use serde::Serialize;
use utoipa::ToSchema;

/// The principal of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct MeView {
    pub user: MeUser,
    pub team: TeamRef,
    pub role: Role,
    /// Whether one is an operator of the instance.
    pub operator: bool,
    /// Null: all that the role allows.
    pub scopes: Option<Vec<Scope>>,
    /// The key that was used; null for a JWT and a session.
    pub api_key: Option<ApiKeyId>,
    /// The browser session that was used.
    pub session: Option<SessionId>,
    /// The teams among which one chooses: with a session all of one's own, by the header `Journeyman-Team` or the cookie
    /// `journeyman_team`; else the one.
    pub teams: Vec<MyTeam>,
}

/// A team that one is in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct MyTeam {
    pub id: TeamId,
    pub name: String,
    pub role: Role,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct MeUser {
    pub id: UserId,
    pub name: String,
    pub email: Option<String>,
}

impl Service {
    /// Who the principal is.
    pub async fn me(&self, principal: &Principal) -> Result<MeView, Error> {
        let own = || MyTeam { id: principal.team, name: principal.team_name.clone(), role: principal.role };
        let teams = match principal.session {
            Some(_) => {
                let teams = identities::teams(self.store(), principal.user).await?;
                teams.into_iter().map(|team| MyTeam { id: team.team, name: team.name, role: team.role }).collect()
            }
            None => vec![own()],
        };
        Ok(MeView {
            user: MeUser { id: principal.user, name: principal.user_name.clone(), email: principal.email.clone() },
            team: TeamRef { id: principal.team, name: principal.team_name.clone() },
            role: principal.role,
            operator: principal.operator,
            scopes: principal.scopes.clone(),
            api_key: principal.api_key,
            session: principal.session,
            teams,
        })
    }
}
