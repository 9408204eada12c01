//! What groups of an identity provider make of a user: members of teams, with roles. At each login, and with each token that
//! has them, memberships that came from groups follow the groups; those by hand stay.

use crate::{
    clock,
    domain::{MemberOrigin, Role, UserId},
    store::{
        Store, StoreError, accounts,
        identities::{self, TeamOfUser},
    },
};
use serde_json::{Map, Value};
use std::{collections::BTreeMap, sync::Arc};

/// Groups of one user that are looked at, at most.
const GROUPS_MAX: usize = 1_000;

/// Stands for every user.
const EVERYBODY: &str = "*";

/// A group with what it gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMapping {
    /// As the provider names it; `*` is everybody.
    pub group: String,
    /// The team's name; it is made where it is missing.
    pub team: String,
    pub role: Role,
}

/// Where groups stand in tokens, and what they give.
#[derive(Clone, Debug)]
pub struct Groups {
    claim: String,
    mappings: Arc<[GroupMapping]>,
}

impl Groups {
    /// `claim` names the claim that holds a list of names, or one; dots lead into objects (`realm_access.roles`).
    pub fn new(claim: &str, mappings: Vec<GroupMapping>) -> Self {
        Self { claim: claim.to_owned(), mappings: mappings.into() }
    }

    /// The teams that these claims give, each with the highest of its roles.
    fn given(&self, claims: &Map<String, Value>) -> BTreeMap<&str, Role> {
        let names = names(claims, &self.claim);
        let mut given = BTreeMap::new();
        for mapping in self.mappings.iter() {
            if mapping.group == EVERYBODY || names.contains(&mapping.group.as_str()) {
                let role = given.entry(mapping.team.as_str()).or_insert(mapping.role);
                *role = mapping.role.max(*role);
            }
        }
        given
    }

    /// Makes the user's memberships follow the claims, and tells his teams, by name.
    pub(super) async fn follow(
        &self,
        store: &Store,
        user: UserId,
        claims: &Map<String, Value>,
    ) -> Result<Vec<TeamOfUser>, StoreError> {
        let given = self.given(claims);
        let teams = identities::teams(store, user).await?;
        let stands = |name: &str, role: Role| {
            teams.iter().any(|team| {
                team.name == name
                    && (team.origin == MemberOrigin::Manual || (team.origin, team.role) == (MemberOrigin::Groups, role))
            })
        };
        let lost =
            teams.iter().any(|team| team.origin == MemberOrigin::Groups && !given.contains_key(team.name.as_str()));
        if !lost && given.iter().all(|(name, role)| stands(name, *role)) {
            return Ok(teams);
        }
        let mut wanted = Vec::new();
        for (name, role) in given {
            let team = match accounts::team_by_name(store, name).await? {
                Some(team) => team,
                None => accounts::ensure_team(store, clock::new_id(), name).await?,
            };
            wanted.push((team, role));
        }
        identities::follow_groups(store, user, &wanted).await?;
        identities::teams(store, user).await
    }
}

/// The names in a claim.
fn names<'a>(claims: &'a Map<String, Value>, claim: &str) -> Vec<&'a str> {
    let found = claims.get(claim).or_else(|| {
        let mut parts = claim.split('.');
        let first = claims.get(parts.next()?)?;
        parts.try_fold(first, |value, part| value.get(part))
    });
    match found {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).take(GROUPS_MAX).collect(),
        _ => Vec::new(),
    }
}
