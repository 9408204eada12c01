//! What those who use the code may miss: exported symbols that a patch removes or declares differently.

use super::{drive::Driver, journal::Halt};
use crate::{
    analysis::symbols::{self, Symbols},
    checks::{self, Exported},
    domain::{
        check::{Finding, FindingKind, Severity},
        event::TreeDelta,
    },
    workspace::repository::Base,
};
use bytes::Bytes;
use std::collections::BTreeSet;

/// Files compared, and the largest of them.
const FILES_MAX: usize = 40;
const FILE_BYTES_MAX: usize = 512 << 10;
/// Findings given; a last one counts the rest.
const FINDINGS_MAX: usize = 20;

impl Driver {
    /// Changed sources of known languages before and after. Where they cannot be parsed there is nothing to say.
    pub(super) async fn compatibility(&self, base: &Base, delta: &TreeDelta) -> Result<Vec<Finding>, Halt> {
        let entries = base.entries();
        let find = |path: &str| entries.binary_search_by(|entry| (*entry.path).cmp(path)).ok().map(|at| &entries[at]);
        let has = |path: &str| find(path).is_some();
        let matters = |path: &str| {
            symbols::has_outline(path)
                && !checks::is_test_path(path)
                && !is_private(path, &has)
                && find(path).is_none_or(|entry| entry.size <= FILE_BYTES_MAX as u64)
        };
        let changed: Vec<_> = delta.changed.iter().filter(|entry| matters(&entry.path)).take(FILES_MAX).collect();
        let room = FILES_MAX - changed.len();
        let deleted: Vec<&String> = delta.deleted.iter().filter(|path| matters(path)).take(room).collect();
        let old = changed.iter().map(|entry| &entry.path).chain(deleted).filter(|path| has(path));
        let old: Vec<String> = old.cloned().collect();
        if old.is_empty() {
            return Ok(Vec::new());
        }
        let read = self.deps.repositories.read_many(base, old.clone()).await?;
        let before: Vec<(String, Bytes)> =
            old.into_iter().zip(read).filter_map(|(path, content)| Some((path, content?))).collect();
        let mut after = Vec::new();
        for entry in changed {
            let content = self.deps.kept(self.claimed.team, &entry.content).await?;
            if content.len() <= FILE_BYTES_MAX {
                after.push((entry.path.clone(), content));
            }
        }
        let gone = delta.deleted.iter().map(String::as_str).collect();
        let (before, after) = tokio::join!(self.outlined(before), self.outlined(after));
        Ok(before.zip(after).map(|(before, after)| findings(&before, &after, &gone)).unwrap_or_default())
    }

    async fn outlined(&self, files: Vec<(String, Bytes)>) -> Option<Symbols> {
        let found = self.deps.parsers.symbols(files).await;
        found.map_err(|error| self.without("what the patch exports could not be parsed", &error)).ok()
    }
}

/// Of files outlined on both sides, and of those that are gone.
fn findings(before: &Symbols, after: &Symbols, gone: &BTreeSet<&str>) -> Vec<Finding> {
    let (mut before, after) = (symbols::offered(before), symbols::offered(after));
    before.retain(|path, _| gone.contains(path) || after.contains_key(path));
    let exported = |of: &std::collections::BTreeMap<&str, Vec<symbols::Offered>>| -> Vec<Exported> {
        let one = |(path, offered): (&&str, &Vec<symbols::Offered>)| {
            let path = (*path).to_owned();
            let all = offered.iter().map(move |one| Exported {
                path: path.clone(),
                name: one.name.clone(),
                kind: one.kind.to_owned(),
                signature: one.signature.clone(),
                line: Some(one.line),
            });
            all.collect::<Vec<_>>()
        };
        of.iter().flat_map(one).collect()
    };
    let mut findings = checks::api_changes(&exported(&before), &exported(&after));
    let more = findings.len().saturating_sub(FINDINGS_MAX);
    findings.truncate(FINDINGS_MAX);
    if more > 0 {
        let message = format!("and {more} more exported symbols are gone or declared differently");
        findings.push(Finding::new(FindingKind::Compatibility, Severity::Warning, message));
    }
    findings
}

/// Code that nobody outside can use: of a Rust crate with programs alone, of Go's `internal` and `cmd`.
fn is_private(path: &str, has: &impl Fn(&str) -> bool) -> bool {
    let extension = path.rsplit_once('.').map(|(_, extension)| extension);
    if extension == Some("go") {
        return path.split('/').any(|part| matches!(part, "internal" | "cmd" | "main.go"));
    }
    if extension != Some("rs") {
        return false;
    }
    let ends = path.match_indices('/').map(|(at, _)| &path[..=at]).chain([""]);
    let home = ends.filter(|home| has(&format!("{home}Cargo.toml"))).max_by_key(|home| home.len());
    home.is_some_and(|home| has(&format!("{home}src/main.rs")) && !has(&format!("{home}src/lib.rs")))
}
