//! The directories of tasks, and the uids that own them.
//!
//! As root each task has a uid of its own for as long as its directory exists: the directory's
//! owner is where that is remembered. Others on the host cannot enter.

use super::{TaskDirectory, WorkspaceError, removal::remove_tree};
use crate::domain::TaskId;
use rustix::{
    fs::{CWD, RenameFlags, renameat_with},
    io::Errno,
};
use std::{
    collections::{HashMap, HashSet},
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

const UIDS: u32 = 65_536;
/// In the data directory.
const WORKSPACES: &str = "workspaces";
/// In a directory that was handed over: whose it was before.
const PLACE: &str = "place";

#[derive(Debug)]
pub(super) struct Directories {
    root: PathBuf,
    uid_base: Option<u32>,
    uids: Mutex<HashMap<TaskId, u32>>,
}

impl Directories {
    /// `uid_base`: the first of the uids to give; `None`: all belongs to the server's own user.
    pub(super) fn new(data_dir: &Path, uid_base: Option<u32>) -> Result<Self, WorkspaceError> {
        let root = data_dir.join(WORKSPACES);
        let made =
            fs::create_dir_all(&root).and_then(|()| fs::set_permissions(&root, fs::Permissions::from_mode(0o700)));
        made.map_err(|error| failed("the directory of workspaces", &error))?;
        let directories = Self { root, uid_base, uids: Mutex::default() };
        if let Some(base) = uid_base {
            if base == 0 || base.checked_add(UIDS).is_none() {
                return Err(WorkspaceError::Setup {
                    what: "the uids for tasks are out of range".to_owned(),
                    mend: "choose another first uid".to_owned(),
                });
            }
            for task in directories.all()? {
                let owner = fs::symlink_metadata(&directories.of(task).0).map(|metadata| metadata.uid());
                if let Some(uid) = owner.ok().filter(|uid| (base..base + UIDS).contains(uid)) {
                    directories.uids().insert(task, uid);
                }
            }
        }
        Ok(directories)
    }

    pub(super) fn of(&self, task: TaskId) -> TaskDirectory {
        TaskDirectory(self.root.join(task.to_string()))
    }

    /// The task's own uid and gid, chosen and written down at the first call.
    pub(super) fn owner(&self, task: TaskId) -> Option<(u32, u32)> {
        let base = self.uid_base?;
        let mut uids = self.uids();
        if let Some(uid) = uids.get(&task) {
            return Some((*uid, *uid));
        }
        let taken: HashSet<u32> = uids.values().copied().collect();
        // With more tasks than uids, some share one; they are apart by their namespaces still.
        let uid = (base..base + UIDS).find(|uid| !taken.contains(uid)).unwrap_or(base);
        uids.insert(task, uid);
        drop(uids);
        if let Err(error) = self.make(task, uid) {
            tracing::warn!(%error, task.id = %task, "the directory of a task could not be made");
        }
        Some((uid, uid))
    }

    /// A uid and gid that no task has and that owns no file.
    pub(super) fn spare(&self) -> Option<(u32, u32)> {
        self.uid_base.map(|base| (base + UIDS, base + UIDS))
    }

    fn make(&self, task: TaskId, uid: u32) -> io::Result<()> {
        let path = self.of(task).0;
        fs::create_dir_all(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700))?;
        chown(&path, Some(uid), Some(uid))
    }

    /// Makes an empty directory of a task.
    pub(super) fn prepare(&self, task: TaskId, path: &Path) -> Result<(), WorkspaceError> {
        let owner = self.owner(task);
        let made = fs::create_dir_all(path).and_then(|()| match owner {
            Some((uid, gid)) => chown(path, Some(uid), Some(gid)),
            None => Ok(()),
        });
        made.map_err(|error| failed("a task's directory", &error))
    }

    /// Gives the directory of `from`, with the uid that owns it, to a task that has none; false where it has one. What is
    /// mounted somewhere stays so: mounts know directories, and not their names.
    pub(super) fn hand_over(&self, from: TaskId, to: TaskId) -> io::Result<bool> {
        let mut uids = self.uids();
        if uids.contains_key(&to) {
            return Ok(false);
        }
        fs::write(self.of(from).0.join(PLACE), from.to_string())?;
        match renameat_with(CWD, self.of(from).0, CWD, self.of(to).0, RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) => return Ok(false),
            renamed => renamed?,
        }
        if let Some(uid) = uids.remove(&from) {
            uids.insert(to, uid);
        }
        Ok(true)
    }

    /// The tasks that have a directory.
    fn all(&self) -> Result<Vec<TaskId>, WorkspaceError> {
        let entries = fs::read_dir(&self.root).map_err(|error| failed("the directory of workspaces", &error))?;
        Ok(entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
    }

    /// Removes those of tasks that are not to be kept; how many. What is to be kept is asked once it is known what is
    /// there, so that what comes meanwhile stays.
    pub(super) fn sweep(&self, kept: impl FnOnce() -> HashSet<TaskId>) -> Result<u32, WorkspaceError> {
        let mut removed = 0;
        let there = self.all()?;
        let kept = kept();
        for task in there.into_iter().filter(|task| !kept.contains(task)) {
            self.remove(task)?;
            removed += 1;
        }
        Ok(removed)
    }

    pub(super) fn remove(&self, task: TaskId) -> Result<(), WorkspaceError> {
        let path = self.of(task).0;
        remove_tree(&path).map_err(|error| failed("removing a task's directory", &error))?;
        self.uids().remove(&task);
        Ok(())
    }

    fn uids(&self) -> MutexGuard<'_, HashMap<TaskId, u32>> {
        self.uids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whose the directory of a task was before it was handed over, if it was.
pub(super) fn before(data_dir: &Path, task: TaskId) -> Option<TaskId> {
    let place = data_dir.join(WORKSPACES).join(task.to_string()).join(PLACE);
    fs::read_to_string(place).ok()?.parse().ok()
}

fn failed(what: &str, error: &io::Error) -> WorkspaceError {
    WorkspaceError::Io { what: what.to_owned(), why: error.to_string() }
}
