//! What the request forbids to change, against what was changed.

use super::drive::Driver;
use crate::{checks, domain::event::TreeDelta, workspace::repository::Base};
use std::collections::BTreeSet;

/// Paths kept of one validation.
const KEPT_MAX: usize = 50;

impl Driver {
    /// For each prohibition of the brief the changed paths that it speaks of.
    fn forbidden<'a>(&self, base: &Base, delta: &'a TreeDelta) -> Vec<Vec<&'a str>> {
        let entries = base.entries();
        let is_old = |path: &str| entries.binary_search_by(|entry| (*entry.path).cmp(path)).is_ok();
        let changed = || delta.changed.iter().map(|entry| entry.path.as_str());
        let touched = || changed().chain(delta.deleted.iter().map(String::as_str));
        let prohibitions = self.journal.session.briefed.as_ref().map_or(&[][..], |briefed| &briefed.prohibitions);
        let of = |one| checks::forbidden(one, touched().map(|path| (path, is_old(path))));
        prohibitions.iter().map(of).collect()
    }

    /// The changed paths that any prohibition speaks of, sorted.
    pub(super) fn forbidden_paths(&self, base: &Base, delta: &TreeDelta) -> Vec<String> {
        let paths: BTreeSet<&str> = self.forbidden(base, delta).into_iter().flatten().collect();
        paths.into_iter().take(KEPT_MAX).map(str::to_owned).collect()
    }

    /// Of each prohibition whether the change has a path that it forbids.
    pub(super) fn broken(&self, base: &Base, delta: &TreeDelta) -> Vec<bool> {
        self.forbidden(base, delta).iter().map(|paths| !paths.is_empty()).collect()
    }
}
