//! Paths that steer who may do what with a repository, and those that a task must leave alone.

use super::super::ChangedFile;
use crate::domain::{
    brief::Prohibition,
    check::{Finding, FindingKind, Severity},
    rule::STEERING_PATHS,
};
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use std::sync::LazyLock;

static ALWAYS: LazyLock<GlobSet> = LazyLock::new(|| set(STEERING_PATHS.iter().copied()));

/// Globs that cannot be read are left out.
fn set<'a>(globs: impl Iterator<Item = &'a str>) -> GlobSet {
    let mut set = GlobSetBuilder::new();
    for glob in globs.filter_map(|glob| GlobBuilder::new(glob).literal_separator(true).build().ok()) {
        set.add(glob);
    }
    set.build().unwrap_or_else(|_| GlobSet::empty())
}

/// The paths of a change, each with whether the base has it, that a prohibition speaks of, in their order.
/// One that speaks of what exists forbids no new file.
pub fn forbidden<'a>(prohibition: &Prohibition, touched: impl Iterator<Item = (&'a str, bool)>) -> Vec<&'a str> {
    if prohibition.paths.is_empty() {
        return Vec::new();
    }
    let globs = set(prohibition.paths.iter().map(String::as_str));
    let text = prohibition.text.to_lowercase();
    let old_alone = ["existing", "bestehend", "vorhanden"].iter().any(|word| text.contains(word));
    touched.filter(|(path, is_old)| (*is_old || !old_alone) && globs.is_match(path)).map(|(path, _)| path).collect()
}

pub(super) fn findings(files: &[ChangedFile<'_>], named: &[String]) -> Vec<Finding> {
    let named = set(named.iter().map(String::as_str));
    let mut findings = Vec::new();
    for file in files {
        let does = match (file.before, file.after) {
            (None, _) => "adds",
            (_, None) => "removes",
            _ => "changes",
        };
        if named.is_match(file.path) {
            let message = format!("the patch {does} a path that the task must not change");
            findings.push(Finding::new(FindingKind::ProtectedPath, Severity::Serious, message).at(file.path, None));
        } else if ALWAYS.is_match(file.path) {
            let message = format!("the patch {does} a file that steers what runs or who may approve");
            findings.push(Finding::new(FindingKind::ProtectedPath, Severity::Serious, message).at(file.path, None));
        }
    }
    findings
}
