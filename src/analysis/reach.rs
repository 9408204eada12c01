//! Packages as validation needs them: by directory, with what tests each where that is all the tests there are.

use super::{
    facts::{Discovery, Package as Found},
    manifests::Repository,
};
use crate::domain::{brief::Package, check::Check};
use std::collections::{BTreeMap, BTreeSet};

/// Arrows between packages; of more it is not worth saying what a change reaches.
const ARROWS_MAX: usize = 5_000;

/// The packages by directory, or none where a change's reach is not to be told.
pub(super) fn packages(repository: &Repository<'_>, found: &Discovery) -> Vec<Package> {
    let arrows: usize = found.packages.iter().map(|one| one.depends_on.len()).sum();
    if found.packages.len() < 2 || arrows > ARROWS_MAX {
        return Vec::new();
    }
    let directories: BTreeMap<(&str, &str), &str> =
        found.packages.iter().map(|one| ((one.ecosystem, one.name.as_str()), one.directory.as_str())).collect();
    let covers = stand_in(repository, found);
    let mut all: BTreeMap<&str, (BTreeSet<&str>, Option<&Check>)> = BTreeMap::new();
    for one in &found.packages {
        let needs = one.depends_on.iter().filter_map(|name| directories.get(&(one.ecosystem, name.as_str())).copied());
        let (depends_on, test) = all.entry(&one.directory).or_default();
        depends_on.extend(needs.filter(|directory| *directory != one.directory));
        *test = one.test.as_ref().filter(|_| covers);
    }
    let package = |(directory, (depends_on, test)): (&str, (BTreeSet<&str>, Option<&Check>))| Package {
        directory: directory.to_owned(),
        depends_on: depends_on.into_iter().map(str::to_owned).collect(),
        test: test.cloned(),
    };
    all.into_iter().map(package).collect()
}

/// Directories of a package in the root that are its own and no other package's.
const ROOT_OWN: &[&str] = &["src", "tests", "test", "lib", "benches", "examples"];

/// Whether the packages' own tests together do what the repository's one check does: it is the root's, every
/// package has tests, by the same program, and no code lies outside of them but what configures tools. A package in
/// the root is one of them where it can be tested without the others.
fn stand_in(repository: &Repository<'_>, found: &Discovery) -> bool {
    let [check] = found.checks.as_slice() else { return false };
    let ecosystem = found.packages.first().map(|one| one.ecosystem);
    let alike = |one: &Found| {
        let test = one.test.as_ref();
        let alone = |test: &&Check| !one.directory.is_empty() || test.command != check.command;
        Some(one.ecosystem) == ecosystem
            && test.filter(alone).is_some_and(|test| program(&test.command) == program(&check.command))
    };
    let directories: BTreeSet<&str> = found.packages.iter().map(|one| one.directory.as_str()).collect();
    let root = directories.contains("");
    let of_root =
        |path: &str| path == "build.rs" || path.split_once('/').is_some_and(|(first, _)| ROOT_OWN.contains(&first));
    let held = |path: &&str| {
        path.match_indices('/').any(|(at, _)| directories.contains(&path[..at]))
            || (root && of_root(path))
            || configures(path)
    };
    check.workdir.is_none()
        && found.packages.iter().all(alike)
        && directories.len() == found.packages.len()
        && repository.paths.iter().filter(|path| parsers::language_of(path).is_some()).all(held)
}

/// Code right in the root, or in a hidden directory of it, that configures tools: it is no test, and a change of it
/// reaches everything.
fn configures(path: &str) -> bool {
    const PARTS: [&str; 4] = [".config.", ".conf.", ".setup.", ".workspace."];
    const NAMES: [&str; 5] = ["gulpfile.js", "gulpfile.mjs", "Gruntfile.js", "noxfile.py", "conftest.py"];
    path.starts_with('.')
        || !path.contains('/') && (PARTS.iter().any(|part| path.contains(part)) || NAMES.contains(&path))
}

fn program(command: &str) -> Option<&str> {
    command.split_whitespace().next()
}
