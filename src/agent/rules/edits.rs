//! Files that a call changes, as far as its arguments say so, and those among them that people are asked about.

use super::{Found, argument, shell::Word, wrap::Deeds};
use crate::domain::{
    arguments,
    rule::{RuleDecision, Rules},
    task::ApprovalPolicy,
    tool::ToolCall,
};
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use serde_json::Value;

/// Programs whose operands are files that they change.
const WRITERS: &[&str] = &["tee", "cp", "mv", "rm", "ln", "install", "touch", "chmod", "truncate", "dd", "sponge"];
/// Patches that come as JSON within JSON are unpacked so deep.
const UNPACKED_MAX: usize = 3;

/// What is asked about an edit.
pub(super) fn of_call(rules: &Rules, policy: ApprovalPolicy, call: &ToolCall) -> Vec<Found> {
    let paths = paths(call);
    if policy == ApprovalPolicy::Always {
        let keys = paths.iter().map(|path| format!("edit {path}"));
        let mut all: Vec<Found> = keys.map(Found::always).collect();
        if all.is_empty() {
            all.push(Found::always(format!("edit {}", call.arguments)));
        }
        return all;
    }
    protected(rules, paths.iter().map(String::as_str))
}

/// What is asked about a patch that was given to `shell`.
pub(super) fn pasted(rules: &Rules, call: &ToolCall) -> Vec<Found> {
    let Some(command) = argument(call, "command").filter(|command| command.contains("*** ")) else { return Vec::new() };
    let before = command.split("*** ").next().unwrap_or_default().split_whitespace();
    let bases: Vec<String> = before.map(str::to_owned).chain(argument(call, "workdir")).collect();
    let mut all = Vec::new();
    for path in in_patch(&command, 0) {
        all.extend(bases.iter().map(|base| below(&format!("{base}/{path}"))));
        all.push(path);
    }
    protected(rules, all.iter().map(String::as_str))
}

/// What is asked about the files that a command line writes by redirections and well-known programs.
pub(super) fn written(rules: &Rules, deeds: &Deeds) -> Vec<Found> {
    if rules.protected.is_empty() {
        return Vec::new();
    }
    let mut paths: Vec<String> = deeds.targets.iter().map(|target| below(&target.text)).collect();
    for words in &deeds.commands {
        let program = words.first().map_or("", |word| word.text.as_str());
        let in_place = || words.iter().any(|word| word.text.starts_with("-i") || word.text.starts_with("--in-place"));
        if WRITERS.contains(&program) || (matches!(program, "sed" | "perl" | "yq") && in_place()) {
            let operand =
                |word: &Word| below(word.text.rsplit_once("of=").map_or(word.text.as_str(), |(_, path)| path));
            paths.extend(words[1..].iter().map(operand));
        }
    }
    protected(rules, paths.iter().map(String::as_str))
}

/// The files that an edit names.
pub(super) fn paths(call: &ToolCall) -> Vec<String> {
    let mut paths = match call.tool.as_str() {
        "edit" => argument(call, "path").iter().map(|path| below(path)).collect(),
        _ => in_patch(&call.arguments, 0),
    };
    paths.sort();
    paths.dedup();
    paths
}

/// Every path that a line of a patch names which is none of a file's own lines. Rather one too many.
fn in_patch(text: &str, depth: usize) -> Vec<String> {
    if depth < UNPACKED_MAX {
        match arguments::tolerant(text) {
            Ok(Value::String(inner)) => return in_patch(&inner, depth + 1),
            Ok(Value::Object(map)) => {
                return map.values().filter_map(Value::as_str).flat_map(|inner| in_patch(inner, depth + 1)).collect();
            }
            _ => {}
        }
    }
    let mut paths = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(path) = line.strip_prefix("***").and_then(|rest| rest.split_once(':')).map(|(_, path)| path) {
            paths.push(below(path));
        } else if ["--- ", "+++ ", "diff ", "rename ", "copy "].iter().any(|start| line.starts_with(start)) {
            for word in line.split_whitespace().skip(1) {
                paths.push(below(word));
                paths.extend(word.strip_prefix("a/").or_else(|| word.strip_prefix("b/")).map(below));
            }
        }
    }
    paths
}

fn protected<'a>(rules: &Rules, paths: impl Iterator<Item = &'a str>) -> Vec<Found> {
    let globs = set(&rules.protected);
    let found = paths.filter(|path| globs.is_match(path)).map(|path| Found {
        decision: RuleDecision::Ask,
        rule: format!("ask: changes of {path}"),
        reason: Some("this file steers what runs elsewhere, or who may approve".to_owned()),
        key: format!("edit {path}"),
        reviewer: true,
    });
    found.collect()
}

/// Globs that cannot be read are left out.
fn set(globs: &[String]) -> GlobSet {
    let mut set = GlobSetBuilder::new();
    for glob in globs.iter().filter_map(|glob| GlobBuilder::new(glob).literal_separator(true).build().ok()) {
        set.add(glob);
    }
    set.build().unwrap_or_else(|_| GlobSet::empty())
}

/// A path below the working copy, without quotes, `.` and `..`.
fn below(path: &str) -> String {
    let path = path.trim().trim_matches(['"', '\'', '`']);
    let path = path.strip_prefix("/workspace").filter(|rest| rest.starts_with('/')).unwrap_or(path);
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/').filter(|part| !matches!(*part, "" | ".")) {
        if part == ".." {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    parts.join("/")
}
