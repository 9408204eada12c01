//! The names of users as tasks show them, remembered for a while: who reads tasks again and again
//! does not look each creator up again.

use super::{Error, Service};
use crate::{
    domain::{Principal, TeamId, UserId, task::UserRef},
    store::{TeamTx, accounts},
};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// How long a name is believed.
const FRESH: Duration = Duration::from_secs(30);
/// Names remembered, at most.
const REMEMBERED_MAX: usize = 10_000;
/// Shown of one whom the team no longer knows.
const LEFT: &str = "(left the team)";

#[derive(Debug, Default)]
pub(super) struct Names {
    known: Mutex<HashMap<(TeamId, UserId), Known>>,
}

#[derive(Debug)]
struct Known {
    name: String,
    at: Instant,
}

impl Names {
    fn fresh(&self, team: TeamId, user: UserId) -> Option<String> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&(team, user)).filter(|known| known.at.elapsed() < FRESH).map(|known| known.name.clone())
    }

    fn learn(&self, team: TeamId, names: &HashMap<UserId, String>) {
        let at = Instant::now();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() + names.len() > REMEMBERED_MAX {
            known.retain(|_, known| known.at.elapsed() < FRESH);
            if known.len() + names.len() > REMEMBERED_MAX {
                known.clear();
            }
        }
        known.extend(names.iter().map(|(user, name)| ((team, *user), Known { name: name.clone(), at })));
    }
}

impl Service {
    /// The users as the principal's team knows them, in their order.
    pub(super) async fn users(
        &self,
        tx: &mut TeamTx,
        principal: &Principal,
        ids: impl IntoIterator<Item = UserId>,
    ) -> Result<Vec<UserRef>, Error> {
        let team = principal.team;
        let users: Vec<(UserId, Option<String>)> =
            ids.into_iter().map(|id| (id, self.names().fresh(team, id))).collect();
        let mut unknown: Vec<UserId> = users.iter().filter(|(_, name)| name.is_none()).map(|(id, _)| *id).collect();
        unknown.sort_unstable();
        unknown.dedup();
        let mut found: HashMap<UserId, String> = HashMap::new();
        if !unknown.is_empty() {
            found.extend(accounts::names(tx, &unknown).await?);
            for id in unknown {
                found.entry(id).or_insert_with(|| LEFT.to_owned());
            }
            self.names().learn(team, &found);
        }
        let named = |(id, name): (UserId, Option<String>)| UserRef {
            id,
            name: name.or_else(|| found.get(&id).cloned()).unwrap_or_else(|| LEFT.to_owned()),
        };
        Ok(users.into_iter().map(named).collect())
    }

    /// One user as the principal's team knows him.
    pub(super) async fn user(&self, tx: &mut TeamTx, principal: &Principal, id: UserId) -> Result<UserRef, Error> {
        let mut users = self.users(tx, principal, [id]).await?;
        users.pop().ok_or_else(|| Error::internal("a user was asked for and none came"))
    }
}
