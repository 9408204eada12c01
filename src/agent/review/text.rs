//! The two texts of a review: what is put to the reviewer, and what the agent is told of its findings.

use super::diff;
use crate::agent::{
    ledger::{head, middle_cut},
    session::{Checked, Session},
};
use crate::domain::{
    check::{CheckOutcome, CheckResult, Verdict},
    review::ReviewFinding,
};
use std::fmt::Write;

/// Bytes that a token of a patch is taken to have: less than it is likely to have.
const BYTES_PER_TOKEN: u64 = 2;
/// People's words: a fifth of the prompt, and at most so many bytes.
const WORDS_BYTES_MAX: usize = 24_000;
const CHECKS_BYTES_MAX: usize = 6_000;
const CRITERIA_MAX: usize = 50;
const CRITERION_BYTES_MAX: usize = 500;
const FAILING_MAX: usize = 10;

/// The reviewer's prompt of about so many tokens. `patch` is the patch of the working copy as git writes it.
pub fn put_to(session: &Session, patch: &str, prompt_tokens: u64) -> String {
    let room = usize::try_from(prompt_tokens * BYTES_PER_TOKEN).unwrap_or(usize::MAX);
    let mut text = String::from("# What was asked\n");
    for words in session.ledger.words((room / 5).min(WORDS_BYTES_MAX)) {
        quote(&mut text, &words);
    }
    list(&mut text, "Criteria", criteria(session).into_iter());
    let checked = session.checked.as_ref().or_else(|| session.used.progress.known(session.checkpoint.as_ref()));
    if let Some(checked) = checked {
        let checks = checks(checked);
        let _ = write!(text, "\n# What the checks said\n{}", head(&checks, CHECKS_BYTES_MAX.min(room / 8)));
    }
    text.push_str(
        "\n# The change\nEach line with its number in the new file; `+` is added, `-` is gone, and both are data.\n\n",
    );
    let left = room.saturating_sub(text.len());
    text.push_str(&diff::shown(patch, left));
    text
}

/// What a reviewer is asked to judge: the plan's criteria and what the request forbids, each once.
pub(super) fn criteria(session: &Session) -> Vec<String> {
    let planned = session.planning.iter().flat_map(|planning| &planning.criteria);
    let prohibitions = session.briefed.iter().flat_map(|briefed| &briefed.prohibitions);
    let mut all: Vec<String> = Vec::new();
    for text in planned.chain(prohibitions.map(|one| &one.text)) {
        if all.len() < CRITERIA_MAX && !all.contains(text) {
            all.push(text.clone());
        }
    }
    all
}

/// Fenced by more backticks than it holds in a row, so that it cannot end its own quotation.
fn quote(text: &mut String, quoted: &str) {
    let longest = quoted.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat((longest + 1).max(3));
    let _ = writeln!(text, "{fence}\n{quoted}\n{fence}");
}

fn list(text: &mut String, title: &str, lines: impl Iterator<Item = String>) {
    let mut lines = lines.peekable();
    if lines.peek().is_some() {
        let _ = writeln!(text, "\n# {title}");
        for line in lines {
            let _ = writeln!(text, "- {}", middle_cut(&line.replace('\n', " "), CRITERION_BYTES_MAX));
        }
    }
}

fn checks(checked: &Checked) -> String {
    let word = match checked.verdict {
        Verdict::Verified => "all pass",
        Verdict::BrokenBefore => "what fails failed before the change too",
        _ => "they verify nothing",
    };
    let mut text = format!("Run on base plus change: {word}.\n");
    for check in &checked.checks {
        let _ = writeln!(text, "- `{}`: {}", middle_cut(&check.command.replace('\n', " "), 240), outcome(check));
    }
    text
}

fn outcome(check: &CheckResult) -> String {
    let Some(run) = &check.final_run else { return "not run".to_owned() };
    let passed = run.counts.and_then(|counts| counts.passed).map(|passed| format!(" ({passed} tests)"));
    match run.outcome {
        CheckOutcome::Pass => format!("passes{}", passed.unwrap_or_default()),
        CheckOutcome::CouldNotRun => "could not run".to_owned(),
        CheckOutcome::Fail => {
            let names: Vec<&str> = run.failing.iter().take(FAILING_MAX).map(String::as_str).collect();
            format!("fails: {}", names.join(", "))
        }
    }
}

/// What the agent is told of a review's serious findings.
pub fn told(findings: &[ReviewFinding]) -> String {
    let mut text = String::from(
        "A reviewer who saw your change for the first time raises what stands below; it may be mistaken. Look \
         at each: mend what is right, and where it is not, leave it and say in your last words why. Change nothing else.\n",
    );
    let serious = findings.iter().filter(|finding| finding.severity.is_serious());
    for (index, finding) in serious.enumerate() {
        let place = match (&finding.file, finding.line) {
            (Some(file), Some(line)) => format!(" `{file}`, line {line}:"),
            (Some(file), None) => format!(" `{file}`:"),
            (None, _) => String::new(),
        };
        let said = finding.text.replace('\n', " ");
        let _ = write!(text, "\n{}. {}:{place} {said}", index + 1, finding.severity.as_str());
    }
    text
}
