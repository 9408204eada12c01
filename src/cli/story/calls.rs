//! Tool calls: what runs, and one line or a few for what has run.

use super::{diff, words};
use crate::{
    cli::screen::{Line, Tone, clean, clean_block},
    domain::{CallId, tool::ToolOutcome},
};
use serde_json::Value;
use std::time::Duration;

/// Lines of output that are shown of a command that failed, and of one that did not.
const FAILED_OUTPUT_LINES_MAX: usize = 8;
const OUTPUT_LINES_MAX: usize = 2;
const OUTPUT_COLUMNS_MAX: usize = 300;

/// The calls under way, in the order in which they began.
#[derive(Debug, Default)]
pub(super) struct Calls(Vec<Running>);

#[derive(Debug)]
struct Running {
    call: CallId,
    tool: String,
    arguments: Value,
    /// The last line of live output.
    output: String,
}

/// How a call ended.
pub(super) struct Completed<'a> {
    pub tool: &'a str,
    pub outcome: ToolOutcome,
    pub output: &'a str,
    pub exit_code: Option<i32>,
    pub took: Duration,
}

impl Calls {
    pub(super) fn started(&mut self, call: &CallId, tool: &str, arguments: &Value) {
        let arguments = match arguments {
            Value::String(text) => serde_json::from_str(text).unwrap_or_else(|_| arguments.clone()),
            arguments => arguments.clone(),
        };
        self.0.retain(|running| running.call != *call);
        self.0.push(Running { call: call.clone(), tool: tool.to_owned(), arguments, output: String::new() });
    }

    pub(super) fn output(&mut self, call: Option<&str>, text: &str) {
        let running = self.0.iter_mut().rev().find(|running| call.is_none_or(|call| running.call.as_str() == call));
        let line = text.lines().rev().find(|line| !line.trim().is_empty());
        if let (Some(running), Some(line)) = (running, line) {
            running.output = words::shorten(&clean(line), OUTPUT_COLUMNS_MAX);
        }
    }

    /// What runs now, in words, with the last line of its output.
    pub(super) fn running(&self) -> Option<(String, Option<String>)> {
        let running = self.0.last()?;
        let output = Some(running.output.clone()).filter(|output| !output.is_empty());
        Some((in_words(&running.tool, &running.arguments), output))
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn completed(&mut self, call: &CallId, completed: &Completed<'_>, indent: usize) -> Vec<Line> {
        let at = self.0.iter().position(|running| running.call == *call);
        let arguments = at.map(|at| self.0.remove(at).arguments).unwrap_or_default();
        let good = completed.outcome == ToolOutcome::Ok && completed.exit_code.is_none_or(|code| code == 0);
        match completed.tool {
            // The plan's own event shows it.
            "update_plan" if good => Vec::new(),
            "apply_patch" | "edit" if good => edited(completed.tool, &arguments, completed.output, indent),
            tool => {
                let mut lines = vec![head(tool, &arguments, completed, good, indent)];
                lines.extend(output(completed, good, indent));
                lines
            }
        }
    }
}

/// A call as one line: mark, words, and at the right how it ended.
fn head(tool: &str, arguments: &Value, completed: &Completed<'_>, good: bool, indent: usize) -> Line {
    let words = in_words(tool, arguments);
    let line = match words.strip_prefix("$ ") {
        Some(command) => {
            let mark = if good { Tone::Good } else { Tone::Bad };
            Line::at(indent).with("$ ", mark).with(command, Tone::Strong)
        }
        None => Line::at(indent).with("· ", if good { Tone::Dim } else { Tone::Bad }).plain(words),
    };
    let line = match (completed.outcome, completed.exit_code) {
        (ToolOutcome::Ok | ToolOutcome::Error, Some(code)) if code != 0 => {
            line.right(format!("exit {code} · "), Tone::Bad)
        }
        (ToolOutcome::Ok, _) => line,
        (ToolOutcome::Error, _) => line.right("error · ", Tone::Bad),
        (ToolOutcome::Denied, _) => line.right("denied · ", Tone::Warn),
        (ToolOutcome::Interrupted, _) => line.right("interrupted · ", Tone::Warn),
        (ToolOutcome::TimedOut, _) => line.right("timed out · ", Tone::Bad),
    };
    line.right(words::duration(completed.took), Tone::Dim).cut()
}

/// The end of what a call gave, where it says something.
fn output(completed: &Completed<'_>, good: bool, indent: usize) -> Vec<Line> {
    let limit = match completed.tool {
        "shell" | "write_stdin" if good => OUTPUT_LINES_MAX,
        _ if good => return Vec::new(),
        _ => FAILED_OUTPUT_LINES_MAX,
    };
    let mut lines: Vec<String> = clean_block(completed.output);
    if lines.first().is_some_and(|line| is_frame(line)) {
        lines.remove(0);
    }
    lines.retain(|line| !is_ruler(line));
    let hidden = lines.len().saturating_sub(limit);
    let mut shown = Vec::new();
    if hidden > 0 && !good {
        shown.push(
            Line::at(indent + 2).dim(format!("│ … {}", words::count(hidden as u64, "line above", "lines above"))),
        );
    }
    shown.extend(
        lines[hidden..]
            .iter()
            .map(|line| Line::at(indent + 2).dim("│ ").dim(words::shorten(line, OUTPUT_COLUMNS_MAX)).cut()),
    );
    shown
}

/// A line without a word in it: empty, or a ruler.
fn is_ruler(line: &str) -> bool {
    line.chars().all(|char| char.is_whitespace() || "-=_*~#+".contains(char))
}

/// The first line of an answer of the shell tools, where it says what is shown at the right.
fn is_frame(line: &str) -> bool {
    line.starts_with("exit code ")
}

fn edited(tool: &str, arguments: &Value, output: &str, indent: usize) -> Vec<Line> {
    let text = |name: &str| arguments.get(name).and_then(Value::as_str).unwrap_or_default();
    let edits = match tool {
        "edit" => vec![diff::replaced(text("path"), text("old"), text("new"))],
        _ => diff::apply_patch(text("patch")),
    };
    let mut lines: Vec<Line> = edits.iter().flat_map(|edit| diff::snippet(edit, indent)).collect();
    let complaint = clean_block(output).into_iter().find(|line| line.to_ascii_lowercase().contains("syntax error"));
    if let Some(complaint) = complaint {
        lines.push(Line::at(indent + 2).with("! ", Tone::Warn).with(complaint, Tone::Warn).hang(2));
    }
    lines
}

/// A call in a person's words; commands start with `$ `.
fn in_words(tool: &str, arguments: &Value) -> String {
    let text =
        |name: &str| arguments.get(name).and_then(Value::as_str).map(|text| words::first_line(&clean_lines(text), 300));
    let number = |name: &str| arguments.get(name).and_then(Value::as_u64);
    match tool {
        "shell" => {
            let place = text("workdir").filter(|dir| dir != "." && !dir.is_empty()).map(|dir| format!("  (in {dir})"));
            format!("$ {}{}", text("command").unwrap_or_default(), place.unwrap_or_default())
        }
        "write_stdin" => match text("text").filter(|text| !text.is_empty()) {
            Some(input) => format!("type {input:?} into process {}", number("process").unwrap_or_default()),
            None => format!("look at process {}", number("process").unwrap_or_default()),
        },
        "read_file" => {
            let lines = match (number("offset"), number("limit")) {
                (Some(from), Some(limit)) => format!(":{from}–{}", from + limit.saturating_sub(1)),
                (Some(from), None) => format!(":{from}–"),
                _ => String::new(),
            };
            format!("read {}{lines}", text("path").unwrap_or_default())
        }
        "search" => {
            let place = text("path").or_else(|| text("glob")).map(|place| format!(" in {place}"));
            format!("search {}{}", text("pattern").unwrap_or_default(), place.unwrap_or_default())
        }
        "list_files" => format!("list {}", text("path").filter(|path| !path.is_empty()).unwrap_or_else(|| ".".into())),
        "edit" => format!("edit {}", text("path").unwrap_or_default()),
        "apply_patch" => {
            let files = diff::apply_patch(arguments.get("patch").and_then(Value::as_str).unwrap_or_default());
            let paths: Vec<String> = files.iter().map(|file| clean(&file.path)).collect();
            format!("edit {}", paths.join(", "))
        }
        "update_plan" => "plan".to_owned(),
        "ask_user" => "ask".to_owned(),
        "remember" => format!("remember: {}", text("text").unwrap_or_default()),
        tool => clean(tool),
    }
}

/// A text of several lines as one: commands over several lines keep their first and say so.
fn clean_lines(text: &str) -> String {
    let lines = clean_block(text.trim());
    match lines.len() {
        0 | 1 => lines.into_iter().next().unwrap_or_default(),
        n => format!("{}  … {}", lines[0], words::count(n as u64 - 1, "more line", "more lines")),
    }
}
