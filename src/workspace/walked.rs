//! A walk's answer, which is hostile input: only what could be a tree of git's passes.

use super::{Walk, WalkedFile};
use execd::message::{LEFT_OUT_LIMIT, WALK_LIMIT_FILES, WalkLine};

/// Answers larger than this are parsed off the async threads.
const INLINE_BYTES: usize = 256 * 1024;
const PATH_LIMIT_BYTES: usize = 4096;

/// The tracked paths as execd takes them.
pub(super) fn tracked_bytes(paths: &[String]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(paths.iter().map(|path| path.len() + 1).sum());
    for path in paths.iter().filter(|path| !path.contains('\0')) {
        bytes.extend_from_slice(path.as_bytes());
        bytes.push(0);
    }
    bytes
}

/// `None`: not what a walk can give.
pub(super) async fn parse(data: Vec<u8>, first: bool) -> Option<Walk> {
    if data.len() <= INLINE_BYTES {
        return parse_now(&data, first);
    }
    tokio::task::spawn_blocking(move || parse_now(&data, first)).await.ok().flatten()
}

fn parse_now(data: &[u8], first: bool) -> Option<Walk> {
    let mut walk = Walk { first, ..Walk::default() };
    for line in data.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        match serde_json::from_slice(line).ok()? {
            WalkLine::Changed(entry) => {
                let oid: crate::domain::Oid = entry.oid.parse().ok()?;
                let plausible = is_path(&entry.path)
                    && matches!(entry.mode, 0o100_644 | 0o100_755 | 0o120_000)
                    && oid.as_str().len() == 40;
                if !plausible || walk.changed.len() >= WALK_LIMIT_FILES {
                    return None;
                }
                walk.changed.push(WalkedFile { path: entry.path, mode: entry.mode, oid, size: entry.size });
            }
            WalkLine::Deleted(path) => {
                if first || !is_path(&path) || walk.deleted.len() >= 2 * WALK_LIMIT_FILES {
                    return None;
                }
                walk.deleted.push(path);
            }
            WalkLine::LeftOut(left_out) => {
                if walk.left_out.len() >= LEFT_OUT_LIMIT {
                    return None;
                }
                walk.left_out.push(left_out);
            }
        }
    }
    walk.changed.sort_by(|one, other| one.path.cmp(&other.path));
    walk.deleted.sort();
    walk.left_out.sort_by(|one, other| one.path.cmp(&other.path));
    // A path that is said twice would be two entries of one tree.
    let twice = walk.changed.windows(2).any(|pair| pair[0].path == pair[1].path)
        || walk.deleted.windows(2).any(|pair| pair[0] == pair[1])
        || walk.deleted.iter().any(|path| walk.changed.binary_search_by(|file| file.path.cmp(path)).is_ok());
    (!twice).then_some(walk)
}

/// A relative path that a tree may hold: no empty part, no `.`, `..` or `.git`.
fn is_path(path: &str) -> bool {
    path.len() <= PATH_LIMIT_BYTES
        && !path.contains('\0')
        && path
            .split('/')
            .all(|part| !part.is_empty() && part != "." && part != ".." && !part.eq_ignore_ascii_case(".git"))
}
