//! Which packages a change touches, and which depend on those.

use super::{
    facts::Package,
    manifests::{ancestors, parent},
};
use std::collections::{BTreeMap, BTreeSet};

/// What a change reaches.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Affected<'a> {
    /// Packages with a changed file of their own, in the order given.
    pub touched: Vec<&'a Package>,
    /// Packages that depend on these, directly or through others, in the order given.
    pub dependants: Vec<&'a Package>,
    /// Changed paths that no package owns alone, such as a workspace's manifest, a lock file or
    /// continuous integration: what they reach is not known, so everything may be.
    pub elsewhere: Vec<&'a str>,
}

/// A file belongs to the packages of the deepest directory above it that has any. In a repository
/// of several packages a file right in the root belongs to none: it may mean something for all.
pub fn affected<'a>(packages: &'a [Package], paths: &[&'a str]) -> Affected<'a> {
    let mut by_directory: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, package) in packages.iter().enumerate() {
        by_directory.entry(&package.directory).or_default().push(index);
    }
    let several = by_directory.len() > 1;
    let mut touched: BTreeSet<usize> = BTreeSet::new();
    let mut elsewhere = Vec::new();
    for path in paths {
        let shared = several && (!path.contains('/') || path.starts_with(".github/") || path.starts_with(".cargo/"));
        let mut directories = ancestors(parent(path));
        let owners = directories.find_map(|directory| by_directory.get(directory));
        match owners.filter(|_| !shared) {
            Some(owners) => touched.extend(owners),
            None => elsewhere.push(*path),
        }
    }
    let mut reached = touched.clone();
    let mut next: Vec<usize> = touched.iter().copied().collect();
    while let Some(at) = next.pop() {
        let needed = &packages[at];
        for (index, package) in packages.iter().enumerate() {
            let needs = package.ecosystem == needed.ecosystem && package.depends_on.contains(&needed.name);
            if needs && reached.insert(index) {
                next.push(index);
            }
        }
    }
    elsewhere.sort_unstable();
    elsewhere.dedup();
    Affected {
        touched: touched.iter().map(|at| &packages[*at]).collect(),
        dependants: reached.difference(&touched).map(|at| &packages[*at]).collect(),
        elsewhere,
    }
}
