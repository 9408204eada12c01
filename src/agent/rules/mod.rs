//! Rules about commands: a line is taken apart into its simple commands, and the strictest rule that speaks of any
//! of them holds.
//!
//! The sandbox is the boundary and the rules are the guard rail: who wants to hide a command from them can (a script
//! written and then run, a program's own configuration), and gains nothing that the sandbox would not let him do.
//! So they err towards asking: what cannot be taken apart counts as spoken of by every rule whose first word is in it.
//! Start with [`judge`].

mod built_in;
mod edits;
mod loopback;
mod matching;
mod shell;
mod words;
mod wrap;
mod written;

use super::session::Session;
use crate::domain::{
    approval::Decision,
    arguments,
    rule::{CommandRule, RuleDecision, Rules, STEERING_PATHS},
    task::ApprovalPolicy,
    tool::{ToolCall, ToolEffect, effect},
};
use serde_json::Value;
use shell::{Known, Word};
use std::collections::BTreeSet;
use wrap::Deeds;

pub use built_in::built_in;
pub(super) use written::written;

/// A rule that speaks of a call, and of what in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub decision: RuleDecision,
    /// The rule in words.
    pub rule: String,
    pub reason: Option<String>,
    /// What is alike: the words that a prefix fits, or the file.
    pub key: String,
    pub reviewer: bool,
}

/// What the rules say of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    pub denied: Option<Found>,
    /// What people are to be asked about before it runs.
    pub asks: Vec<Found>,
}

/// The rules that hold for a task of this policy, to be pinned at its start; none where they could not matter.
///
/// Where nobody is asked, rules that ask are left out: with nobody to ask the sandbox decides alone.
pub fn pinned(policy: ApprovalPolicy, own: &[CommandRule]) -> Option<Rules> {
    if policy.asks_for_calls() {
        let protected = STEERING_PATHS.iter().map(|&path| path.to_owned()).collect();
        return Some(Rules { own: own.to_vec(), built_in: built_in(), protected });
    }
    let own: Vec<CommandRule> = own.iter().filter(|rule| rule.decision == RuleDecision::Deny).cloned().collect();
    (!own.is_empty()).then(|| Rules { own, ..Rules::default() })
}

/// Whether a rule speaks of some simple command of a line, or may speak of a part that cannot be taken apart.
pub fn speaks_of(rule: &CommandRule, line: &str) -> bool {
    let Deeds { commands, opaque, .. } = wrap::deeds(line);
    commands.iter().any(|words| matching::speaks_of(rule, words).is_some())
        || opaque.iter().any(|text| matching::may_speak_of(rule, text))
}

/// What rules ask or deny of a command line; what is allowed is left out.
pub fn of_line(rules: &Rules, line: &str) -> Vec<Found> {
    found(rules, &wrap::deeds(line))
}

/// What the task's rules say of a call, less what people have decided for the rest of the task.
pub fn judge(session: &Session, call: &ToolCall) -> Judgement {
    let Some(rules) = session.briefed.as_ref().and_then(|briefed| briefed.rules.as_ref()) else {
        return Judgement::default();
    };
    let policy = session.spec.approval;
    let all = match session.effect(&call.tool) {
        ToolEffect::Runs => of_call(rules, policy, call),
        ToolEffect::Edits => edits::of_call(rules, policy, call),
        ToolEffect::Acts => vec![Found::acts(call.tool.clone())],
        ToolEffect::Reads | ToolEffect::Plans | ToolEffect::Asks => Vec::new(),
    };
    let mut judgement = Judgement::default();
    for mut one in all {
        match session.remembered.get(&one.key) {
            Some(Decision::Approve) if one.decision == RuleDecision::Ask => continue,
            Some(Decision::Deny) => {
                one.decision = RuleDecision::Deny;
                one.reason = Some("a person has decided so for the rest of this task".to_owned());
            }
            _ => {}
        }
        match one.decision {
            RuleDecision::Deny => judgement.denied = judgement.denied.or(Some(one)),
            RuleDecision::Ask if policy.asks_for_calls() => judgement.asks.push(one),
            RuleDecision::Ask | RuleDecision::Allow => {}
        }
    }
    judgement
}

/// What people are shown of a call that waits for them.
pub fn subject(call: &ToolCall, asks: &[Found]) -> Value {
    let mut subject = serde_json::json!({ "call": call.call, "tool": call.tool });
    if effect(&call.tool) == ToolEffect::Edits {
        subject["paths"] = edits::paths(call).into_iter().collect();
        subject["arguments"] = Value::from(shortened(&call.arguments));
    } else if effect(&call.tool) != ToolEffect::Runs {
        subject["arguments"] = Value::from(shortened(&call.arguments));
    } else {
        subject["command"] = Value::from(shortened(&lines(call).join("\n")));
        if let Some(workdir) = argument(call, "workdir") {
            subject["workdir"] = Value::from(workdir);
        }
    }
    if let Some(first) = asks.first() {
        subject["rule"] = Value::from(first.rule.clone());
        subject["reason"] = first.reason.clone().map_or(Value::Null, Value::from);
    }
    let about: BTreeSet<&str> = asks.iter().map(|one| one.key.as_str()).collect();
    subject["about"] = about.into_iter().map(shortened).collect();
    subject
}

/// The most of a command or patch that is shown.
const SHOWN_CHARS_MAX: usize = 20_000;

fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((at, _)) => format!("{}… ({} more bytes)", &text[..at], text.len() - at),
        None => text.to_owned(),
    }
}

fn argument(call: &ToolCall, name: &str) -> Option<String> {
    let value = arguments::tolerant(&call.arguments).ok()?;
    value.get(name)?.as_str().map(str::to_owned)
}

/// What a call of `shell` or `write_stdin` runs. Arguments that are no JSON run nothing: the call is only answered.
fn lines(call: &ToolCall) -> Vec<String> {
    ["command", "text"].into_iter().filter_map(|name| argument(call, name)).collect()
}

fn of_call(rules: &Rules, policy: ApprovalPolicy, call: &ToolCall) -> Vec<Found> {
    let mut all = Vec::new();
    for line in lines(call).iter().filter(|line| !line.trim().is_empty()) {
        let deeds = wrap::deeds(line);
        all.extend(found(rules, &deeds));
        all.extend(edits::written(rules, &deeds));
        if policy == ApprovalPolicy::Always {
            all.extend(every(&deeds, line));
        }
    }
    all.extend(edits::pasted(rules, call));
    if policy == ApprovalPolicy::Always && !matches!(call.tool.as_str(), "shell" | "write_stdin") {
        all.push(Found::always(call.tool.clone()));
    }
    let mut seen = BTreeSet::new();
    all.retain(|one| seen.insert((one.key.clone(), one.decision)));
    all
}

fn found(rules: &Rules, deeds: &Deeds) -> Vec<Found> {
    let mut all: Vec<Found> = deeds.commands.iter().filter_map(|words| of_command(rules, words)).collect();
    for text in &deeds.opaque {
        let speaking = rules.own.iter().chain(&rules.built_in).filter(|rule| matching::may_speak_of(rule, text));
        if let Some(strictest) = strictest(speaking) {
            all.push(Found::by(strictest, text.trim().to_owned()));
        }
    }
    all.retain(|one| one.decision != RuleDecision::Allow);
    all
}

/// The operator's rules first; the built-in ones where none of those speaks of the command.
fn of_command(rules: &Rules, words: &[Word]) -> Option<Found> {
    [&rules.own, &rules.built_in].into_iter().find_map(|layer| {
        let speaking: Vec<(&CommandRule, String)> =
            layer.iter().filter_map(|rule| Some((rule, matching::speaks_of(rule, words)?))).collect();
        let strictest = strictest(speaking.iter().map(|(rule, _)| *rule))?;
        let key = speaking.into_iter().find(|(rule, _)| std::ptr::eq(*rule, strictest)).map(|(_, key)| key)?;
        Some(Found::by(strictest, key))
    })
}

/// The first of the strictest.
fn strictest<'a>(rules: impl Iterator<Item = &'a CommandRule>) -> Option<&'a CommandRule> {
    rules.fold(None, |best: Option<&CommandRule>, rule| match best {
        Some(best) if best.decision >= rule.decision => Some(best),
        _ => Some(rule),
    })
}

/// Commands that do nothing outside their own shell.
const SILENT: &[&str] = &[
    "cd", "pwd", ":", "[", "[[", "test", "true", "false", "export", "set", "unset", "local", "exit", "return", "shift",
    "wait",
];

/// Each command of a line, and each file that it writes: what is asked about where people are always asked.
fn every(deeds: &Deeds, line: &str) -> Vec<Found> {
    let plain = |word: &&Word| word.known == Known::Whole;
    let silent = |words: &&Vec<Word>| words.first().is_some_and(|word| SILENT.contains(&word.text.as_str()));
    let commands = deeds.commands.iter().filter(|words| !silent(words));
    let commands = commands.map(|words| {
        let words: Vec<&str> = words.iter().take(2).filter(plain).map(|word| word.text.as_str()).collect();
        words.join(" ")
    });
    let written = deeds.targets.iter().map(|target| format!("> {}", target.text));
    let mut keys: Vec<String> = commands.chain(written).chain(deeds.opaque.iter().cloned()).collect();
    if keys.is_empty() {
        keys.push(line.trim().to_owned());
    }
    keys.into_iter().map(Found::always).collect()
}

impl Found {
    fn by(rule: &CommandRule, key: String) -> Self {
        Self { decision: rule.decision, rule: name(rule), reason: rule.reason.clone(), key, reviewer: rule.reviewer }
    }

    /// A tool of an MCP server is not the sandbox's to hold.
    fn acts(tool: String) -> Self {
        Self {
            decision: RuleDecision::Ask,
            rule: "tools of MCP servers".to_owned(),
            reason: Some("it may act outside of the workspace".to_owned()),
            key: tool,
            reviewer: false,
        }
    }

    fn always(key: String) -> Self {
        Self {
            decision: RuleDecision::Ask,
            rule: "approval: always".to_owned(),
            reason: Some("every call that may change something is asked about".to_owned()),
            key,
            reviewer: true,
        }
    }
}

/// A rule in words, such as `ask: npm publish|unpublish`.
pub fn name(rule: &CommandRule) -> String {
    let prefix = rule.prefix.iter().map(|token| token.words().join("|"));
    let words: Vec<String> = prefix.chain((!rule.paths.is_empty()).then(|| rule.paths.join("|"))).collect();
    format!("{}: {}", rule.decision.as_str(), words.join(" "))
}
