//! A server inside a command: the same rooms on the same data directory, for as long as the command
//! runs. And the key by which commands on this machine speak to the server that holds it.

use super::serve::{FirstAdmin, Role, Server};
use crate::{
    auth, clock,
    config::Settings,
    domain::{Role as MemberRole, TeamId, UserId},
    shutdown::Shutdown,
    store::{Store, accounts},
};
use anyhow::Context;
use std::path::Path;

const LOCAL_KEY: &str = "local-key";

/// A running embedded server.
#[derive(Debug)]
pub struct Embedded {
    pub base_url: String,
    pub key: String,
    server: Server,
}

impl Embedded {
    /// Starts on the settings' data directory, on a free port of the loopback.
    ///
    /// # Errors
    /// Where another process holds the data directory, and as for serving.
    pub async fn start(mut settings: Settings) -> anyhow::Result<Self> {
        settings.http.listen = ([127, 0, 0, 1], 0).into();
        // Ended before a second task comes.
        settings.workspace.ready.size.get_or_insert(0);
        let how = (Role::All, true, FirstAdmin::Awaited);
        let server = Server::begin(&settings, how, Shutdown::new(), None).await?;
        let address = server.address.context("the server does not listen")?;
        let key = local_key_of(&settings.data_dir).context("the local key was not made")?;
        Ok(Self { base_url: format!("http://{address}"), key, server })
    }

    /// Drains and ends it: what still runs is parked, to go on at the next start.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.server.shutdown.drain();
        self.server.finished().await
    }
}

/// The key of the server on this data directory; readable by its owner alone.
pub fn local_key_of(data_dir: &Path) -> Option<String> {
    let text = std::fs::read_to_string(data_dir.join(LOCAL_KEY)).ok()?;
    Some(text.trim().to_owned()).filter(|key| !key.is_empty())
}

/// Makes that key once: an admin of the first team, called `local`. A key that the database does not
/// know (it was exchanged) is made anew.
pub(super) async fn local_key(store: &Store, data_dir: &Path) -> anyhow::Result<()> {
    let path = data_dir.join(LOCAL_KEY);
    if let Some(key) = local_key_of(data_dir) {
        let authenticator = auth::Authenticator::new(store.clone(), None);
        if authenticator.authenticate(Some(&format!("Bearer {key}"))).await.is_ok() {
            return Ok(());
        }
        std::fs::remove_file(&path).with_context(|| path.display().to_string())?;
    }
    let team: TeamId = accounts::ensure_team(store, clock::new_id(), "default").await?;
    let identity = accounts::Identity { issuer: "local", subject: "local", name: "local", email: None };
    let user: UserId = accounts::ensure_user(store, clock::new_id(), identity).await?;
    accounts::set_member(store, team, user, MemberRole::Admin).await?;
    let (_, key) = auth::issue(store, team, user, "commands on this machine", None, None).await?;
    super::keys::once(&path, || key.expose().to_owned())?;
    Ok(())
}
