//! What a person should look at before a patch is taken: secrets, binaries, very large files.
//!
//! A finding never quotes the secret.

use super::{is_test_path, parse::pattern};
use crate::domain::check::{Finding, FindingKind, Severity};
use std::collections::BTreeSet;

/// A file of which a patch adds more is worth a look.
const LARGE_BYTES: usize = 1024 * 1024;
/// Findings given at most; a last one says how many more there are.
const FINDINGS_MAX: usize = 50;

/// Scans a patch as git writes it (binary patches included). Only what it adds counts.
pub fn scan(patch: &[u8]) -> Vec<Finding> {
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
    if findings.len() > FINDINGS_MAX {
        let more = findings.len() - FINDINGS_MAX;
        let kind = findings[FINDINGS_MAX].kind;
        findings.truncate(FINDINGS_MAX);
        findings.push(Finding::new(kind, Severity::Warning, format!("{more} more findings")));
    }
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
                if let Some(what) =
                    secret(&String::from_utf8_lossy(&line[1..]), &self.path).filter(|what| self.seen.insert(what))
                {
                    let message = format!("what looks like {what} is added");
                    findings.push(self.finding(FindingKind::Secret, message, Some(self.line)));
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
            findings.push(self.finding(FindingKind::Binary, "a binary file is added or changed".to_owned(), None));
        }
        if self.added_bytes > LARGE_BYTES && !self.deleted {
            let message = format!("{} KiB are added to one file", self.added_bytes / 1024);
            findings.push(self.finding(FindingKind::Large, message, None));
        }
    }

    fn finding(&self, kind: FindingKind, message: String, line: Option<u32>) -> Finding {
        let severity = if kind == FindingKind::Secret { Severity::Serious } else { Severity::Warning };
        Finding::new(kind, severity, message).at(self.path.clone(), line)
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

pattern!(PRIVATE_KEY, r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----");
pattern!(AWS, r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b");
pattern!(GITHUB, r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{60,})\b");
pattern!(GITLAB, r"\bglpat-[A-Za-z0-9_-]{20,}\b");
pattern!(SLACK, r"\bxox[abprs]-[A-Za-z0-9-]{20,}\b");
pattern!(MODEL_KEY, r"\bsk-(?:ant-|proj-|svcacct-)?[A-Za-z0-9_-]{32,}\b");
pattern!(STRIPE, r"\b[rs]k_live_[A-Za-z0-9]{20,}\b");
pattern!(GOOGLE, r"\bAIza[0-9A-Za-z_-]{35}\b");
pattern!(REGISTRY, r"\b(?:npm_[A-Za-z0-9]{36}|pypi-[A-Za-z0-9_-]{50,})\b");
pattern!(JWT, r"\beyJ[A-Za-z0-9_-]{15,}\.eyJ[A-Za-z0-9_-]{15,}\.[A-Za-z0-9_-]{20,}");
pattern!(URL_PASSWORD, r"\b[a-z][a-z0-9+.-]*://[^\s/:@'\x22]+:([^\s/:@'\x22]{6,})@[\w.-]+");
pattern!(
    ASSIGNED,
    r#"(?i)\b[\w.-]*(?:secret|token|passw(?:or)?d|api[_-]?key|access[_-]?key|private[_-]?key|credential)[\w-]*['"]?\s*(?:=>|[:=])\s*['"]([^'"\s]{16,})['"]"#
);
pattern!(
    PLACEHOLDER,
    r"(?i)(example|placeholder|change[_-]?me|your[_-]|dummy|sample|redacted|\*{3}|x{6,}|0{8,}|1234567|<|\$\{|\{\{|%\(|fake|test)"
);

/// What a line holds that looks like a secret, in words.
fn secret(line: &str, path: &str) -> Option<&'static str> {
    let shapes: [(&regex::Regex, &'static str); 10] = [
        (&PRIVATE_KEY, "a private key"),
        (&AWS, "an AWS access key"),
        (&GITHUB, "a GitHub token"),
        (&GITLAB, "a GitLab token"),
        (&SLACK, "a Slack token"),
        (&MODEL_KEY, "a model provider's key"),
        (&STRIPE, "a Stripe key"),
        (&GOOGLE, "a Google API key"),
        (&REGISTRY, "a package registry's token"),
        (&JWT, "a signed token (JWT)"),
    ];
    let placeholder = |text: &str| PLACEHOLDER.is_match(text);
    for (shape, what) in shapes {
        if let Some(found) = shape.find(line).filter(|found| !placeholder(found.as_str())) {
            // A key's shape without a key's disorder is documentation.
            if what == "a private key" || entropy_bits(found.as_str()) > 3.0 {
                return Some(what);
            }
        }
    }
    if is_test_path(path) {
        return None;
    }
    let value = |pattern: &regex::Regex| {
        let value = pattern.captures(line)?.get(1)?.as_str();
        (!placeholder(value)).then_some(value)
    };
    let mixed = |value: &str| {
        value.bytes().any(|byte| byte.is_ascii_digit()) && value.bytes().any(|byte| byte.is_ascii_alphabetic())
    };
    if value(&URL_PASSWORD).is_some_and(|value| mixed(value) && entropy_bits(value) > 2.5) {
        return Some("a password in a URL");
    }
    value(&ASSIGNED).filter(|value| mixed(value) && entropy_bits(value) > 3.5).map(|_| "a secret")
}

/// Shannon entropy per character.
fn entropy_bits(text: &str) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in text.bytes() {
        counts[usize::from(byte)] += 1;
    }
    let length = text.len().max(1) as f64;
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| {
            let part = f64::from(*count) / length;
            -part * part.log2()
        })
        .sum()
}
