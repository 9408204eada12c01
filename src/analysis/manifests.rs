//! Which files the brief reads, and looking things up in them.

use super::{
    brief::{BriefFile, BriefInput},
    ecosystems, read,
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Files read at most, how large one may be, and all of them.
const WANTED_MAX: usize = 400;
const WANTED_BYTES: u64 = 256 * 1024;
const WANTED_BYTES_IN_ALL: u64 = 4 * 1024 * 1024;
/// How deep manifests of packages are looked for.
const DEPTH_MAX: usize = 5;
/// Python test files looked into for the runner that they are written for.
const SAMPLES_MAX: usize = 6;
/// Directories of one kind of manifest that are taken for projects of their own.
const HOMES_MAX: usize = 64;

const ROOT_CONVENTIONS: &[&str] = &[
    "CONTRIBUTING.md",
    "CONTRIBUTING.rst",
    ".github/CONTRIBUTING.md",
    "docs/CONTRIBUTING.md",
    ".github/copilot-instructions.md",
];
/// What is below these is other people's, generated, or data of tests.
const NOT_OWN: &[&str] = &[
    ".git",
    ".tox",
    ".venv",
    "Pods",
    "__fixtures__",
    "__snapshots__",
    "bower_components",
    "fixtures",
    "node_modules",
    "site-packages",
    "target",
    "testdata",
    "third_party",
    "vendor",
    "venv",
];

/// The files whose contents the brief reads: few and small (at most 400 of at most 256 KiB each and
/// 4 MiB in all), so that the caller can read them in one go. Most important first.
pub fn wanted<'a>(files: &[BriefFile<'a>]) -> Vec<&'a str> {
    let mut ranked: BTreeSet<(u8, usize, &'a str, u64)> = BTreeSet::new();
    let mut samples: BTreeSet<(&'a str, u64)> = BTreeSet::new();
    for file in files.iter().filter(|file| file.size <= WANTED_BYTES) {
        let path = file.path;
        let name = name(path);
        if is_python_test(name) {
            samples.insert((path, file.size));
            continue;
        }
        let depth = path.matches('/').count();
        let rank =
            if ROOT_CONVENTIONS.contains(&path) || matches!(name, "AGENTS.md" | "AGENTS.override.md" | "CLAUDE.md") {
                if depth == 0 { 0 } else { 2 }
            } else if ecosystems::is_workflow(path) {
                3
            } else if ecosystems::is_manifest(name) && depth <= DEPTH_MAX && is_own(path) {
                if depth <= 1 { 1 } else { 4 }
            } else {
                continue;
            };
        ranked.insert((rank, depth, path, file.size));
    }
    let room = WANTED_MAX - SAMPLES_MAX;
    let ranked = ranked.into_iter().map(|(_, _, path, size)| (path, size)).take(room);
    let mut left = WANTED_BYTES_IN_ALL;
    let mut fits = |size: u64| {
        let fits = size <= left;
        left -= if fits { size } else { 0 };
        fits
    };
    let chosen = ranked.chain(samples.into_iter().take(SAMPLES_MAX));
    chosen.filter(|(_, size)| fits(*size)).map(|(path, _)| path).collect()
}

/// Whether a path is below none of the directories that hold other people's code or test data.
pub(super) fn is_own(path: &str) -> bool {
    parent(path).split('/').all(|part| !NOT_OWN.contains(&part))
}

pub(super) fn is_python_test(name: &str) -> bool {
    extension(name) == "py" && (name.starts_with("test") || name.ends_with("_test.py"))
}

/// The base as the rest of the brief sees it: paths in order, and the texts that were read.
pub(super) struct Repository<'a> {
    /// Sorted.
    pub(super) paths: Vec<&'a str>,
    /// Manifests of the repository's own, the nearest to the root first.
    pub(super) manifests: Vec<&'a str>,
    set: BTreeSet<&'a str>,
    texts: BTreeMap<&'a str, String>,
    pub(super) programs: Option<&'a [&'a str]>,
}

impl<'a> Repository<'a> {
    pub(super) fn of(input: &BriefInput<'a>) -> Self {
        let mut paths: Vec<&'a str> = input.files.iter().map(|file| file.path).collect();
        paths.sort_unstable();
        let texts = input
            .contents
            .iter()
            .map(|(path, bytes)| (path.as_str(), String::from_utf8_lossy(bytes).replace('\0', "")))
            .collect();
        let set = paths.iter().copied().collect();
        let is_manifest = |path: &&str| ecosystems::is_manifest(name(path)) && is_own(path);
        let mut manifests: Vec<&'a str> = paths.iter().copied().filter(is_manifest).collect();
        manifests.sort_by_key(|path| (path.matches('/').count(), *path));
        Self { paths, manifests, set, texts, programs: input.programs }
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.set.contains(path)
    }

    pub(super) fn has_in(&self, directory: &str, name: &str) -> bool {
        self.has(&join(directory, name))
    }

    /// The first of these names that the directory has.
    pub(super) fn first_in<'n>(&self, directory: &str, names: &[&'n str]) -> Option<&'n str> {
        names.iter().copied().find(|name| self.has_in(directory, name))
    }

    /// Everything below a directory, in order.
    pub(super) fn below(&self, directory: &str) -> &[&'a str] {
        if directory.is_empty() {
            return &self.paths;
        }
        let start = self.paths.partition_point(|path| *path < format!("{directory}/").as_str());
        // The sign after the slash ends what begins with it.
        let end = self.paths.partition_point(|path| *path < format!("{directory}0").as_str());
        &self.paths[start..end]
    }

    pub(super) fn any_below(&self, directory: &str, wanted: impl Fn(&str) -> bool) -> bool {
        self.below(directory).iter().any(|path| wanted(path) && is_own(path))
    }

    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.texts.get(path).map(String::as_str)
    }

    pub(super) fn text_in(&self, directory: &str, name: &str) -> &str {
        self.text(&join(directory, name)).unwrap_or("")
    }

    pub(super) fn toml(&self, path: &str) -> toml::Table {
        self.text(path).and_then(read::toml).unwrap_or_default()
    }

    pub(super) fn json(&self, path: &str) -> Value {
        self.text(path).and_then(read::json).unwrap_or_default()
    }

    pub(super) fn yaml(&self, path: &str) -> Value {
        self.text(path).and_then(read::yaml).unwrap_or_default()
    }

    /// The texts read, by path.
    pub(super) fn texts(&self) -> impl Iterator<Item = (&'a str, &str)> {
        self.texts.iter().map(|(path, text)| (*path, text.as_str()))
    }

    /// Manifests of this name, the nearest to the root first.
    pub(super) fn named(&self, wanted: &str) -> impl Iterator<Item = &'a str> {
        self.manifests.iter().copied().filter(move |path| name(path) == wanted)
    }

    /// Directories with one of these manifests and none above them, at most 64: projects of their
    /// own.
    pub(super) fn homes(&self, names: &[&str]) -> Vec<&'a str> {
        self.homes_where(|name| names.contains(&name))
    }

    pub(super) fn homes_where(&self, is_one: impl Fn(&str) -> bool) -> Vec<&'a str> {
        let mut homes: BTreeSet<&'a str> = BTreeSet::new();
        for path in self.manifests.iter().filter(|path| is_one(name(path))) {
            let directory = parent(path);
            let inside = ancestors(directory).any(|above| homes.contains(above));
            if !inside && homes.len() < HOMES_MAX {
                homes.insert(directory);
            }
        }
        homes.into_iter().collect()
    }

    /// Known to lack it; false where nothing is known.
    pub(super) fn lacks_program(&self, name: &str) -> bool {
        self.programs.is_some_and(|programs| !programs.contains(&name))
    }
}

/// `directory/name`, or the name alone in the root.
pub(super) fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") }
}

/// A path that a manifest of `directory` names, such as `../b/./c`; absent where it leaves the
/// repository.
pub(super) fn resolve(directory: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = directory.split('/').filter(|part| !part.is_empty()).collect();
    if path.starts_with('/') {
        return None;
    }
    for part in path.split(['/', '\\']) {
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

/// The directory of a path; empty: the root.
pub(super) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(directory, _)| directory)
}

pub(super) fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// A directory and all above it, the root last.
pub(super) fn ancestors(directory: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(directory), |below| (!below.is_empty()).then(|| parent(below)))
}

/// As written: other spellings of an extension are other languages' or nobody's.
pub(super) fn extension(path: &str) -> &str {
    path.rsplit_once('.').map_or("", |(_, extension)| extension)
}

/// A word of a shell's command line, quoted where it must be.
pub(super) fn shell_word(text: &str) -> String {
    let safe = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-/@:+=,".contains(&byte));
    if safe && !text.starts_with('-') && !text.is_empty() {
        text.to_owned()
    } else if text.starts_with('-') {
        format!("'./{}'", text.replace('\'', r"'\''"))
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
