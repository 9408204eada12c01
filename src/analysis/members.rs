//! Members of a workspace as manifests list them: paths and globs, some taken out again by `!`.

use super::manifests::{join, resolve};
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use std::collections::BTreeSet;

/// Patterns of one list.
const PATTERNS_MAX: usize = 500;

/// Directories that a list of patterns means.
#[derive(Debug, Default)]
pub(super) struct Members {
    names: BTreeSet<String>,
    globs: GlobSet,
    without: GlobSet,
}

impl Members {
    /// Patterns relative to `home`; one that cannot be read means nothing.
    pub(super) fn of(home: &str, patterns: &[&str]) -> Self {
        let mut members = Self::default();
        let (mut globs, mut without) = (GlobSetBuilder::new(), GlobSetBuilder::new());
        for pattern in patterns.iter().take(PATTERNS_MAX) {
            let (set, pattern) = match pattern.strip_prefix('!') {
                Some(rest) => (&mut without, rest),
                None => (&mut globs, *pattern),
            };
            let pattern = pattern.trim_start_matches("./").trim_end_matches('/');
            let is_glob = pattern.contains(['*', '?', '[', '{']);
            let Some(path) = (if is_glob { Some(join(home, pattern)) } else { resolve(home, pattern) }) else {
                continue;
            };
            if let Ok(glob) = GlobBuilder::new(&path).literal_separator(true).build() {
                set.add(glob);
            }
            if !is_glob {
                members.names.insert(path);
            }
        }
        members.globs = globs.build().unwrap_or_default();
        members.without = without.build().unwrap_or_default();
        members
    }

    pub(super) fn has(&self, directory: &str) -> bool {
        self.globs.is_match(directory) && !self.without.is_match(directory)
    }

    /// Whether the list names this directory itself, not by a glob.
    pub(super) fn names(&self, directory: &str) -> bool {
        self.names.contains(directory)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.globs.is_empty()
    }
}
