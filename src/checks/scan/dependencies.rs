//! New dependencies: what a patch asks for that the base does not, and what comes with it.

use super::{
    super::ChangedFile,
    manifests::{Package, Packages, asked_for, leaf, resolved},
};
use crate::domain::check::{Finding, FindingKind, Severity};
use std::collections::BTreeSet;

/// Packages that come with others and are named.
const NAMES_MAX: usize = 10;

/// Packages by manifest, before and after.
type Both<'a> = Vec<(&'a str, (Packages, Packages))>;

/// What manifests ask for, and what lock files hold.
fn packages<'a>(files: &[ChangedFile<'a>]) -> (Both<'a>, Both<'a>) {
    let read = |text: Option<&[u8]>| text.map(|text| String::from_utf8_lossy(text).into_owned()).unwrap_or_default();
    let both = |file: &ChangedFile<'_>, packages: fn(&str, &str) -> Option<Packages>| {
        let after = packages(file.path, &read(Some(file.after?)))?;
        // What cannot be read any more, or is new, had none.
        Some((packages(file.path, &read(file.before)).unwrap_or_default(), after))
    };
    let of = |packages| files.iter().filter_map(|file| Some((file.path, both(file, packages)?))).collect();
    (of(asked_for), of(resolved))
}

fn known<'p>(manifests: &'p Both<'_>, locks: &'p Both<'_>) -> BTreeSet<&'p str> {
    manifests.iter().chain(locks).flat_map(|(_, (before, _))| before.keys().map(String::as_str)).collect()
}

/// The packages that the patch asks for and the base does not, each with the first manifest that does.
pub fn new_dependencies(files: &[ChangedFile<'_>]) -> Vec<(String, String)> {
    let (manifests, locks) = packages(files);
    let known = known(&manifests, &locks);
    let mut new: Vec<(String, String)> = Vec::new();
    for (path, (_, after)) in &manifests {
        for name in after.keys().filter(|name| !known.contains(name.as_str())) {
            if !new.iter().any(|(_, other)| other == name) {
                new.push(((*path).to_owned(), name.clone()));
            }
        }
    }
    new
}

/// `licences` are those of packages as they are installed, by name.
pub(super) fn findings(files: &[ChangedFile<'_>], licences: &[(String, String)]) -> Vec<Finding> {
    // By the name of the package, in whichever manifest: moving one from here to there adds nothing.
    let (manifests, locks) = packages(files);
    let known = known(&manifests, &locks);
    let mut named: BTreeSet<&str> = BTreeSet::new();
    let mut findings = Vec::new();
    for (path, (_, after)) in &manifests {
        for (name, asked) in after.iter().filter(|(name, _)| !known.contains(name.as_str())) {
            if named.insert(name) {
                let locked = locks.iter().find_map(|(_, (_, after))| after.get(name));
                let installed = || licences.iter().find(|(of, _)| of == name).map(|(_, licence)| licence.clone());
                findings.push(added(path, name, asked, locked, licence(files, name).or_else(installed)));
            }
        }
    }
    for (path, (_, after)) in &locks {
        let new: Vec<String> = after
            .iter()
            .filter(|(name, _)| !known.contains(name.as_str()) && named.insert(name))
            .map(|(name, package)| with_version(name, &package.version))
            .collect();
        if !new.is_empty() {
            let shown = new.iter().take(NAMES_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
            let more = new.len().saturating_sub(NAMES_MAX);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let message = format!("{} more in the lock file: {shown}{more}", counted(new.len()));
            findings.push(Finding::new(FindingKind::Dependency, Severity::Info, message).at(*path, None));
        }
    }
    findings
}

fn counted(count: usize) -> String {
    if count == 1 { "1 new package".to_owned() } else { format!("{count} new packages") }
}

fn with_version(name: &str, version: &str) -> String {
    if version.is_empty() { name.to_owned() } else { format!("{name} {version}") }
}

fn added(path: &str, name: &str, asked: &Package, locked: Option<&Package>, own: Option<String>) -> Finding {
    let version = locked.map_or(&asked.version, |locked| &locked.version);
    let licence = locked.and_then(|locked| locked.licence.clone()).or(own);
    let licence = licence.map_or_else(|| "licence unknown here".to_owned(), |licence| format!("licence {licence}"));
    let what = if asked.development { "a new dependency for development" } else { "a new dependency" };
    let message = format!("{what}: {}, {licence}", with_version(name, version));
    let severity = if asked.development { Severity::Info } else { Severity::Warning };
    Finding::new(FindingKind::Dependency, severity, message).at(path, None)
}

/// From the package's own manifest, where the patch brings it along.
fn licence(files: &[ChangedFile<'_>], name: &str) -> Option<String> {
    let brings = |file: &&ChangedFile<'_>| {
        file.path.strip_suffix(&format!("/{}", leaf(file.path))).is_some_and(|directory| {
            directory.ends_with(&format!("vendor/{name}")) || directory.ends_with(&format!("node_modules/{name}"))
        })
    };
    files.iter().filter(brings).find_map(|file| {
        let text = String::from_utf8_lossy(file.after?);
        match leaf(file.path) {
            "Cargo.toml" => {
                let table: toml::Table = text.parse().ok()?;
                Some(table.get("package")?.get("license")?.as_str()?.to_owned())
            }
            "package.json" => {
                let json: serde_json::Value = serde_json::from_str(&text).ok()?;
                Some(json.get("license")?.as_str()?.to_owned())
            }
            _ => None,
        }
    })
}
