//! The fold from events to lines.

use super::{
    calls::{self, Calls},
    checks, planning, publish,
    words::{self, count, duration},
};
use crate::{
    cli::{
        screen::{Line, Tone, clean, clean_block},
        view::EventView,
    },
    domain::{
        Phase, Timestamp,
        approval::ApprovalKind,
        event::{EventData, LimitKind, RecoveredAfter},
        network::{NetworkOutcome, NetworkUse},
        plan::Planning,
        task::{Control, Status, TaskSpec, WaitingFor},
        tool::ToolOutcome,
    },
};
use serde_json::Value;
use std::time::Duration;

/// Lines of a failed setup's output that are shown.
const SETUP_LINES_MAX: usize = 8;

/// Columns of an event's lines below their heading.
const INDENT: usize = 2;

/// The fold.
#[derive(Debug, Default)]
pub struct Story {
    phase: Option<Phase>,
    started: Option<Timestamp>,
    plan: Option<Planning>,
    calls: Calls,
    doing: Doing,
    /// The end of the model's text that is being written.
    writing: String,
    cycle: u32,
    turn: u32,
    tokens: u64,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Doing {
    #[default]
    Starting,
    Thinking,
    Tools,
    Checking,
    Waiting,
    Ended,
}

impl Story {
    /// The lines that this event adds; none for events that people need not see.
    pub fn event(&mut self, event: &EventView) -> Vec<Line> {
        if self.started.is_none() {
            self.started = event.at;
        }
        let Some(data) = &event.known else { return Vec::new() };
        match data {
            EventData::TaskCreated { spec, .. } => created(spec),
            EventData::TaskPhase { phase } => self.phase(*phase, event.at),
            EventData::BriefReady { languages, conventions, checks, files, .. } => {
                let mut lines = if self.phase.is_none() { self.phase(Phase::Analysis, event.at) } else { Vec::new() };
                lines.extend(brief(languages, conventions, checks, *files));
                lines
            }
            EventData::SetupStarted { environment, commands } => {
                let mut lines = if self.phase.is_none() { self.phase(Phase::Analysis, event.at) } else { Vec::new() };
                let what = environment.clone().unwrap_or_else(|| commands.join("; "));
                lines.push(Line::at(INDENT).plain(format!("setting up {}", clean(&what))));
                lines
            }
            EventData::SetupCompleted { cached: true, .. } => Vec::new(),
            EventData::SetupCompleted { outcome, output, duration_ms, .. } => setup(*outcome, output, *duration_ms),
            EventData::MemoryUsed { memories, .. } => memories
                .iter()
                .map(|memory| Line::at(INDENT).with("✦ ", Tone::Accent).plain(clean(&memory.text)).hang(2))
                .collect(),
            EventData::PlanUpdated { planning } => {
                let lines = planning::changes(self.plan.as_ref(), planning, INDENT);
                self.plan = Some(planning.clone());
                lines
            }
            EventData::ModelStarted { .. } => {
                self.turn = event.turn;
                self.writing.clear();
                self.doing(Doing::Thinking)
            }
            EventData::ModelRetried { reason, next_model: Some(next), .. } => {
                let text = format!("{} takes over: {}", clean(next), clean(reason));
                vec![notice("↻", Tone::Warn, text)]
            }
            EventData::ModelRetried { attempt, reason, delay_ms, next_model: None, .. } => {
                let delay = duration(Duration::from_millis(*delay_ms));
                let text = format!("the model is asked again in {delay} (attempt {attempt}): {}", clean(reason));
                vec![notice("↻", Tone::Warn, text)]
            }
            EventData::AsideStarted { .. } => self.doing(Doing::Thinking),
            EventData::AsideCompleted { usage, .. } => {
                self.tokens += usage.total();
                Vec::new()
            }
            EventData::ModelCompleted { usage, .. } => {
                self.tokens += usage.total();
                self.doing(Doing::Tools)
            }
            EventData::MessageAssistant { text, .. } => {
                self.writing.clear();
                said(text, Tone::Plain, "● ")
            }
            EventData::MessageUser { text, author, .. } => {
                let mut lines = vec![notice("▶", Tone::Accent, clean(author))];
                lines.extend(clean_block(text).into_iter().map(|line| Line::at(INDENT + 2).plain(line)));
                lines
            }
            EventData::Reasoning { summary } => said(summary, Tone::Dim, "∴ "),
            EventData::ToolStarted { call, tool, arguments } => {
                self.calls.started(call, tool, arguments);
                self.doing(Doing::Tools)
            }
            EventData::ToolCompleted { call, tool, outcome, output, exit_code, duration_ms } => {
                let took = Duration::from_millis(*duration_ms);
                self.calls.completed(
                    call,
                    &calls::Completed { tool, outcome: *outcome, output, exit_code: *exit_code, took },
                    INDENT,
                )
            }
            EventData::ChecksStarted { cycle, .. } => {
                self.cycle = *cycle;
                self.doing(Doing::Checking)
            }
            EventData::ChecksCompleted { verdict, reason, checks, findings, .. } => {
                checks::completed(*verdict, reason.as_deref(), checks, findings, INDENT)
            }
            EventData::ApprovalRequested { kind: ApprovalKind::Question, deadline, .. } => {
                let text = format!("waits until {deadline} for answers: journeyman task answer TASK ANSWER…");
                vec![notice("?", Tone::Warn, text)]
            }
            EventData::ApprovalRequested { approval, kind, deadline, .. } => {
                let what = serde_json::to_value(kind).ok().and_then(|kind| kind.as_str().map(str::to_owned));
                let text = format!(
                    "waits until {deadline} for a decision ({}): journeyman task approve TASK {approval}",
                    what.unwrap_or_default()
                );
                vec![notice("?", Tone::Warn, text)]
            }
            EventData::ApprovalReviewed { decision: None, model, reason, .. } => {
                vec![notice("·", Tone::Dim, format!("{} leaves it to people: {}", clean(model), clean(reason)))]
            }
            // What it decided is said with the decision.
            EventData::ApprovalReviewed { .. } => Vec::new(),
            EventData::ApprovalResolved { decision, author, note, .. } => {
                let decision = format!("{decision:?}").to_lowercase();
                let note = note.as_deref().map(|note| format!(": {}", clean(note))).unwrap_or_default();
                vec![notice("✓", Tone::Accent, format!("{decision} by {}{note}", clean(author)))]
            }
            EventData::Compaction { tokens_before, tokens_after, .. } => {
                let (before, after) = (words::tokens(*tokens_before), words::tokens(*tokens_after));
                vec![notice("≈", Tone::Dim, format!("the conversation was compacted from {before} to {after} tokens"))]
            }
            EventData::OutputRequested { attempt, errors, .. } => {
                let again = errors.first().map(|error| format!(", again ({attempt}): {}", clean(error)));
                vec![notice("≡", Tone::Dim, format!("asked for the result as JSON{}", again.unwrap_or_default()))]
            }
            EventData::ReviewCompleted { model, findings, sent_back, failed, .. } => {
                checks::reviewed(model, findings, *sent_back, failed.as_deref(), INDENT)
            }
            EventData::LimitWarned { limit, used, limit_value, .. } => vec![limit_warned(*limit, *used, *limit_value)],
            EventData::NetworkUsed { hosts, .. } => hosts.iter().filter_map(network_used).collect(),
            EventData::Publish { state, branch, pull_request_url, reason, .. } => {
                let (tone, text) = publish::told(*state, branch, pull_request_url.as_deref(), reason.as_deref());
                vec![notice("⇧", tone, text)]
            }
            EventData::NetworkAllowed { hosts, .. } => {
                vec![notice("⇄", Tone::Accent, format!("may now reach {}", clean(&hosts.join(", "))))]
            }
            EventData::Recovered { after, interrupted } => {
                let after = match after {
                    RecoveredAfter::Crash => "a crash",
                    RecoveredAfter::Drain => "a restart",
                    RecoveredAfter::HostLoss => "the loss of a host",
                };
                let cut = match interrupted.len() {
                    0 => String::new(),
                    n => format!("; {} cut off", count(n as u64, "call was", "calls were")),
                };
                self.calls.clear();
                vec![notice("↻", Tone::Warn, format!("went on after {after}{cut}"))]
            }
            EventData::TaskForked { from, model, author } => {
                let model = model.as_ref().map_or_else(String::new, |model| format!(", with {}", clean(model)));
                let text = format!("forked from {} at {} by {}{model}", from.task, from.seq, clean(author));
                self.calls.clear();
                vec![notice("⑂", Tone::Plain, text)]
            }
            EventData::TaskControl { action, author } => {
                let what = match action {
                    Control::Cancel => "cancel",
                    Control::Pause => "pause",
                    Control::Resume => "resume",
                    Control::Retry => "retry",
                };
                vec![notice("■", Tone::Warn, format!("{what}, asked by {}", clean(author)))]
            }
            EventData::TaskStatus { status, waiting_for, .. } => self.status_changed(*status, *waiting_for),
            EventData::TaskUpdated { .. } | EventData::TaskResult { .. } | EventData::MessageDeveloper { .. } => {
                Vec::new()
            }
            EventData::Checkpoint { formatted, .. } => {
                let told =
                    formatted.iter().map(|file| format!("formatted {} with {}", clean(&file.path), clean(&file.by)));
                told.map(|text| notice("≡", Tone::Dim, text)).collect()
            }
        }
    }

    /// A live piece: text that the model is writing, output that a command is giving. It shows
    /// in the status line alone.
    pub fn live(&mut self, kind: &str, data: &Value) {
        let text = data.get("text").and_then(Value::as_str).unwrap_or_default();
        match kind {
            "message.delta" => {
                self.writing.push_str(text);
                let excess = self.writing.chars().count().saturating_sub(400);
                self.writing = self.writing.chars().skip(excess).collect();
            }
            "message.reset" => self.writing.clear(),
            "tool.output" => self.calls.output(data.get("call").and_then(Value::as_str), text),
            _ => {}
        }
    }

    /// What is going on: `elapsed` is the time since the last event, `tick` counts redraws.
    pub fn status(&self, elapsed: Duration, tick: usize) -> Option<Line> {
        const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
        let mut line = Line::at(0).with(format!("{} ", SPINNER[tick % SPINNER.len()]), Tone::Accent);
        line = match self.doing {
            Doing::Ended => return None,
            Doing::Starting => line.plain("starting"),
            Doing::Waiting => line.plain("waiting"),
            Doing::Checking => line.plain("the server runs the checks on a clean copy"),
            Doing::Thinking | Doing::Tools => match self.calls.running() {
                Some((what, output)) => line.plain(what).dim(output.map(|o| format!("  {o}")).unwrap_or_default()),
                None if self.writing.trim().is_empty() => line.plain("the model thinks"),
                None => line.dim(words::last_words(&self.writing)),
            },
        };
        let mut right = String::new();
        if self.turn > 0 {
            right = format!("turn {} · {} tokens · ", self.turn, words::tokens(self.tokens));
        }
        Some(line.right(format!("{right}{}", duration(elapsed)), Tone::Dim))
    }

    fn doing(&mut self, doing: Doing) -> Vec<Line> {
        self.doing = doing;
        Vec::new()
    }

    fn phase(&mut self, phase: Phase, at: Option<Timestamp>) -> Vec<Line> {
        if self.phase == Some(phase) {
            return Vec::new();
        }
        self.phase = Some(phase);
        let name = match phase {
            Phase::Analysis => "Analysis",
            Phase::Planning => "Planning",
            Phase::Generation => "Generation",
            Phase::Validation => "Validation",
            Phase::Refinement => "Refinement",
        };
        let mut line = Line::at(0).with(name, Tone::Accent);
        if let (Some(at), Some(started)) = (at, self.started) {
            line = line.right(duration(at.since(started)), Tone::Dim);
        }
        vec![Line::empty(), line]
    }

    fn status_changed(&mut self, status: Status, waiting_for: Option<WaitingFor>) -> Vec<Line> {
        match status {
            Status::Queued | Status::Running => {
                self.doing = Doing::Starting;
                Vec::new()
            }
            Status::Waiting => {
                self.doing = Doing::Waiting;
                let what = waiting_for.map_or("", WaitingFor::as_str);
                vec![notice("…", Tone::Warn, format!("waits: {what}"))]
            }
            Status::Succeeded | Status::Failed | Status::Cancelled => self.doing(Doing::Ended),
        }
    }
}

/// The head of the story: what is asked for.
fn created(spec: &TaskSpec) -> Vec<Line> {
    let mut request = clean_block(spec.request.trim()).into_iter();
    let mut lines =
        vec![Line::at(0).with("◆ ", Tone::Accent).with(request.next().unwrap_or_default(), Tone::Strong).hang(2)];
    lines.extend(request.map(|line| Line::at(INDENT).plain(line)));
    lines
}

fn brief(
    languages: &[crate::domain::brief::Language],
    conventions: &[String],
    checks: &[crate::domain::check::Check],
    files: u32,
) -> Vec<Line> {
    let mut parts = vec![count(files.into(), "file", "files")];
    let names: Vec<String> = languages.iter().take(4).map(|language| clean(&language.name)).collect();
    if !names.is_empty() {
        parts.insert(0, names.join(", "));
    }
    if !conventions.is_empty() {
        parts.push(format!("follows {}", clean(&conventions.join(", "))));
    }
    let mut lines = vec![Line::at(INDENT).dim(parts.join(" · ")).hang(2)];
    for check in checks {
        lines.push(Line::at(INDENT).dim("check  ").plain(clean(&check.command)).cut());
    }
    lines
}

/// How a setup went; of one that failed, the end of what it said.
fn setup(outcome: ToolOutcome, output: &str, duration_ms: u64) -> Vec<Line> {
    let took = duration(Duration::from_millis(duration_ms));
    if outcome == ToolOutcome::Ok {
        return vec![Line::at(INDENT).dim(format!("set up in {took}"))];
    }
    let said = clean_block(output.trim());
    let end = said.len().saturating_sub(SETUP_LINES_MAX);
    let mut lines = vec![Line::at(INDENT).plain(format!("the setup failed after {took}"))];
    lines.extend(said.into_iter().skip(end).map(|line| Line::at(INDENT + 2).dim(line).cut()));
    lines
}

/// The model's words, as a paragraph for each of its lines.
fn said(text: &str, tone: Tone, mark: &str) -> Vec<Line> {
    let text = clean_block(text.trim());
    let tone_of_mark = if tone == Tone::Dim { Tone::Dim } else { Tone::Accent };
    text.into_iter()
        .enumerate()
        .map(|(at, line)| {
            let mark = if at == 0 { mark } else { "  " };
            Line::at(INDENT).with(mark, tone_of_mark).with(line, tone).hang(2)
        })
        .collect()
}

fn notice(mark: &str, tone: Tone, text: String) -> Line {
    Line::at(INDENT).with(format!("{mark} "), tone).with(text, tone).hang(2)
}

/// What was kept from a workspace; what it was let do is seen in its calls.
fn network_used(used: &NetworkUse) -> Option<Line> {
    let what = match used.outcome {
        NetworkOutcome::Allowed => return None,
        NetworkOutcome::Refused => "refused",
        NetworkOutcome::Failed => "failed",
    };
    let why = used.reason.as_deref().map(|reason| format!(": {}", clean(reason))).unwrap_or_default();
    Some(notice("⇄", Tone::Dim, format!("network {what}: {}:{}{why}", clean(&used.host), used.port)))
}

fn limit_warned(limit: LimitKind, used: f64, value: f64) -> Line {
    let (used, value, unit) = match limit {
        LimitKind::Turns => (format!("{used:.0}"), format!("{value:.0}"), "turns"),
        LimitKind::WallTime => (format!("{used:.0}"), format!("{value:.0}"), "seconds"),
        LimitKind::Tokens => (words::tokens(used as u64), words::tokens(value as u64), "tokens"),
        LimitKind::Cost => (words::dollars(used), words::dollars(value), ""),
        LimitKind::Budget => {
            let (used, value) = (words::dollars(used), words::dollars(value));
            return notice("!", Tone::Warn, format!("{used} of {value} of a shared budget are spent or held"));
        }
        LimitKind::Repetition => {
            return notice("!", Tone::Warn, format!("{used:.0} calls repeat without anything new; the model is told"));
        }
    };
    notice("!", Tone::Warn, format!("{used} of {value} {unit} are used").replace("  ", " "))
}
