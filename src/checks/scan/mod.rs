//! What a person should look at before a patch is taken. Decides nothing; start with [`scan()`].

mod builds;
mod compat;
mod dependencies;
mod headers;
mod lines;
mod manifests;
mod protected;
mod secrets;

pub use compat::{Exported, api_changes};
pub use dependencies::new_dependencies;
pub use headers::neighbours;
pub use manifests::is_manifest;
pub use protected::forbidden;

use super::ChangedFile;
use crate::domain::check::{Finding, FindingKind, Severity};
use std::cmp::Reverse;

/// Findings given at most; a last one says how many more there are.
const FINDINGS_MAX: usize = 50;

/// What a scan reads.
#[derive(Clone, Copy, Debug, Default)]
pub struct ScanInput<'a> {
    /// As git writes it.
    pub patch: &'a [u8],
    /// Every file of the patch; with contents where [`is_manifest`] says so or they are new (others may
    /// be given empty).
    pub files: &'a [ChangedFile<'a>],
    /// Files of the base of the kinds that the patch adds ([`neighbours`] chooses them), with their
    /// contents.
    pub neighbours: &'a [(&'a str, &'a [u8])],
    /// Globs of paths that the task must not change, besides those that are protected everywhere.
    pub protected: &'a [String],
    /// Files that the model made and that git ignores.
    pub ignored: &'a [String],
    /// Licences of new dependencies as they are installed, by name: what [`new_dependencies`] names and nothing else
    /// tells.
    pub licences: &'a [(String, String)],
}

/// The findings, serious ones first, at most 50 and one that counts the rest.
pub fn scan(input: &ScanInput<'_>) -> Vec<Finding> {
    let mut findings = lines::findings(input.patch);
    findings.extend(protected::findings(input.files, input.protected));
    findings.extend(compat::findings(input.files));
    findings.extend(dependencies::findings(input.files, input.licences));
    findings.extend(headers::findings(input.files, input.neighbours));
    findings.extend(input.ignored.iter().map(|path| {
        let message = "the model made this file, but git ignores it: it is not in the patch";
        Finding::new(FindingKind::IgnoredFile, Severity::Warning, message).at(path.clone(), None)
    }));
    findings.sort_by_key(|finding| Reverse(finding.severity));
    if findings.len() > FINDINGS_MAX {
        let more = findings.len() - FINDINGS_MAX;
        let (kind, severity) = (findings[FINDINGS_MAX].kind, findings[FINDINGS_MAX].severity);
        findings.truncate(FINDINGS_MAX);
        findings.push(Finding::new(kind, severity, format!("{more} more findings")));
    }
    findings
}
