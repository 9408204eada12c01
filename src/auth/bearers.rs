//! Bearers of JWTs: who they are, and in which team.

use super::{
    AuthError, Authenticator, Refusal,
    authenticator::TeamChoice,
    jwt::{self, Claims, Fault, JwtSettings},
};
use crate::{
    clock,
    domain::{MemberOrigin, Principal, Role, TeamId, UserId},
    store::{
        accounts,
        identities::{self, Membership, TeamOfUser},
    },
};
use std::time::Duration;

/// The team that somebody works in now.
pub(super) struct Place {
    pub(super) team: TeamId,
    pub(super) name: String,
    pub(super) role: Role,
}

impl From<TeamOfUser> for Place {
    fn from(team: TeamOfUser) -> Self {
        Self { team: team.team, name: team.name, role: team.role }
    }
}

/// The one of his teams that somebody chooses, else the first by name.
pub(super) fn chosen(teams: Vec<TeamOfUser>, choice: Option<&TeamChoice>) -> Result<Place, AuthError> {
    let named = choice.and_then(|choice| teams.iter().position(|team| choice.is(team.team, &team.name)));
    match (named, choice) {
        (None, Some(choice)) if choice.strict => Err(AuthError::NotInTeam),
        (at, _) => Ok(teams.into_iter().nth(at.unwrap_or(0)).ok_or(AuthError::NoTeam)?.into()),
    }
}

impl Authenticator {
    pub(super) async fn by_jwt(
        &self,
        settings: &JwtSettings,
        token: &str,
        choice: Option<&TeamChoice>,
    ) -> Result<(Principal, Duration), AuthError> {
        let claims = jwt::verify(settings, token).await.map_err(|fault| match fault {
            Fault::Refused(why) => AuthError::Refused(Refusal(why)),
            Fault::NoKeySet => AuthError::NoKeySet,
        })?;
        let name = display_name(&claims);
        let identity = accounts::Identity {
            issuer: claims.iss.as_deref().unwrap_or("jwt"),
            subject: &claims.sub,
            name,
            email: claims.email.as_deref(),
        };
        // A token for no team here makes no user.
        let named = self.named_team(settings, &claims).await?;
        let user = identities::see(self.store(), clock::new_id(), identity).await?;
        if user.deactivated {
            return Err(AuthError::Refused(Refusal("the user is deactivated")));
        }
        let place = self.place(settings, &claims, named, user.id, choice).await?;
        let left = claims.exp.saturating_sub(clock::now().0.unix_timestamp()).max(0);
        let principal = Principal {
            team: place.team,
            team_name: place.name,
            user: user.id,
            user_name: name.to_owned(),
            email: claims.email.clone(),
            role: place.role,
            operator: user.operator,
            scopes: None,
            api_key: None,
            session: None,
        };
        Ok((principal, Duration::from_secs(left.unsigned_abs())))
    }

    /// The team of the token's own claim, made where the operator lets it.
    async fn named_team(&self, settings: &JwtSettings, claims: &Claims) -> Result<Option<(TeamId, String)>, AuthError> {
        let Some(name) = &claims.team else { return Ok(None) };
        let team = match accounts::team_by_name(self.store(), name).await? {
            Some(team) => team,
            None if settings.new_teams => accounts::ensure_team(self.store(), clock::new_id(), name).await?,
            None => return Err(AuthError::UnknownTeam),
        };
        Ok(Some((team, name.clone())))
    }

    /// Where a bearer works: in the team of the token's claim, with the role of its claim whatever the member's row says; what
    /// the token leaves open, its groups and the member's rows tell.
    async fn place(
        &self,
        settings: &JwtSettings,
        claims: &Claims,
        named: Option<(TeamId, String)>,
        user: UserId,
        choice: Option<&TeamChoice>,
    ) -> Result<Place, AuthError> {
        let teams = match &settings.groups {
            Some(groups) => groups.follow(self.store(), user, &claims.others).await?,
            None => Vec::new(),
        };
        match (named, claims.role) {
            (Some((team, name)), Some(role)) => {
                self.admit(team, user, Membership { role, origin: MemberOrigin::Token }).await?;
                Ok(Place { team, name, role })
            }
            (Some((team, name)), None) => {
                let own = teams.into_iter().find(|one| one.team == team).ok_or(AuthError::UnknownTeam)?;
                Ok(Place { team, name, role: own.role })
            }
            (None, most) => {
                let place = chosen(teams, choice)?;
                // A role without a team is no more than groups give.
                Ok(Place { role: most.map_or(place.role, |most| most.min(place.role)), ..place })
            }
        }
    }

    /// Makes the user a member as his token says, unless an admin has removed him.
    async fn admit(&self, team: TeamId, user: UserId, as_said: Membership) -> Result<(), AuthError> {
        let (stands, removed) = identities::membership(self.store(), team, user).await?;
        match stands {
            Some(stands) if stands.origin == MemberOrigin::Manual || stands == as_said => Ok(()),
            None if removed => Err(AuthError::Removed),
            _ => Ok(identities::admit(self.store(), team, user, as_said).await?),
        }
    }
}

fn display_name(claims: &Claims) -> &str {
    claims.name.as_deref().or(claims.email.as_deref()).unwrap_or(&claims.sub)
}
