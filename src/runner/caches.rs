//! Directories that setups of an environment have from one to the next, such as caches of package managers.
//!
//! A setup gets copies of its own, each in a directory whose path is in a variable; no other command sees them, and
//! nothing in them is in what the setup prepared. What it leaves there is kept where it held and ran on what the
//! repository's default branch says: whoever can name a branch, or bring a repository of his own, fills no cache for
//! others. They are one team's, one environment's and one repository's, and share the room of what was prepared.

use super::{Deps, journal::Halt, laying, outfit::Outfit};
use crate::{
    domain::{EnvironmentId, TeamId},
    workspace::{WORKSPACE, WorkspaceError},
};
use std::{collections::HashSet, io, os::unix::fs::chown, path::Path};

/// In the working copy of a setup.
const PLACE: &str = ".journeyman-caches";
/// Nobody takes what lies beside it for sources (bford.info/cachedir).
const TAG: (&str, &str) = ("CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n");

/// Those of one setup.
pub(super) struct Caches<'a> {
    deps: &'a Deps,
    team: TeamId,
    /// None: of repositories without one.
    environment: Option<EnvironmentId>,
    repository: &'a str,
    keeps: bool,
    names: &'a [String],
}

impl<'a> Caches<'a> {
    /// None where the setup names none, or the task has no repository to keep them for.
    pub(super) fn of(deps: &'a Deps, team: TeamId, outfit: &'a Outfit) -> Option<Self> {
        let plan = outfit.plan.as_deref().filter(|plan| !plan.caches.is_empty())?;
        let (repository, keeps) = outfit.repository.as_ref().map(|(url, keeps)| (url.as_str(), *keeps))?;
        let environment = plan.environment.as_ref().map(|(id, _)| *id);
        Some(Self { deps, team, environment, repository, keeps, names: &plan.caches })
    }

    /// Lays them into a copy that no sandbox has seen; the variables that name them. None are there where the
    /// repository has something at their place itself.
    pub(super) async fn lay(&self, directory: &Path, owner: Option<(u32, u32)>) -> Result<Vec<(String, String)>, Halt> {
        let place = directory.join(PLACE);
        let make = |path: &Path| {
            std::fs::create_dir(path)?;
            owner.map_or(Ok(()), |(uid, gid)| chown(path, Some(uid), Some(gid)))
        };
        match make(&place) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(Vec::new()),
            made => made.map_err(Halt::Disk)?,
        }
        std::fs::write(place.join(TAG.0), TAG.1).map_err(Halt::Disk)?;
        let mut variables = Vec::new();
        for name in self.names {
            make(&place.join(name)).map_err(Halt::Disk)?;
            let key = self.key(name);
            let _turn = self.deps.prepared.turn(self.team, &key).await;
            self.deps.prepared.lay(self.team, &key, place.join(name), owner).await?;
            variables.push((name.clone(), format!("{WORKSPACE}/{PLACE}/{name}")));
        }
        Ok(variables)
    }

    /// Takes them out of a copy in which nothing runs any more, and keeps them if they may be kept.
    pub(super) async fn take(&self, directory: &Path, held: bool) -> Result<(), Halt> {
        let (place, aside) = (directory.join(PLACE), directory.with_extension("caches"));
        laying::remove(aside.clone()).await.map_err(Halt::Disk)?;
        match tokio::fs::rename(&place, &aside).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            moved => moved.map_err(Halt::Disk)?,
        }
        // What the setup made of it may be a link, which is not followed.
        if held && self.keeps && tokio::fs::symlink_metadata(&aside).await.is_ok_and(|about| about.is_dir()) {
            self.keep(&aside).await;
        }
        laying::remove(aside).await.map_err(Halt::Disk)
    }

    async fn keep(&self, aside: &Path) {
        for name in self.names {
            let key = self.key(name);
            let _turn = self.deps.prepared.turn(self.team, &key).await;
            let kept = self.deps.prepared.keep(self.team, &key, aside.join(name), HashSet::new()).await;
            // The next setup fills it again, or uses what was kept before.
            if let Err(WorkspaceError::Refused { why } | WorkspaceError::Io { why, .. }) = kept {
                tracing::warn!(cache = name, "a cache is not kept: {why}");
            }
        }
    }

    fn key(&self, name: &str) -> String {
        serde_json::json!(["cache", self.environment, self.repository, name]).to_string()
    }
}
