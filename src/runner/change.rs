//! The change that a verdict is about: the files that it touches, with the contents that tell what it does to
//! tests and what a person should look at.

use super::{drive::Driver, journal::Halt, licences};
use crate::{
    checks::{self, ChangedFile, ScanInput},
    domain::{
        BlobHash,
        check::{Check, Finding, TestChange},
        event::{PatchPaths, TreeDelta},
    },
    workspace::{Workspace, repository::Base},
};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// New files whose contents are read for their headers.
const NEW_FILES_MAX: usize = 200;
/// Paths of a patch that its validation keeps.
const PATHS_MAX: usize = 300;
/// Configurations of the base that are read for what they name.
const CONFIGS_MAX: usize = 60;
/// Files that the model made that are looked for in the working copy.
const LOOKED_FOR_MAX: usize = 20;

/// Every file that differs from the base.
#[derive(Debug)]
pub(super) struct Change {
    files: Vec<Touched>,
}

#[derive(Debug)]
struct Touched {
    path: String,
    /// Absent: the change adds it. Empty where the content does not matter.
    before: Option<Bytes>,
    /// Absent: the change removes it.
    after: Option<Bytes>,
}

impl Change {
    fn files(&self) -> Vec<ChangedFile<'_>> {
        self.files
            .iter()
            .map(|touched| ChangedFile {
                path: &touched.path,
                before: touched.before.as_deref(),
                after: touched.after.as_deref(),
            })
            .collect()
    }

    /// What it does to tests, where these files are named.
    pub(super) async fn to_tests(self: &Arc<Self>, base: &Base, named: checks::Named) -> Result<TestChange, Halt> {
        let (change, entries) = (Arc::clone(self), base.entries());
        aside(move || checks::test_change(&change.files(), entries.iter().map(|entry| &*entry.path), &named)).await
    }
}

/// The paths of a patch from the base.
pub(super) fn patch_paths(base: &Base, delta: &TreeDelta) -> PatchPaths {
    let entries = base.entries();
    let mut left = PATHS_MAX;
    let mut paths = PatchPaths::default();
    let changed = delta.changed.iter().map(|entry| (entry.path.as_str(), false));
    for (path, gone) in changed.chain(delta.deleted.iter().map(|path| (path.as_str(), true))) {
        if left == 0 {
            paths.more = true;
            break;
        }
        left -= 1;
        let old = entries.binary_search_by(|entry| (*entry.path).cmp(path)).is_ok();
        let list = match (gone, old) {
            (true, _) => &mut paths.removed,
            (false, true) => &mut paths.changed,
            (false, false) => &mut paths.added,
        };
        list.push(path.to_owned());
    }
    paths
}

/// Reads through what may be large on a thread of its own: other tasks are not held up.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Halt> {
    // Only a shutdown keeps it from its end, or a bug, which stays one.
    tokio::task::spawn_blocking(work).await.map_err(|error| match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_) => Halt::Cut,
    })
}

impl Driver {
    /// Reads the contents of tests and manifests on both sides, and of new files.
    pub(super) async fn change(&self, base: &Base, delta: &TreeDelta) -> Result<Arc<Change>, Halt> {
        let entries = base.entries();
        let in_base = |path: &str| entries.binary_search_by(|entry| (*entry.path).cmp(path)).is_ok();
        let matters = |path: &str| {
            checks::is_test_path(path)
                || checks::is_manifest(path)
                || checks::may_steer(path)
                || checks::may_name(path)
                || checks::may_run(path)
        };
        let mut files: BTreeMap<&str, Touched> = BTreeMap::new();
        let mut new_files = 0;
        for entry in &delta.changed {
            let new = !in_base(&entry.path);
            new_files += usize::from(new);
            let read = matters(&entry.path) || (new && new_files <= NEW_FILES_MAX);
            let after = if read { self.deps.kept(self.claimed.team, &entry.content).await? } else { Bytes::new() };
            let before = (!new).then(Bytes::new);
            files.insert(&entry.path, Touched { path: entry.path.clone(), before, after: Some(after) });
        }
        for path in &delta.deleted {
            files.insert(path, Touched { path: path.clone(), before: in_base(path).then(Bytes::new), after: None });
        }
        let wanted: Vec<String> = files
            .iter()
            .filter(|(path, file)| file.before.is_some() && matters(path))
            .map(|(_, f)| f.path.clone())
            .collect();
        let contents = self.deps.repositories.read_many(base, wanted.clone()).await?;
        for (path, content) in wanted.iter().zip(contents) {
            if let Some(file) = files.get_mut(path.as_str()) {
                file.before = Some(content.unwrap_or_default());
            }
        }
        Ok(Arc::new(Change { files: files.into_values().collect() }))
    }

    /// The files that configurations, those of the base and as the patch has them, and the checks' commands name.
    pub(super) async fn named(&self, base: &Base, change: &Change, checks: &[Check]) -> Result<checks::Named, Halt> {
        let mut named = checks::Named::default();
        for check in checks {
            named.by_command(check.workdir.as_deref().unwrap_or_default(), &check.command);
        }
        for (path, content) in self.read_some(base, |path| named.is_run(path)).await? {
            named.by_run(&path, &content);
        }
        for (path, content) in self.read_some(base, checks::may_name).await? {
            named.by_config(&path, &content);
        }
        for file in change.files.iter().filter(|file| checks::may_name(&file.path)) {
            named.by_config(&file.path, file.after.as_deref().unwrap_or_default());
        }
        Ok(named)
    }

    /// Configurations of the base with their contents: the higher ones first, as those of packages deep below matter
    /// less where there are many.
    async fn read_some(&self, base: &Base, wanted: impl Fn(&str) -> bool) -> Result<Vec<(String, Bytes)>, Halt> {
        let entries = base.entries();
        let mut paths: Vec<&str> = entries.iter().map(|entry| &*entry.path).filter(|path| wanted(path)).collect();
        paths.sort_by_key(|path| path.matches('/').count());
        paths.truncate(CONFIGS_MAX);
        let paths: Vec<String> = paths.into_iter().map(str::to_owned).collect();
        let contents = self.deps.repositories.read_many(base, paths.clone()).await?;
        Ok(paths.into_iter().zip(contents.into_iter().map(Option::unwrap_or_default)).collect())
    }

    /// What a person should look at in the patch; `protected` are globs that it must not touch.
    pub(super) async fn scan(
        &self,
        base: &Base,
        change: &Arc<Change>,
        patch: &BlobHash,
        protected: Vec<String>,
    ) -> Result<Vec<Finding>, Halt> {
        let text = self.deps.kept(self.claimed.team, patch).await?;
        let files = change.files();
        let entries = base.entries();
        let new = files.iter().filter(|file| file.before.is_none()).map(|file| file.path);
        let sizes = entries.iter().map(|entry| (&*entry.path, entry.size));
        let paths: Vec<String> = checks::neighbours(new, sizes).into_iter().map(str::to_owned).collect();
        let contents = self.deps.repositories.read_many(base, paths.clone()).await?;
        let ignored = self.ignored(base, change).await;
        let licences = match self.copy.open_workspace() {
            Some(workspace) => licences::installed(workspace, &checks::new_dependencies(&files)).await,
            None => Vec::new(),
        };
        let change = Arc::clone(change);
        aside(move || {
            let neighbours: Vec<(&str, &[u8])> = paths
                .iter()
                .zip(&contents)
                .filter_map(|(path, content)| Some((path.as_str(), content.as_ref()?.as_ref())))
                .collect();
            checks::scan(&ScanInput {
                patch: &text,
                files: &change.files(),
                neighbours: &neighbours,
                protected: &protected,
                ignored: &ignored,
                licences: &licences,
            })
        })
        .await
    }

    /// Files that edit tools made, that are still there, and that no patch holds: git ignores them.
    async fn ignored(&self, base: &Base, change: &Change) -> Vec<String> {
        let entries = base.entries();
        let touched: BTreeSet<&str> = change.files.iter().map(|file| file.path.as_str()).collect();
        let missing = self.journal.session.created.iter().filter(|path| {
            !touched.contains(path.as_str()) && entries.binary_search_by(|entry| (*entry.path).cmp(path)).is_err()
        });
        let Some(workspace) = self.copy.open_workspace() else { return Vec::new() };
        let mut ignored: Vec<String> = Vec::new();
        for path in missing.take(LOOKED_FOR_MAX) {
            if is_there(workspace, path).await {
                ignored.push(path.clone());
            }
        }
        ignored
    }
}

/// What cannot be looked at is taken to be gone.
async fn is_there(workspace: &Workspace, path: &str) -> bool {
    workspace.read_entry(path, 1).await.is_ok()
}
