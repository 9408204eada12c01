//! What the program itself keeps of a task's course, so that a summary can lack it: people's words, commands with
//! their outcome, the newest calls, what fails. Bounded; folded with everything else.

use super::session::Session;
use crate::domain::{
    check::{CheckOutcome, CheckResult},
    plan::{PlanStep, StepStatus},
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
/// What each section of the text has at least, where it needs it, in hundredths.
const PLAN_PERCENT: usize = 24;
const FAILING_PERCENT: usize = 22;
const FILES_PERCENT: usize = 20;
const COMMANDS_PERCENT: usize = 16;
const NEWEST_PERCENT: usize = 18;
/// Bytes of "- " and a line's end, of a line that is worth showing, and of the line that counts the rest.
const BULLET_BYTES: usize = 3;
const LINE_BYTES_MIN: usize = 60;
const COUNT_BYTES: usize = 20;
/// Bytes of the fence around a result, and of a result that is worth showing.
const FENCE_BYTES: usize = 9;
const RESULT_BYTES_MIN: usize = 80;

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

    /// The ledger as text of at most so many bytes, of which each section has its share: what one does not need is the
    /// others', and the newest results come last, which can be looked at again. `touched` are the paths that differ
    /// from the base.
    pub(super) fn text(&self, session: &Session, touched: &[String], bytes_max: usize) -> String {
        let mut text = String::from("# What the server has kept\n");
        let commands = self.commands.iter().rev().map(|ran| format!("{}: {}", ran.command, ran.outcome));
        let touched = touched.iter().map(|path| plain(path, COMMAND_CHARS_MAX));
        let sections = [
            (plan(session), PLAN_PERCENT),
            (Section::new("Checks that failed at the last validation", self.failing.iter().cloned()), FAILING_PERCENT),
            (Section::new("Files that differ from the base", touched), FILES_PERCENT),
            (Section::new("Commands that were run, newest first", commands), COMMANDS_PERCENT),
        ];
        let room = bytes_max.saturating_sub(text.len());
        let mut rooms = sections.each_ref().map(|(section, percent)| section.bytes().min(room * percent / 100));
        let mut left = room.saturating_sub(rooms.iter().sum::<usize>() + room * NEWEST_PERCENT / 100);
        for (given, (section, _)) in rooms.iter_mut().zip(&sections) {
            let more = (section.bytes() - *given).min(left);
            *given += more;
            left -= more;
        }
        let shown: Vec<String> = sections.iter().zip(rooms).map(|((section, _), room)| section.within(room)).collect();
        let newest = self.newest(room.saturating_sub(shown.iter().map(String::len).sum()));
        for (at, section) in shown.iter().enumerate() {
            text.push_str(section);
            if at == 0 {
                text.push_str(&newest);
            }
        }
        head(&text, bytes_max).to_owned()
    }

    /// The newest calls, each with what fits of its result's end.
    fn newest(&self, room: usize) -> String {
        let title = "\nThe newest calls. They are done: do not make them again.\n";
        let mut left = room.saturating_sub(title.len());
        let mut text = String::new();
        for (at, (what, output)) in self.newest.iter().enumerate() {
            let share = left / (self.newest.len() - at);
            let line = format!("- {}\n", cut(what, share.saturating_sub(3)));
            let result = share.saturating_sub(line.len() + FENCE_BYTES);
            let shown = if line.len() > share {
                String::new()
            } else if result < RESULT_BYTES_MIN && result < output.len() {
                line
            } else {
                format!("{line}```\n{}\n```\n", tail(output, result).replace("```", "'''"))
            };
            left = left.saturating_sub(shown.len());
            text.push_str(&shown);
        }
        if text.is_empty() { text } else { format!("{title}{text}") }
    }
}

/// A list under a title.
struct Section {
    title: String,
    lines: Vec<String>,
    /// Lines that are counted instead where there is no room for all; they come first.
    spare: usize,
}

impl Section {
    fn new(title: &str, lines: impl Iterator<Item = String>) -> Self {
        Self { title: format!("\n{title}:\n"), lines: lines.collect(), spare: 0 }
    }

    fn bytes(&self) -> usize {
        let lines: usize = self.lines.iter().map(|line| line.len() + BULLET_BYTES).sum();
        if self.lines.is_empty() { 0 } else { self.title.len() + lines }
    }

    /// As much of it as fits; the rest is counted.
    fn within(&self, room: usize) -> String {
        let mut text = self.title.clone();
        if self.lines.is_empty() || room < self.bytes().min(text.len() + LINE_BYTES_MIN) {
            return String::new();
        }
        let (lines, mut more) =
            if self.bytes() <= room { (&self.lines[..], 0) } else { (&self.lines[self.spare..], self.spare) };
        let mut left = room - text.len();
        for (at, line) in lines.iter().enumerate() {
            let behind = lines.len() - at - 1;
            let counted = if behind + more > 0 { COUNT_BYTES } else { 0 };
            if left < LINE_BYTES_MIN.min(line.len() + BULLET_BYTES) + counted {
                more += behind + 1;
                break;
            }
            // One long line leaves room for others.
            let most = (left - counted - BULLET_BYTES).min(if behind > 0 { left / 2 } else { left });
            let line = cut(line, most.max(LINE_BYTES_MIN - BULLET_BYTES));
            left -= line.len() + BULLET_BYTES;
            let _ = writeln!(text, "- {line}");
        }
        if more > 0 {
            let _ = writeln!(text, "- and {more} more");
        }
        text
    }
}

/// Steps that are done are the first that there is no room for.
fn plan(session: &Session) -> Section {
    let Some(planning) = &session.planning else { return Section::new("", std::iter::empty()) };
    let line = |step: &PlanStep| {
        let mark = match step.status {
            StepStatus::Completed => "x",
            StepStatus::InProgress => ">",
            StepStatus::Pending => " ",
        };
        format!("[{mark}] {}", plain(&step.step, COMMAND_CHARS_MAX))
    };
    let done = |step: &&PlanStep| step.status == StepStatus::Completed;
    let (completed, open): (Vec<&PlanStep>, Vec<&PlanStep>) = planning.steps.iter().partition(done);
    let criteria = planning.criteria.iter().map(|text| format!("criterion: {}", plain(text, COMMAND_CHARS_MAX)));
    let spare = completed.len();
    let lines = completed.into_iter().chain(open).map(line).chain(criteria);
    Section { spare, ..Section::new(&format!("Plan, revision {}", planning.revision), lines) }
}

/// A text of at most so many bytes, its end marked where it was cut.
fn cut(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        text.to_owned()
    } else {
        format!("{}…", head(text, bytes.saturating_sub('…'.len_utf8())))
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
