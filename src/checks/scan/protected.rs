//! Paths that steer who may do what with a repository, and those that a task must leave alone.

use super::super::ChangedFile;
use crate::domain::check::{Finding, FindingKind, Severity};
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use std::sync::LazyLock;

const EVERYWHERE: &[&str] = &[
    ".github/workflows/**",
    ".github/actions/**",
    "**/CODEOWNERS",
    ".gitlab-ci.yml",
    ".gitlab/ci/**",
    ".circleci/**",
    "azure-pipelines.yml",
    "bitbucket-pipelines.yml",
    "Jenkinsfile",
    ".woodpecker/**",
    ".gitea/workflows/**",
    ".forgejo/workflows/**",
    "**/.gitattributes",
    ".gitmodules",
    ".husky/**",
    ".pre-commit-config.yaml",
];

static ALWAYS: LazyLock<GlobSet> = LazyLock::new(|| set(EVERYWHERE.iter().copied()));

/// Globs that cannot be read are left out.
fn set<'a>(globs: impl Iterator<Item = &'a str>) -> GlobSet {
    let mut set = GlobSetBuilder::new();
    for glob in globs.filter_map(|glob| GlobBuilder::new(glob).literal_separator(true).build().ok()) {
        set.add(glob);
    }
    set.build().unwrap_or_else(|_| GlobSet::empty())
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
