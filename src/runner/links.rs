//! Links among the files that the brief reads: what a link of the base means is read in its place, if it is a file of
//! the base too.

use crate::workspace::{
    base::BaseEntry,
    repository::{Base, Repositories, RepositoryError},
};

/// Links that lead to links.
const HOPS_MAX: usize = 4;
/// Of a link's target; a longer one is none.
const TARGET_BYTES_MAX: u64 = 4_096;

/// Each path with that of the regular file of at most `bytes_max` that it is or leads to, in their order. What leads
/// out of the base, to nothing, or in circles is left out.
pub(super) async fn followed(
    repositories: &Repositories,
    base: &Base,
    paths: Vec<String>,
    bytes_max: u64,
) -> Result<Vec<(String, String)>, RepositoryError> {
    let entries = base.entries();
    let find = |path: &str| -> Option<&BaseEntry> {
        entries.binary_search_by(|entry| (*entry.path).cmp(path)).ok().map(|at| &entries[at])
    };
    let is_link =
        |path: &str| find(path).is_some_and(|entry| entry.mode == 0o120_000 && entry.size <= TARGET_BYTES_MAX);
    let mut at: Vec<Option<String>> = paths.iter().cloned().map(Some).collect();
    for _ in 0..HOPS_MAX {
        let links: Vec<usize> = (0..at.len()).filter(|&one| at[one].as_deref().is_some_and(is_link)).collect();
        if links.is_empty() {
            break;
        }
        let named = links.iter().filter_map(|&one| at[one].clone()).collect();
        for (one, target) in links.into_iter().zip(repositories.read_many(base, named).await?) {
            let target = target.and_then(|target| String::from_utf8(target.to_vec()).ok());
            at[one] = at[one].take().and_then(|link| inside(&link, &target?));
        }
    }
    let is_file = |path: &String| {
        find(path).is_some_and(|entry| matches!(entry.mode, 0o100_644 | 0o100_755) && entry.size <= bytes_max)
    };
    Ok(paths.into_iter().zip(at).filter_map(|(path, at)| Some((path, at.filter(is_file)?))).collect())
}

/// Where a link's target is, from the root; absent where it leaves the base.
fn inside(link: &str, target: &str) -> Option<String> {
    if target.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = link.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}
