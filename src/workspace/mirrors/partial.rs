//! Mirrors without the large contents of earlier commits, where the operator wants that: they are left at the remote, and
//! those of the commit that a task starts from are fetched in one go before it is laid out.
//!
//! A mirror is partial from its first such fetch on, by git's own account (`remote.<url>.promisor`): what it lacks is then
//! no fault. Nothing is ever fetched by git itself in passing, here or in a workspace.

use super::place::Place;
use crate::workspace::{
    git::{Git, own_failure},
    objects::ObjectId,
    repository::RepositoryError,
};

/// Of a line of the list of a commit's objects: a mark, an id, a newline.
const LINE_BYTES: usize = 42;
/// Objects of a commit for each file that it may have: directories come on top.
const OBJECTS_PER_FILE: usize = 4;

impl Place {
    /// Whether contents may be missing here that the remote has.
    pub(super) async fn is_partial(&self) -> bool {
        let config = tokio::fs::read_to_string(self.repository().join("config")).await.unwrap_or_default();
        config.lines().any(|line| line.trim() == "promisor = true")
    }

    /// The contents of a commit's files that are not here.
    pub(super) async fn missing(&self, commit: ObjectId, file_limit: usize) -> Result<Vec<ObjectId>, RepositoryError> {
        let tree = format!("{commit}^{{tree}}");
        // Of all that looks for objects, this command alone takes it for no fault that some are not there, in every version.
        let arguments =
            ["rev-list", "--objects", "--no-object-names", "--missing=print", "--end-of-options", tree.as_str()];
        let limit = file_limit.saturating_add(1).saturating_mul(OBJECTS_PER_FILE * LINE_BYTES);
        let listed = Git::new(Some(&self.repository()), arguments).output_limit(limit).output().await;
        let listed = listed.map_err(own_failure("looking for missing files"))?;
        let text = String::from_utf8_lossy(&listed);
        Ok(text.lines().filter_map(|line| line.strip_prefix('?')?.parse().ok()).collect())
    }
}
