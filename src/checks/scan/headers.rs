//! Licence headers: a new file without one, where nearly all of its kind carry one.

use super::super::{ChangedFile, parse::pattern};
use crate::domain::check::{Finding, FindingKind, Severity};
use std::collections::{BTreeMap, BTreeSet};

/// Files of one kind that are looked into.
const SAMPLES_MAX: usize = 40;
/// Fewer say nothing.
const SAMPLES_MIN: usize = 5;
/// The part of them that must carry a header, in per cent.
const CARRY_PERCENT: usize = 90;
/// Of a file, where a header stands.
const HEAD_BYTES: usize = 2_048;
const SAMPLE_LIMIT_BYTES: u64 = 256 * 1024;

pattern!(HEADER, r"(?i)(SPDX-License-Identifier|\bcopyright\b|\(c\) \d{4}|licensed under|©)");

/// Which files of the base show whether files of these new ones' kinds carry a header: some of each
/// kind, spread evenly. `base` are its files with their sizes.
pub fn neighbours<'a>(
    new: impl IntoIterator<Item = &'a str>,
    base: impl IntoIterator<Item = (&'a str, u64)>,
) -> Vec<&'a str> {
    let kinds: BTreeSet<&str> = new.into_iter().filter_map(kind).collect();
    if kinds.is_empty() {
        return Vec::new();
    }
    let mut of_kind: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (path, size) in base {
        if let Some(kind) = kind(path).filter(|kind| kinds.contains(kind) && (1..=SAMPLE_LIMIT_BYTES).contains(&size)) {
            of_kind.entry(kind).or_default().push(path);
        }
    }
    of_kind
        .into_values()
        .flat_map(|paths| {
            let step = paths.len().div_ceil(SAMPLES_MAX).max(1);
            paths.into_iter().step_by(step)
        })
        .collect()
}

/// The extension of code; data and prose carry no headers.
fn kind(path: &str) -> Option<&str> {
    let (_, extension) = path.rsplit('/').next()?.rsplit_once('.')?;
    let code = [
        "c", "cc", "cpp", "cs", "css", "dart", "ex", "exs", "go", "h", "hpp", "hs", "java", "js", "jsx", "kt", "lua",
        "m", "mjs", "php", "pl", "proto", "py", "rb", "rs", "scala", "sh", "sql", "swift", "ts", "tsx", "vue", "zig",
    ];
    code.contains(&extension).then_some(extension)
}

fn carries(text: &[u8]) -> bool {
    HEADER.is_match(&String::from_utf8_lossy(&text[..text.len().min(HEAD_BYTES)]))
}

pub(super) fn findings(files: &[ChangedFile<'_>], neighbours: &[(&str, &[u8])]) -> Vec<Finding> {
    let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (path, text) in neighbours {
        let Some(kind) = kind(path) else { continue };
        let (all, with) = counts.entry(kind).or_default();
        *all += 1;
        *with += usize::from(carries(text));
    }
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.before.is_none()) {
        let (Some(text), Some(kind)) = (file.after, kind(file.path)) else { continue };
        let Some((all, with)) = counts.get(kind).copied() else { continue };
        let usual = all >= SAMPLES_MIN && with * 100 >= all * CARRY_PERCENT;
        if usual && !text.is_empty() && !carries(text) {
            let message =
                format!("no licence header, which {with} of {all} looked into of the other .{kind} files carry");
            findings.push(Finding::new(FindingKind::LicenceHeader, Severity::Warning, message).at(file.path, Some(1)));
        }
    }
    findings
}
