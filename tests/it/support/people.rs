//! Users of a service, made as an operator makes them.

use super::service::{Api, Ground};
use journeyman::{
    app::{AdminAction, admin},
    domain::Role,
};

impl Ground {
    /// A member of a team, both made where they are not known; a caller with a new key.
    pub(crate) async fn member(&self, base: &str, team: &str, name: &str) -> Api {
        let data = tempfile::tempdir().unwrap();
        let settings = self.settings(data.path());
        let (team, user) = (team.to_owned(), name.to_owned());
        let mut told = Vec::new();
        for action in [
            AdminAction::AddTeam { name: team.clone() },
            AdminAction::AddUser { name: user.clone(), team: team.clone(), role: Role::Member, email: None },
            AdminAction::AddKey { name: "test".to_owned(), user, team, scopes: None, expires_at: None },
        ] {
            told = admin(&settings, action).await.unwrap();
        }
        Api { base: base.to_owned(), key: told.pop().unwrap(), http: reqwest::Client::new() }
    }
}
