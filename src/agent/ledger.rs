//! What the program itself keeps of a task's course, so that a summary can lack it: people's words, commands with
//! their outcome, the newest calls, what fails. Bounded; folded with everything else.

use super::session::Session;
use crate::domain::{
    check::{CheckOutcome, CheckResult},
    plan::StepStatus,
    tool::{ToolCall, ToolOutcome},
};
use std::{collections::VecDeque, fmt::Write};

/// Commands kept, newest last, and characters of each.
const COMMANDS_MAX: usize = 40;
const COMMAND_CHARS_MAX: usize = 240;
/// Calls of the newest reply whose results are kept, and characters of each result.
const NEWEST_MAX: usize = 4;
const NEWEST_CHARS_MAX: usize = 2_000;
/// People's words kept, in characters altogether; the request always is.
const SAID_CHARS_MAX: usize = 80_000;
/// Names of failing tests kept of one check.
const FAILING_MAX: usize = 30;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Ran {
    command: String,
    outcome: String,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ledger {
    /// People's words that a model has been shown, oldest first; the first is the request.
    said: Vec<String>,
    commands: VecDeque<Ran>,
    newest: Vec<(String, String)>,
    failing: Vec<String>,
}

impl Ledger {
    pub(super) fn said(&mut self, text: &str) {
        self.said.push(text.to_owned());
        let mut chars: usize = self.said.iter().map(String::len).sum();
        while chars > SAID_CHARS_MAX && self.said.len() > 2 {
            chars -= self.said.remove(1).len();
        }
    }

    pub(super) fn replied(&mut self) {
        self.newest.clear();
    }

    pub(super) fn completed(&mut self, call: &ToolCall, outcome: ToolOutcome, exit_code: Option<i32>, output: &str) {
        let ended = match (outcome, exit_code) {
            (ToolOutcome::Denied, _) => return,
            (ToolOutcome::Interrupted, _) => "interrupted, outcome unknown".to_owned(),
            (ToolOutcome::TimedOut, _) => "timed out".to_owned(),
            (_, Some(code)) => format!("exit code {code}"),
            (ToolOutcome::Ok, None) => "done".to_owned(),
            (ToolOutcome::Error, None) => "failed".to_owned(),
        };
        let what = describe(call);
        if call.tool == "shell" {
            self.commands.retain(|ran| ran.command != what);
            self.commands.push_back(Ran { command: what.clone(), outcome: ended.clone() });
            if self.commands.len() > COMMANDS_MAX {
                self.commands.pop_front();
            }
        }
        if self.newest.len() < NEWEST_MAX {
            self.newest.push((format!("{what}: {ended}"), tail(output, NEWEST_CHARS_MAX).to_owned()));
        }
    }

    pub(super) fn checked(&mut self, checks: &[CheckResult]) {
        self.failing.clear();
        for check in checks {
            let Some(run) = check.final_run.as_ref().filter(|run| run.outcome != CheckOutcome::Pass) else { continue };
            let names: Vec<&str> = run.failing.iter().take(FAILING_MAX).map(String::as_str).collect();
            let names = if names.is_empty() { "it names no tests".to_owned() } else { names.join(", ") };
            self.failing.push(format!("`{}`: {names}", plain(&check.command, COMMAND_CHARS_MAX)));
        }
    }

    /// People's words for the new prompt within so many characters: the request, cut where it must be, and the
    /// newest, in their order.
    pub(super) fn words(&self, chars_max: usize) -> Vec<String> {
        let Some((request, later)) = self.said.split_first() else { return Vec::new() };
        let request = middle_cut(request, chars_max / 2);
        let mut left = chars_max.saturating_sub(request.len());
        let mut words = Vec::new();
        for text in later.iter().rev() {
            if left < 200 {
                break;
            }
            let text = middle_cut(text, left);
            left -= text.len().min(left);
            words.push(text);
        }
        words.push(request);
        words.reverse();
        words
    }

    /// The ledger as text of at most so many characters. `touched` are the paths that differ from the base.
    pub(super) fn text(&self, session: &Session, touched: &[String], chars_max: usize) -> String {
        let mut text = String::from("# What the server has kept\n");
        if let Some(planning) = &session.planning {
            let _ = writeln!(text, "\nPlan, revision {}:", planning.revision);
            for step in &planning.steps {
                let mark = match step.status {
                    StepStatus::Completed => "x",
                    StepStatus::InProgress => ">",
                    StepStatus::Pending => " ",
                };
                let _ = writeln!(text, "- [{mark}] {}", plain(&step.step, COMMAND_CHARS_MAX));
            }
            for criterion in &planning.criteria {
                let _ = writeln!(text, "- criterion: {}", plain(criterion, COMMAND_CHARS_MAX));
            }
        }
        if !self.newest.is_empty() {
            text.push_str("\nThe newest calls. They are done: do not make them again.\n");
            for (what, output) in &self.newest {
                let _ = writeln!(text, "- {what}\n```\n{}\n```", output.replace("```", "'''"));
            }
        }
        list(&mut text, "Checks that failed at the last validation", self.failing.iter().cloned());
        list(&mut text, "Files that differ from the base", touched.iter().map(|path| plain(path, COMMAND_CHARS_MAX)));
        let commands = self.commands.iter().rev().map(|ran| format!("{}: {}", ran.command, ran.outcome));
        list(&mut text, "Commands that were run, newest first", commands);
        head(&text, chars_max).to_owned()
    }
}

fn list(text: &mut String, title: &str, lines: impl Iterator<Item = String>) {
    let mut lines = lines.peekable();
    if lines.peek().is_some() {
        let _ = writeln!(text, "\n{title}:");
        for line in lines {
            let _ = writeln!(text, "- {line}");
        }
    }
}

/// A call as one line: a command as it was written, other calls by tool and arguments.
fn describe(call: &ToolCall) -> String {
    let arguments: Option<serde_json::Value> = serde_json::from_str(&call.arguments).ok();
    let command = arguments.as_ref().and_then(|arguments| arguments["command"].as_str());
    match command.filter(|_| call.tool == "shell") {
        Some(command) => format!("`{}`", plain(command, COMMAND_CHARS_MAX)),
        None => format!("{} {}", call.tool, plain(&call.arguments, COMMAND_CHARS_MAX)),
    }
}

/// One line of at most so many characters.
fn plain(text: &str, chars: usize) -> String {
    let mut plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(chars).collect();
    if text.chars().nth(chars).is_some() {
        plain.push('…');
    }
    plain
}

/// The beginning of a text, of at most so many bytes.
pub(super) fn head(text: &str, bytes: usize) -> &str {
    let mut end = bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn tail(text: &str, bytes: usize) -> &str {
    let mut start = text.len().saturating_sub(bytes);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}

/// A text without its middle, where it is longer than so many bytes.
pub(super) fn middle_cut(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    let half = bytes.saturating_sub(40) / 2;
    format!("{}\n[… {} bytes left out …]\n{}", head(text, half), text.len() - 2 * half, tail(text, half))
}
