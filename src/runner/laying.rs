//! From a base to an open workspace over a fresh working copy.
//!
//! A copy is laid out where an idle sandbox already is, or is being started meanwhile: nothing runs there before the
//! copy is whole and in its place. One that is not whole is never taken for a copy.

use super::{
    Deps,
    journal::Halt,
    network::{self, Uses},
    outfit::Outfit,
    setup,
};
use crate::{
    domain::{TaskId, TeamId, event::TreeDelta},
    egress::Access,
    workspace::{OpenSandbox, TakeSandbox, Taken, Workspace, WorkspaceError, remove_tree, repository::Base},
};
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The task that a copy is laid out for.
#[derive(Clone, Copy)]
pub(super) struct Whose<'a> {
    pub(super) team: TeamId,
    pub(super) task: TaskId,
    pub(super) uses: &'a Uses,
}

/// Whose copy it is and what it holds.
#[derive(Clone, Copy)]
pub(super) struct Laying<'a> {
    pub(super) deps: &'a Arc<Deps>,
    pub(super) whose: Whose<'a>,
    pub(super) base: &'a Base,
    pub(super) delta: &'a TreeDelta,
    pub(super) outfit: &'a Outfit,
}

/// How a workspace is opened over a directory, beside what its environment says.
pub(super) struct Opening<'a> {
    pub(super) directory: PathBuf,
    /// What it may reach, of which it is to trust the certificates.
    pub(super) access: Option<&'a Access>,
    pub(super) env: Vec<(String, String)>,
    pub(super) low_priority: bool,
}

impl<'a> Laying<'a> {
    /// Lays the copy out, with what the environment's setup prepared, and opens a workspace over it. What is not prepared
    /// on this host any more is prepared again first. The copy is whole or not there, also where no workspace could be
    /// opened.
    pub(super) async fn fresh(self, opening: Opening<'_>) -> Result<Workspace, Halt> {
        let prepared = self.prepared().await?;
        if !self.deps.sandboxes.keeps_copies() {
            return self.before(opening, prepared).await;
        }
        // What certificates it trusts is mounted, and a sandbox that is ready has no such mount.
        let taken = match opening.access.and_then(Access::bundle) {
            None => self.take().await,
            Some(_) => None,
        };
        if let Some(taken) = taken {
            return self.in_taken(taken, opening, prepared).await;
        }
        // Of one that was taken and whose copy was never whole.
        remove(self.deps.sandboxes.directory(self.whose.task).warm()).await.map_err(Halt::Disk)?;
        self.beside(opening, prepared).await
    }

    /// The same for a further copy of the task, for checks: none of those that are ready is of its user.
    pub(super) async fn further(self, opening: Opening<'_>) -> Result<Workspace, Halt> {
        let prepared = self.prepared().await?;
        if self.deps.sandboxes.keeps_copies() {
            self.beside(opening, prepared).await
        } else {
            self.before(opening, prepared).await
        }
    }

    /// Lays out a tree alone.
    pub(super) async fn bare(self, directory: &Path) -> Result<(), Halt> {
        // What a crash or an earlier run left; links in it are removed, not followed.
        remove(directory.to_owned()).await.map_err(Halt::Disk)?;
        self.fill(directory, None).await
    }

    async fn prepared(self) -> Result<Option<&'a str>, Halt> {
        setup::ensure(self.deps, self.whose, self.base, self.outfit).await
    }

    async fn take(self) -> Option<Taken> {
        let wanted = TakeSandbox {
            task: self.whose.task,
            image: self.outfit.image.clone(),
            limits: self.deps.limits,
            mirrors: self.base.mount(),
        };
        self.deps.sandboxes.take(&wanted).await
    }

    /// In a sandbox that was ready.
    async fn in_taken(self, taken: Taken, opening: Opening<'_>, prepared: Option<&str>) -> Result<Workspace, Halt> {
        let place = taken.directory().to_owned();
        self.fill(&place, prepared).await?;
        self.put_in_place(place, &opening.directory).await?;
        let env = env(self.outfit, &opening);
        match taken.open(env, self.base.tracked()).await {
            Ok(workspace) => {
                know(self.base, &workspace, &opening.directory).await;
                Ok(workspace)
            }
            Err(error) => {
                tracing::warn!(task.id = %self.whose.task, %error, "a sandbox that was ready died: another is opened");
                open(self.deps, self.whose.task, self.base, opening, self.outfit).await
            }
        }
    }

    /// With a sandbox that starts while the copy is laid out.
    async fn beside(self, opening: Opening<'_>, prepared: Option<&str>) -> Result<Workspace, Halt> {
        let place = opening.directory.with_extension("part");
        remove(place.clone()).await.map_err(Halt::Disk)?;
        self.deps.sandboxes.prepare(self.whose.task, place.clone()).await?;
        let sandbox = async {
            let open = open_sandbox(self.deps, self.whose.task, self.base, &opening, self.outfit).await?;
            Ok::<_, Halt>(self.deps.sandboxes.open(OpenSandbox { copy: place.clone(), ..open }).await?)
        };
        let (filled, opened) = tokio::join!(self.fill(&place, prepared), sandbox);
        filled?;
        self.put_in_place(place, &opening.directory).await?;
        let workspace = opened?;
        know(self.base, &workspace, &opening.directory).await;
        Ok(workspace)
    }

    /// For a sandbox that the files are carried to: it is opened once they are there.
    async fn before(self, opening: Opening<'_>, prepared: Option<&str>) -> Result<Workspace, Halt> {
        let place = opening.directory.with_extension("part");
        remove(place.clone()).await.map_err(Halt::Disk)?;
        self.fill(&place, prepared).await?;
        self.put_in_place(place, &opening.directory).await?;
        open(self.deps, self.whose.task, self.base, opening, self.outfit).await
    }

    async fn fill(self, directory: &Path, prepared: Option<&str>) -> Result<(), Halt> {
        let Self { deps, whose: Whose { team, task, .. }, base, delta, .. } = self;
        let owner = deps.sandboxes.owner_uid(task);
        let contents = deps.blobs.of_team(team);
        deps.repositories.materialize(base, delta, contents, directory, owner, true).await?;
        let Some(key) = prepared else { return Ok(()) };
        if deps.prepared.lay(team, key, directory.to_owned(), owner).await? {
            return Ok(());
        }
        let why = "what the setup prepared was removed meanwhile: give it more room (JOURNEYMAN_SNAPSHOTS_MIB)";
        Err(WorkspaceError::Refused { why: why.to_owned() }.into())
    }

    async fn put_in_place(self, from: PathBuf, to: &Path) -> Result<(), Halt> {
        remove(to.to_owned()).await.map_err(Halt::Disk)?;
        Ok(self.deps.repositories.put_in_place(from, to.to_owned()).await?)
    }
}

/// The environment of a workspace's commands: the outfit's variables, and what the opening adds.
fn env(outfit: &Outfit, opening: &Opening<'_>) -> Vec<(String, String)> {
    outfit.variables.iter().chain(&opening.env).cloned().collect()
}

/// Opens a sandbox over a directory, with what else is mounted and the environment of its commands.
pub(super) async fn open(
    deps: &Deps,
    task: TaskId,
    base: &Base,
    opening: Opening<'_>,
    outfit: &Outfit,
) -> Result<Workspace, Halt> {
    let open = open_sandbox(deps, task, base, &opening, outfit).await?;
    let workspace = deps.sandboxes.open(open).await?;
    // Files that were carried elsewhere are others than those that were laid out here.
    if deps.sandboxes.keeps_copies() {
        know(base, &workspace, &opening.directory).await;
    }
    Ok(workspace)
}

async fn open_sandbox(
    deps: &Deps,
    task: TaskId,
    base: &Base,
    opening: &Opening<'_>,
    outfit: &Outfit,
) -> Result<OpenSandbox, Halt> {
    let mut mirrors = base.mount();
    if let Some(access) = opening.access {
        mirrors.extend(network::bundle(access, &opening.directory).await?);
    }
    Ok(OpenSandbox {
        task,
        copy: opening.directory.clone(),
        mirrors,
        limits: deps.limits,
        env: env(outfit, opening),
        image: outfit.image.clone(),
        tracked: base.tracked(),
        low_priority: opening.low_priority,
    })
}

/// Tells a workspace what of its copy is as it was laid out.
async fn know(base: &Base, workspace: &Workspace, directory: &Path) {
    if let Some(laid_out) = base.laid_out(directory).await {
        workspace.knows(laid_out).await;
    }
}

/// Removes a copy, whatever a task made of it.
pub(super) async fn remove(directory: PathBuf) -> io::Result<()> {
    tokio::task::spawn_blocking(move || remove_tree(&directory)).await.map_err(io::Error::other)?
}
