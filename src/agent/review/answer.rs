//! A reviewer's reply: read tolerantly, believed strictly. What names a file that the patch does not touch is left out.

use super::text::criteria;
use crate::agent::{json, ledger::head, session::Session};
use crate::domain::{
    review::{ReviewFinding, ReviewSeverity, ReviewedCriterion},
    task::CriterionStatus,
};
use serde_json::Value;
use std::collections::BTreeMap;

const FINDINGS_MAX: usize = 20;
/// Findings of a reply that are looked at.
const READ_MAX: usize = 200;
/// Of a finding's text and of a criterion's evidence, in bytes.
const TEXT_BYTES_MAX: usize = 1_200;
const EVIDENCE_BYTES_MAX: usize = 500;

/// What a reviewer said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The most severe first, at most 20.
    pub findings: Vec<ReviewFinding>,
    /// Of the criteria that were put, those that it spoke of.
    pub criteria: Vec<ReviewedCriterion>,
}

impl Answer {
    /// Reads a reply; absent where it is no review. `paths` are the files of the patch.
    pub fn read(reply: &str, session: &Session, paths: &[&str]) -> Option<Self> {
        let value = json::object_in(reply)?;
        let listed = value.get("findings")?.as_array()?;
        let read: Vec<Option<ReviewFinding>> = listed.iter().take(READ_MAX).map(finding).collect();
        if !listed.is_empty() && read.iter().all(Option::is_none) {
            return None;
        }
        let placed = |mut finding: ReviewFinding| {
            if let Some(file) = finding.file.take() {
                finding.file = Some(path(&file, paths)?.to_owned());
            }
            Some(finding)
        };
        let mut findings: Vec<ReviewFinding> = read.into_iter().flatten().filter_map(placed).collect();
        findings.sort_by_key(|finding| finding.severity);
        findings.truncate(FINDINGS_MAX);
        let judged = value.get("criteria").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let criteria = criteria(session).into_iter().filter_map(|text| criterion(text, judged)).collect();
        Some(Self { findings, criteria })
    }

    /// Takes away the lines that the new files do not have. `lines` is how many each file has, of those that
    /// findings name; one that is gone has none.
    #[must_use]
    pub fn within(mut self, lines: &BTreeMap<String, u32>) -> Self {
        for finding in &mut self.findings {
            let has = finding.file.as_ref().and_then(|file| lines.get(file)).copied().unwrap_or(0);
            finding.line = finding.line.filter(|line| (1..=has).contains(line));
        }
        self
    }
}

fn finding(value: &Value) -> Option<ReviewFinding> {
    let word = value.get("severity")?.as_str()?.trim().to_ascii_lowercase();
    let severities = [ReviewSeverity::Blocker, ReviewSeverity::Major, ReviewSeverity::Minor];
    let severity = severities.into_iter().find(|severity| severity.as_str() == word)?;
    let text = value.get("text")?.as_str()?.trim();
    let file = value.get("file").and_then(Value::as_str).map(str::trim).filter(|file| !file.is_empty());
    let line = match value.get("line") {
        Some(Value::String(text)) => text.trim().parse().ok(),
        Some(value) => value.as_u64().and_then(|line| u32::try_from(line).ok()),
        None => None,
    };
    (!text.is_empty()).then(|| ReviewFinding {
        severity,
        file: file.map(str::to_owned),
        line: line.filter(|_| file.is_some()),
        text: head(text, TEXT_BYTES_MAX).to_owned(),
    })
}

/// The patch's path that is meant: as it stands, or with git's or the shell's mark before it.
fn path<'a>(named: &str, paths: &[&'a str]) -> Option<&'a str> {
    let marks = ["", "b/", "a/", "./", "/workspace/"];
    marks.iter().find_map(|mark| {
        let bare = named.strip_prefix(mark)?;
        paths.iter().find(|path| **path == bare).copied()
    })
}

fn criterion(text: String, judged: &[Value]) -> Option<ReviewedCriterion> {
    let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    let wanted = plain(&text);
    let of_it = |value: &&Value| value.get("text").and_then(Value::as_str).is_some_and(|said| plain(said) == wanted);
    let value = judged.iter().take(READ_MAX).find(of_it)?;
    let status = match value.get("status")?.as_str()?.trim().to_ascii_lowercase().as_str() {
        "met" => CriterionStatus::Met,
        "unmet" => CriterionStatus::Unmet,
        "unknown" => CriterionStatus::Unknown,
        _ => return None,
    };
    let evidence = value.get("evidence").and_then(Value::as_str).unwrap_or_default().trim();
    Some(ReviewedCriterion { text, status, evidence: head(evidence, EVIDENCE_BYTES_MAX).to_owned() })
}
