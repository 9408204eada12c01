//! Which files are tests, and what a patch does to them.

use crate::domain::check::TestChange;

/// A file that the patch adds, changes or removes.
#[derive(Clone, Copy, Debug)]
pub struct ChangedFile<'a> {
    pub path: &'a str,
    /// On the base; absent: the patch adds it. Contents are needed for test paths alone (others
    /// may be empty).
    pub before: Option<&'a [u8]>,
    /// Absent: the patch removes it.
    pub after: Option<&'a [u8]>,
}

/// A file that holds tests or steers how they run, by its path.
pub fn is_test_path(_path: &str) -> bool {
    false
}

/// What a patch does to tests. `changed` are all files of the patch; `base_paths` those of the base.
pub fn test_change<'a>(changed: &[ChangedFile<'_>], base_paths: impl IntoIterator<Item = &'a str>) -> TestChange {
    TestChange {
        empty_patch: changed.is_empty(),
        base_has_tests: base_paths.into_iter().any(is_test_path),
        ..TestChange::default()
    }
}
