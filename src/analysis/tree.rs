//! A tree of the repository, cut to a budget: as deep as fits.

use super::brief::plain;
use std::{collections::BTreeMap, fmt::Write};

const DEPTH_MAX: usize = 8;
/// Names shown of one directory.
const NAMES_MAX: usize = 60;

#[derive(Default)]
struct Directory<'a> {
    directories: BTreeMap<&'a str, Directory<'a>>,
    files: Vec<&'a str>,
    /// Files in it and below.
    total: usize,
}

/// The deepest tree that fits into `room` bytes; empty where not even the root does. `paths` are
/// sorted.
pub(super) fn render(paths: &[&str], room: usize) -> String {
    let mut root = Directory::default();
    for path in paths {
        let mut here = &mut root;
        here.total += 1;
        let mut parts = path.split('/').peekable();
        let mut depth = 0;
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                here.files.push(part);
            } else if depth < DEPTH_MAX {
                here = here.directories.entry(part).or_default();
                here.total += 1;
                depth += 1;
            } else {
                break;
            }
        }
    }
    let mut best = String::new();
    for depth in 1..=DEPTH_MAX {
        let mut text = String::new();
        if !write_directory(&root, depth, 0, room, &mut text) || text == best {
            break;
        }
        best = text;
    }
    best
}

/// False where it did not fit.
fn write_directory(directory: &Directory<'_>, depth: usize, indent: usize, room: usize, text: &mut String) -> bool {
    let shown = |name: &str| plain(name, 100);
    let mut left = NAMES_MAX;
    for (name, below) in directory.directories.iter().take(NAMES_MAX) {
        left -= 1;
        if depth > 1 {
            let _ = writeln!(text, "{:indent$}{}/", "", shown(name));
            if !write_directory(below, depth - 1, indent + 2, room, text) {
                return false;
            }
        } else {
            let _ = writeln!(text, "{:indent$}{}/ ({} files)", "", shown(name), below.total);
        }
        if text.len() > room {
            return false;
        }
    }
    for name in directory.files.iter().take(left) {
        let _ = writeln!(text, "{:indent$}{}", "", shown(name));
    }
    let names = directory.directories.len() + directory.files.len();
    if names > NAMES_MAX {
        let _ = writeln!(text, "{:indent$}… {} more", "", names - NAMES_MAX);
    }
    text.len() <= room
}
