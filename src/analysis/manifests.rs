//! Which files the brief reads, and looking things up in them.

use super::brief::{BriefFile, BriefInput};
use std::collections::{BTreeMap, BTreeSet};

/// Files read at most, and how large one may be.
const WANTED_MAX: usize = 64;
const WANTED_BYTES: u64 = 256 * 1024;
/// Python test files looked into for the runner that they are written for.
const SAMPLES_MAX: usize = 6;

const ROOT_CONVENTIONS: &[&str] = &[
    "CLAUDE.md",
    "CONTRIBUTING.md",
    ".github/CONTRIBUTING.md",
    "docs/CONTRIBUTING.md",
    ".github/copilot-instructions.md",
];
const MANIFESTS: &[&str] = &[
    "Cargo.toml",
    "package.json",
    "pyproject.toml",
    "setup.cfg",
    "setup.py",
    "tox.ini",
    "pytest.ini",
    "go.mod",
    "Makefile",
    "GNUmakefile",
    "makefile",
    "pom.xml",
    "build.gradle",
    "build.gradle.kts",
    "requirements.txt",
    "requirements-dev.txt",
    "requirements-test.txt",
    "dev-requirements.txt",
    ".gitlab-ci.yml",
];

/// The files whose contents the brief reads: few and small (at most 64 of at most 256 KiB), so that
/// the caller can read them in one go. Most important first.
pub fn wanted<'a>(files: &[BriefFile<'a>]) -> Vec<&'a str> {
    let mut ranked: BTreeSet<(u8, usize, &'a str)> = BTreeSet::new();
    let mut samples: BTreeSet<&'a str> = BTreeSet::new();
    for file in files.iter().filter(|file| file.size <= WANTED_BYTES) {
        let path = file.path;
        let depth = path.matches('/').count();
        let name = path.rsplit('/').next().unwrap_or(path);
        if ROOT_CONVENTIONS.contains(&path) || matches!(name, "AGENTS.md" | "AGENTS.override.md") {
            ranked.insert((if depth == 0 { 0 } else { 2 }, depth, path));
        } else if depth <= 1 && MANIFESTS.contains(&name) {
            ranked.insert((1, depth, path));
        } else if path.strip_prefix(".github/workflows/").is_some_and(|rest| matches!(extension(rest), "yml" | "yaml"))
        {
            ranked.insert((3, depth, path));
        } else if is_python_test(name) {
            samples.insert(path);
        }
    }
    let room = WANTED_MAX - SAMPLES_MAX;
    ranked.into_iter().map(|(_, _, path)| path).take(room).chain(samples.into_iter().take(SAMPLES_MAX)).collect()
}

pub(super) fn is_python_test(name: &str) -> bool {
    extension(name) == "py" && (name.starts_with("test") || name.ends_with("_test.py"))
}

/// The base as the rest of the brief sees it: paths in order, and the texts that were read.
pub(super) struct Repository<'a> {
    /// Sorted.
    pub(super) paths: Vec<&'a str>,
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
        Self { paths, set, texts, programs: input.programs }
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.set.contains(path)
    }

    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.texts.get(path).map(String::as_str)
    }

    /// The texts read, by path.
    pub(super) fn texts(&self) -> impl Iterator<Item = (&'a str, &str)> {
        self.texts.iter().map(|(path, text)| (*path, text.as_str()))
    }

    /// The directory of a manifest: the root (empty), or else the only directory right below it
    /// that has one.
    pub(super) fn home(&self, manifest: &str) -> Option<String> {
        if self.has(manifest) {
            return Some(String::new());
        }
        let mut below = self.paths.iter().filter_map(|path| {
            let (directory, name) = path.split_once('/')?;
            (name == manifest).then_some(directory)
        });
        let first = below.next()?;
        below.next().is_none().then(|| first.to_owned())
    }

    pub(super) fn lacks_program(&self, name: &str) -> bool {
        self.programs.is_some_and(|programs| !programs.contains(&name))
    }
}

/// `directory/name`, or the name alone in the root.
pub(super) fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") }
}

/// As written: other spellings of an extension are other languages' or nobody's.
pub(super) fn extension(path: &str) -> &str {
    path.rsplit_once('.').map_or("", |(_, extension)| extension)
}
