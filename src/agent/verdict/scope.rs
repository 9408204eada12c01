//! Which detected checks of a monorepo a change calls for: those of the packages that it touches and of those
//! that depend on them.

use crate::domain::{
    brief::Package,
    check::{Check, CheckSource},
};
use std::collections::BTreeSet;

/// The checks of a task, by whether they are run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scope {
    pub run: Vec<Check>,
    pub left_out: Vec<Check>,
}

/// Leaves out the detected checks of packages that the change cannot reach. What is named by a task or by the
/// repository's own settings runs always, and so does what belongs to no package. A change outside of every
/// package, or of the root's files, may reach them all: these configure; only its prose does not, and what lies in the
/// directories of a package in the root is that package's. Where the packages' own tests do what the one
/// detected check of the root does, they take its place.
pub fn scope(checks: Vec<Check>, packages: &[Package], touched: &[&str]) -> Scope {
    let Some(reached) = reached(packages, touched) else { return Scope { run: checks, left_out: Vec::new() } };
    if let Some(tests) = own_tests(&checks, packages).filter(|_| reached.len() < packages.len()) {
        let is_reached = |(package, _): &(&Package, &Check)| reached.contains(package.directory.as_str());
        let (run, left_out): (Vec<_>, Vec<_>) = tests.into_iter().partition(is_reached);
        let checks = checks.into_iter().filter(|check| check.source != CheckSource::Detected);
        let tests = |of: Vec<(&Package, &Check)>| of.into_iter().map(|(_, test)| test.clone()).collect::<Vec<_>>();
        return Scope { run: checks.chain(tests(run)).collect(), left_out: tests(left_out) };
    }
    let (run, left_out) = checks.into_iter().partition(|check| {
        let directory = check.workdir.as_deref().unwrap_or("").trim_matches('/');
        check.source != CheckSource::Detected
            || package_of(packages, directory).is_none_or(|package| reached.contains(package))
    });
    Scope { run, left_out }
}

/// The packages' own tests, where every package has one and one check of the root is all that was detected.
fn own_tests<'a>(checks: &[Check], packages: &'a [Package]) -> Option<Vec<(&'a Package, &'a Check)>> {
    let mut detected = checks.iter().filter(|check| check.source == CheckSource::Detected);
    let root = detected.next().filter(|check| check.workdir.is_none());
    root.filter(|_| detected.next().is_none())?;
    packages.iter().map(|package| Some((package, package.test.as_ref()?))).collect()
}

/// Directories of the packages that the change touches, and of those that depend on them by whatever way;
/// absent: all.
fn reached<'a>(packages: &'a [Package], touched: &[&str]) -> Option<BTreeSet<&'a str>> {
    let root = packages.iter().any(|package| package.directory.is_empty());
    let mut reached: BTreeSet<&str> = BTreeSet::new();
    for path in touched {
        match package_of(packages, path) {
            Some(package) => _ = reached.insert(package),
            None if root && (is_of_root(path) || is_prose(path)) => _ = reached.insert(""),
            None if is_prose(path) => {}
            None => return None,
        }
    }
    if reached.is_empty() {
        return None;
    }
    // Each round adds a package or is the last.
    for _ in packages {
        let more = packages.iter().filter(|one| one.depends_on.iter().any(|need| reached.contains(need.as_str())));
        let more: Vec<&str> = more.map(|one| one.directory.as_str()).filter(|one| !reached.contains(one)).collect();
        if more.is_empty() {
            break;
        }
        reached.extend(more);
    }
    Some(reached)
}

/// The innermost package that holds a path; none for the root's own.
fn package_of<'a>(packages: &'a [Package], path: &str) -> Option<&'a str> {
    let holds = |package: &&Package| {
        let rest = path.strip_prefix(package.directory.as_str());
        !package.directory.is_empty() && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    packages.iter().filter(holds).map(|package| package.directory.as_str()).max_by_key(|directory| directory.len())
}

/// Below the directories that a package in the root keeps its own code in.
fn is_of_root(path: &str) -> bool {
    let first = path.split_once('/').map_or("", |(first, _)| first);
    ["src", "tests", "test", "lib", "benches", "examples"].contains(&first)
}

/// A file right in the root that says something to people and to no tool.
fn is_prose(path: &str) -> bool {
    let ends = path.rsplit_once('.').map_or("", |(_, end)| end);
    let named = ["LICENSE", "LICENCE", "NOTICE", "AUTHORS", "CODEOWNERS", "CHANGELOG", "README"];
    !path.contains('/') && (["md", "rst", "adoc"].contains(&ends) || named.contains(&path))
}
