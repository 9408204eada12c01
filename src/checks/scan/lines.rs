//! What a patch's own lines show: secrets, binaries, very large additions.

use super::{super::parse::pattern, secrets::secret};
use crate::domain::check::{Finding, FindingKind, Severity};
use std::collections::BTreeSet;

/// A file of which a patch adds more is worth a look.
const LARGE_BYTES: usize = 1024 * 1024;

/// Reads a patch as git writes it (binary patches included). Only what it adds counts.
pub(super) fn findings(patch: &[u8]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut file = File::default();
    for line in patch.split(|byte| *byte == b'\n') {
        if let Some(rest) = line.strip_prefix(b"diff --git ") {
            file.close(&mut findings);
            file = File { path: path_of(rest), ..File::default() };
        } else if file.in_hunk == 0 && (line.starts_with(b"GIT binary patch") || line.starts_with(b"Binary files ")) {
            file.binary = true;
        } else if file.in_hunk == 0 && line.starts_with(b"+++ ") {
            file.path = plus_path(&line[4..]).unwrap_or(std::mem::take(&mut file.path));
        } else if file.in_hunk == 0 && line.starts_with(b"deleted file mode") {
            file.deleted = true;
        } else if let Some((start, lines)) = hunk(line).filter(|_| file.in_hunk == 0) {
            file.line = start;
            file.in_hunk = lines;
        } else if file.in_hunk > 0 {
            file.hunk_line(line, &mut findings);
        } else if file.binary {
            file.added_bytes += line.len();
        }
    }
    file.close(&mut findings);
    findings
}

#[derive(Default)]
struct File {
    path: String,
    binary: bool,
    deleted: bool,
    /// Of the final file.
    line: u32,
    /// Lines of both sides that the hunk still has.
    in_hunk: u64,
    added_bytes: usize,
    seen: BTreeSet<&'static str>,
}

impl File {
    fn hunk_line(&mut self, line: &[u8], findings: &mut Vec<Finding>) {
        match line.first() {
            Some(b'+') => {
                self.added_bytes += line.len();
                let text = String::from_utf8_lossy(&line[1..]);
                if let Some((what, severity)) = secret(&text, &self.path).filter(|(what, _)| self.seen.insert(what)) {
                    let message = format!("what looks like {what} is added");
                    let finding = Finding::new(FindingKind::Secret, severity, message);
                    findings.push(finding.at(self.path.clone(), Some(self.line)));
                }
                self.line += 1;
                self.in_hunk -= 1;
            }
            Some(b'-') => self.in_hunk -= 1,
            Some(b'\\') => {}
            _ => {
                self.line += 1;
                self.in_hunk = self.in_hunk.saturating_sub(2);
            }
        }
    }

    fn close(&self, findings: &mut Vec<Finding>) {
        if self.binary && !self.deleted {
            findings.push(self.finding(FindingKind::Binary, "a binary file is added or changed".to_owned()));
        }
        if self.added_bytes > LARGE_BYTES && !self.deleted {
            let message = format!("{} KiB are added to one file", self.added_bytes / 1024);
            findings.push(self.finding(FindingKind::Large, message));
        }
    }

    fn finding(&self, kind: FindingKind, message: String) -> Finding {
        Finding::new(kind, Severity::Warning, message).at(self.path.clone(), None)
    }
}

pattern!(HUNK, r"^@@ -\d+(?:,(\d+))? \+(\d+)(?:,(\d+))? @@");

/// The first line of the final side, and the lines of both sides.
fn hunk(line: &[u8]) -> Option<(u32, u64)> {
    if !line.starts_with(b"@@ -") {
        return None;
    }
    let text = String::from_utf8_lossy(line);
    let found = HUNK.captures(&text)?;
    let number = |group: usize| found.get(group).map_or(Some(1), |text| text.as_str().parse::<u64>().ok());
    Some((found[2].parse().ok()?, number(1)?.checked_add(number(3)?)?))
}

/// The final path of `a/old b/new`.
fn path_of(rest: &[u8]) -> String {
    let text = String::from_utf8_lossy(rest);
    let text = text.trim_matches('"');
    text.find(" b/")
        .or_else(|| text.find("\" \"b/"))
        .map_or(text, |at| &text[at..])
        .trim_start_matches([' ', '"'])
        .trim_start_matches("b/")
        .to_owned()
}

fn plus_path(rest: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(rest);
    let text = text.trim_end_matches('\t').trim_matches('"');
    (text != "/dev/null").then(|| text.trim_start_matches("b/").to_owned())
}
