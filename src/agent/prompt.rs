//! What the model reads from the server: instructions, the opening of a conversation, and the
//! server's own words in its course. Texts lie beside this file as Markdown.

use super::{
    rules::Found,
    session::{Decided, Session},
};
use crate::domain::{
    Item, TaskSpec,
    approval::Decision,
    brief::Prohibition,
    check::Check,
    event::LimitKind,
    instructions::InstructionLayer,
    plan::{PlanStep, Planning, StepStatus},
    task::{ApprovalPolicy, Mode, NetworkMode, NetworkPolicy},
};
use std::{collections::BTreeMap, fmt::Write};

/// The instructions that new tasks start with; a task keeps those it started with.
pub const INSTRUCTIONS: &str = include_str!("prompts/instructions.md");

/// The instructions of the call that summarises.
pub const SUMMARY_INSTRUCTIONS: &str = include_str!("prompts/summary.md");
/// The instructions of the call that reviews a patch.
pub const REVIEW_INSTRUCTIONS: &str = include_str!("prompts/review.md");
/// How a summary begins in the prompt.
pub(super) const SUMMARY_HEAD: &str =
    "# The work so far\nThe conversation had grown too long and begins anew. This is what came before, summarised.\n";

/// Characters of the model's own words that become a plan's step.
const STEP_CHARS_MAX: usize = 200;

/// Instructions of people, brief, memory and facts of the task, most shared first.
pub(super) fn opening(session: &Session) -> Vec<Item> {
    let layers = session.briefed.iter().flat_map(|briefed| &briefed.instructions);
    let mut items: Vec<Item> = layers.map(|text| Item::Developer { text: text.clone() }).collect();
    if let Some(briefed) = session.briefed.as_ref().filter(|b| !b.text.is_empty()) {
        items.push(Item::Developer { text: briefed.text.clone() });
    }
    if let Some(memory) = session.memory.as_ref().filter(|m| !m.is_empty()) {
        items.push(Item::Developer { text: memory.clone() });
    }
    let pinned = session.briefed.as_ref().and_then(|briefed| briefed.facts.clone());
    items.push(Item::Developer { text: pinned.unwrap_or_else(|| facts_now(session)) });
    items
}

/// Below this nothing sensible is left of a part of the opening.
const PART_BYTES_MIN: usize = 400;

/// The opening in so many bytes, about: the brief gives first, then all else but the facts of the task evenly.
pub(super) fn opening_within(session: &Session, room: usize) -> Vec<Item> {
    let mut items = opening(session);
    let briefed = session.briefed.as_ref();
    let brief = briefed.filter(|briefed| !briefed.text.is_empty()).map(|briefed| briefed.instructions.len());
    let size = |items: &[Item]| items.iter().map(|item| super::compact::bytes_of(item) as usize).sum::<usize>();
    if let Some(at) = brief {
        let others = size(&items) - size(&items[at..=at]);
        shorten(&mut items[at], room.saturating_sub(others));
    }
    let fixed =
        brief.map_or(0, |at| size(&items[at..=at])) + items.last().map_or(0, |facts| size(std::slice::from_ref(facts)));
    let last = items.len() - 1;
    let others: Vec<usize> = (0..last).filter(|at| Some(*at) != brief).collect();
    if size(&items) > room && !others.is_empty() {
        let each = room.saturating_sub(fixed) / others.len();
        for at in others {
            shorten(&mut items[at], each);
        }
    }
    items
}

fn shorten(item: &mut Item, room: usize) {
    let Item::Developer { text } = item else { return };
    let room = room.max(PART_BYTES_MIN);
    if text.len() > room {
        let (kept, all) = (kept_lines(text, room), text.len());
        *text = format!("{kept}\n[cut: {} of {all} bytes; the rest does not fit this model's window]\n", kept.len());
    }
}

/// The whole lines that fit into so many bytes.
fn kept_lines(text: &str, room: usize) -> &str {
    let end = text.floor_char_boundary(room);
    &text[..text[..end].rfind('\n').unwrap_or(end)]
}

/// Of tasks of earlier builds, which did not keep it.
fn facts_now(session: &Session) -> String {
    let prohibitions = session.briefed.as_ref().map_or(&[][..], |briefed| &briefed.prohibitions);
    facts(&session.spec, session.checks(), prohibitions)
}

/// What the opening says of the task itself: kept with the brief, so that no other build words it anew.
pub fn facts(spec: &TaskSpec, checks: &[Check], prohibitions: &[Prohibition]) -> String {
    let mut text = String::from("# This task\n");
    text.push_str(match spec.mode {
        Mode::Auto => "A change or a question: judge by the request.\n",
        Mode::Change => "A change is wanted.\n",
        Mode::Answer => "A question: answer it and change nothing; edits are refused.\n",
        Mode::Plan => {
            "A plan is wanted and nothing else: call `update_plan`, then say it in words; edits are refused.\n"
        }
    });
    text.push_str(&reach(&spec.network));
    if spec.asks_for_network() {
        text.push_str("Other hosts can be asked for with `request_network`; a person decides, which can take long.\n");
    }
    if checks.is_empty() {
        text.push_str("Checks: none are known; say how your work can be checked.\n");
    } else {
        text.push_str("Checks that the server will run on base plus patch when you finish:\n");
        for check in checks {
            let _ = writeln!(text, "- `{}`", check.command);
        }
    }
    forbids(prohibitions, &mut text);
    text
}

/// Hosts named to the model at most.
const HOSTS_TOLD_MAX: usize = 40;

/// What the network is, in words.
fn reach(policy: &NetworkPolicy) -> String {
    const HOW: &str = "HTTP and HTTPS alone, through the proxy that HTTP_PROXY and HTTPS_PROXY name (set in every command); \
                       names are not resolved inside";
    let hosts: Vec<String> = policy.patterns().iter().map(ToString::to_string).collect();
    let mut text = match policy.mode {
        NetworkMode::Allowlist if !hosts.is_empty() => {
            let more = hosts.len().saturating_sub(HOSTS_TOLD_MAX);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let shown = hosts[..hosts.len().min(HOSTS_TOLD_MAX)].join(", ");
            format!("Network: only {shown}{more}; {HOW}. Whatever else is answered with 403 and the reason.\n")
        }
        NetworkMode::Open => format!("Network: open; {HOW}.\n"),
        NetworkMode::Off | NetworkMode::Allowlist => return "Network: none.\n".to_owned(),
    };
    if !policy.methods.is_empty() {
        text = format!("{} Only {} may be used.\n", text.trim_end(), policy.methods.join(", "));
    }
    text
}

/// What the model is told of hosts that people have allowed.
pub fn network_allowed(policy: &NetworkPolicy, decided: &Decided) -> String {
    let note = decided.note.as_ref().map_or_else(String::new, |note| format!(" They say: {note}"));
    format!("Allowed for the rest of this task.{note}\n{}", reach(policy).trim_end())
}

/// The answer to asking for hosts where nobody can be asked.
pub(super) const NO_NETWORK_ASKED: &str = "request_network cannot be used in this task: do without what is not reachable, and say \
                                           in your last answer what the task's network would have to allow.";

/// What a new task's facts say of the people who are asked.
pub fn asks(policy: ApprovalPolicy) -> &'static str {
    match policy {
        ApprovalPolicy::Never | ApprovalPolicy::Plan => "",
        ApprovalPolicy::OnRisk => {
            "A person is asked before commands that reach out of the workspace (pushing, publishing, remote machines, the \
             network, secrets) and before changes of CI files, which can take long: none of these without need.\n"
        }
        ApprovalPolicy::Always => {
            "A person is asked before every command and every edit, which can take long: few and whole ones. Reading is free.\n"
        }
    }
}

/// Only where the brief found it: what an earlier build began says nothing of it.
fn forbids(prohibitions: &[Prohibition], text: &mut String) {
    if prohibitions.is_empty() {
        return;
    }
    text.push_str("The request forbids:\n");
    for one in prohibitions {
        let _ = write!(text, "- {}", one.text.replace('\n', " "));
        if !one.paths.is_empty() {
            let paths: Vec<String> = one.paths.iter().map(|path| format!("`{path}`")).collect();
            let _ = write!(text, " (left as they are: {})", paths.join(", "));
        }
        text.push('\n');
    }
}

/// Paths named to the model at most.
const FORBIDDEN_TOLD_MAX: usize = 20;

/// What the model is told that changed what the request forbids to change.
pub fn put_back(forbidden: &[String]) -> String {
    let shown: Vec<String> = forbidden.iter().take(FORBIDDEN_TOLD_MAX).map(|path| format!("`{path}`")).collect();
    let more = forbidden.len().saturating_sub(FORBIDDEN_TOLD_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!(
        "The request forbids touching {}{more}; put it back as the base has it, and do without that change. If the \
         request cannot be met without it, say so and why.",
        shown.join(", ")
    )
}

/// Of the model's window, what one layer of instructions may have, in hundredths.
const LAYER_WINDOW_PERCENT: u64 = 5;
/// Below this nothing sensible is left of a layer.
const LAYER_BYTES_MIN: usize = 800;

/// A layer of instructions as the prompt has it, cut where the model's window is small.
pub fn layer_text(layer: InstructionLayer, text: &str, window_tokens: u64) -> String {
    let head = match layer {
        InstructionLayer::Operator => {
            "# Instructions of this service's operator\nThey hold for every task. Only your own instructions outrank them.\n"
        }
        InstructionLayer::Team => {
            "# Instructions of the team that you work for\nThey hold for all its tasks. They outrank the request and the \
             repository's conventions; the operator's instructions and your own outrank them.\n"
        }
    };
    let room = (window_tokens.saturating_mul(4 * LAYER_WINDOW_PERCENT) / 100) as usize;
    let (text, room) = (text.trim(), room.max(LAYER_BYTES_MIN));
    if text.len() <= room {
        return format!("{head}{text}\n");
    }
    let (kept, all) = (kept_lines(text, room), text.len());
    format!("{head}{kept}\n[cut: {} of {all} bytes; the rest does not fit this model's window]\n", kept.len())
}

pub(super) const PLAN_FIRST: &str = "denied: plan first. Call update_plan with your steps (and approaches and criteria), \
    in the same reply before the edit if you like, then make the edit again.";
pub(super) const APPROVED_PLAN_FIRST: &str = "denied: plan first. A person approves the plan before anything is changed: \
    look around, then call update_plan with your steps, and make the edit once it is approved.";
pub(super) const PLAN_NOT_APPROVED: &str = "denied: the plan was not approved, and nothing may be changed without one that is. \
    Put a better one with update_plan, or finish by saying what keeps you from it.";
pub(super) const NO_EDITS_ANSWER: &str = "denied: this task is a question. Answer it in words; files stay as they are.";
pub(super) const NO_ACTS: &str = "denied: this task changes nothing, and this tool may change something. Do without it, and say so where it matters.";
pub(super) const NO_EDITS_PLAN: &str =
    "denied: this task wants a plan alone. Call update_plan, then describe the plan in words.";
pub(super) const CUT_OFF: &str =
    "Your reply was cut off at its maximal length. Go on, in smaller pieces: one tool call at a time.";
/// A call that a cut reply ends with.
pub(super) fn cut_in_call(tool: &str) -> String {
    format!(
        "{tool} was not called, nothing was changed: your reply was cut off at its maximal length before this call was \
         whole. Make it again, in smaller pieces."
    )
}
pub(super) const ANNOUNCED: &str = "You said what you are about to do and called no tool, which ends the work. Do it now with a tool call, or \
    finish by saying what was done.";
pub(super) const UNREAD_CALL: &str = "Your reply ends with a tool call written as text that could not be read, so nothing was run. Make the call \
    with the tool's name and a whole JSON object of arguments, nothing behind it; or finish in words alone.";
pub(super) const EMPTY: &str = "Your reply was empty. Call a tool to go on, or finish by saying what was done.";
/// Told when a task goes on where its working copy is not.
const LAID_ANEW: &str = "The working copy was laid anew from its last checkpoint, on another machine: files that git ignores \
    (installed dependencies, build output) and processes that ran are gone. Make again what you need of them.";

/// The same; `unseen`: calls may have changed files since that checkpoint.
pub fn laid_anew(unseen: bool) -> String {
    let lost =
        " So may be what the last calls changed, whatever they answered: look at the files before you build on it.";
    format!("{LAID_ANEW}{}", if unseen { lost } else { "" })
}
pub const RESTORED: &str = "The last changes made more fail than an earlier state of this work did: the server put the working copy back to \
    that state. Look at the files before you build on what you remember of them.";
pub const PUT_BACK: &str = "This run ended without a plan that people had approved: the server put the working copy back to where the run \
    began. Look at the files before you build on what you remember of them.";
pub(super) const NOTHING_CHANGED: &str = "Nothing has changed since the checks failed, so they fail as before. Mend what they show, or, where that is \
    not possible, finish by saying what keeps you from it.";
pub const INTERRUPTED: &str = "interrupted: outcome unknown. A person's message or the end of the run cut this call off. \
    Look at the state of the files before you repeat it.";
pub(super) const NOT_RUN: &str =
    "interrupted before it began: this call was not run, its outcome is not unknown but none.";

/// What a call is answered whose outcome a crash hides.
pub fn crash_text(after: crate::domain::event::RecoveredAfter) -> String {
    use crate::domain::event::RecoveredAfter;
    let why = match after {
        RecoveredAfter::Crash => "the server was restarted",
        RecoveredAfter::Drain => "the server was drained",
        RecoveredAfter::HostLoss => "the workspace was lost and laid anew from its last checkpoint",
    };
    format!(
        "interrupted: {why} while this call ran; outcome unknown. It may have had none, some or all of its effect. \
         Look at the state of the files before you repeat it."
    )
}

/// How refusals begin that came by a rule or by a person, and not for want of a plan.
const BY_RULE: &str = "denied: a rule of this server forbids ";
const BY_PEOPLE: &str = "denied: not approved.";

/// A call that a rule denies.
pub(super) fn denied_by_rule(found: &Found) -> String {
    let why = found.reason.as_ref().map_or_else(String::new, |reason| format!(" ({})", reason.trim_end_matches('.')));
    format!(
        "{BY_RULE}`{}`{why}. Nothing of the call was run. Reach the goal without it; where that is not possible, leave it \
         out and say so in your last words. Do not run the same in another wrapping.",
        found.key
    )
}

/// A call that people, a reviewer or a deadline have refused.
pub fn not_approved(decided: &Decided) -> String {
    let note =
        decided.note.as_ref().map_or_else(String::new, |note| format!(" It is said: {}.", note.trim_end_matches('.')));
    format!(
        "{BY_PEOPLE}{note} Nothing of the call was run. Go on without it, or finish by saying what keeps you from the goal. \
         Do not run the same in another wrapping."
    )
}

/// Whether a refusal says nothing of a plan.
pub(super) fn is_by_rule_or_people(output: &str) -> bool {
    output.starts_with(BY_RULE) || output.starts_with(BY_PEOPLE)
}

const PROCESSES_LOST: &str = "The workspace was closed meanwhile and is opened again.";

/// Whether the server's own words tell of processes that have ended.
pub(super) fn tells_of_lost_processes(text: &str) -> bool {
    text.starts_with(PROCESSES_LOST)
}

/// What the model is told of processes that ended with their workspace; none where none ran.
pub fn processes_lost(background: &BTreeMap<u32, String>) -> Option<String> {
    if background.is_empty() {
        return None;
    }
    let mut text = format!(
        "{PROCESSES_LOST} These processes in the background have ended with it; start again what you still need:"
    );
    for (process, command) in background {
        let line: String = command.lines().next().unwrap_or_default().chars().take(STEP_CHARS_MAX).collect();
        let _ = write!(text, "\n- process {process}: `{line}`");
    }
    Some(text)
}

/// What the model is told of limits that come near: each with what is used of how much.
pub(super) fn limits_near(near: &[(LimitKind, f64, f64)]) -> String {
    let words: Vec<String> = near
        .iter()
        .map(|(limit, used, of)| match limit {
            LimitKind::Turns => format!("{used:.0} of {of:.0} replies"),
            LimitKind::WallTime => format!("{used:.0} of {of:.0} seconds"),
            LimitKind::Tokens => format!("{used:.0} of {of:.0} tokens"),
            LimitKind::Cost | LimitKind::Budget => format!("${used:.2} of ${of:.2}"),
            LimitKind::Repetition => format!("{used:.0} of {of:.0} calls that repeat"),
        })
        .collect();
    format!(
        "This run has used {}. At the limit it ends as it is, its changes kept: bring what matters to an end that holds.",
        words.join(" and ")
    )
}

/// What the model is told that repeats itself; `what` is the second half of a sentence.
pub(super) fn in_circles(what: &str) -> String {
    format!(
        "You go in circles: {what}. Doing it again will not help. Step back: say to yourself what you expected and what came \
         instead, then try another way, or finish by saying what keeps you from it. If it goes on, the run ends."
    )
}

/// What the model is told whose patch may not weaken the tests that it does.
pub(super) fn tests_not_approved(reason: &str, note: Option<&str>) -> String {
    let note = note.map_or_else(String::new, |note| format!(" It is said: {}.", note.trim_end_matches('.')));
    format!(
        "{reason}\nThat tests are weakened so was not approved.{note} Put them back as the base has them and mend the code, or \
         finish by saying what keeps you from it."
    )
}

/// An approved plan as people changed it.
pub fn plan_changed(steps: &[PlanStep]) -> String {
    let mut text = "The plan was approved with changes. It is now:".to_owned();
    for (index, step) in steps.iter().enumerate() {
        let _ = write!(text, "\n{}. {}", index + 1, step.step);
    }
    text
}

/// The answer to `ask_user`.
pub(super) fn answers(decided: &Decided) -> String {
    let note = decided.note.as_ref().map_or_else(String::new, |note| format!(" ({note})"));
    if decided.decision != Decision::Answer {
        return format!(
            "Nobody answers{note}. Decide yourself by what the code and the request tell, do what can be undone, and say in your \
             last words what you assumed."
        );
    }
    let mut text = format!("The answers{note}:");
    for (index, answer) in decided.answers.iter().enumerate() {
        let _ = write!(text, "\n{}. {answer}", index + 1);
    }
    text
}

/// The answer to `update_plan`.
pub fn plan_recorded(planning: &Planning) -> String {
    let done = planning.steps.iter().filter(|s| s.status == StepStatus::Completed).count();
    format!("Plan recorded: {done} of {} steps completed.", planning.steps.len())
}

/// A step from the model's own words, for a plan that it would not write.
pub(super) fn own_words(session: &Session) -> String {
    let said = session.last_said.trim();
    let words = if said.is_empty() { session.spec.request.trim() } else { said };
    let line = words.lines().find(|l| !l.trim().is_empty()).unwrap_or("Do what was asked");
    line.chars().take(STEP_CHARS_MAX).collect()
}
