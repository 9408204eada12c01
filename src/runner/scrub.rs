//! Secrets out of events, at the one place where a worker records them: what models, commands and
//! repositories said is scrubbed before it is folded, so that the log and the session have the same.
//!
//! What a prompt repeats (results of calls, the server's own words, the brief's checks) loses known values alone,
//! as it must otherwise stay what it is; what only people read loses whatever looks like a credential too. Ids,
//! numbers and words of fixed lists are never touched, and private parts stay as they are.

use crate::{
    domain::{
        EventData,
        check::{CheckResult, CheckRun, Finding},
        memory::{RecalledMemory, RecalledTask},
        plan::Planning,
        task::TaskResult,
    },
    secrets::Redactor,
};
use serde_json::Value;
use std::borrow::Cow;

/// Scrubs the public data of an event. Without allocation where there is nothing to hide.
pub(super) fn event(redactor: &Redactor, data: &mut EventData) {
    let all = Scrubber { hide: &|text| redactor.redact(text) };
    let known = Scrubber { hide: &|text| redactor.redact_known(text) };
    match data {
        EventData::ToolCompleted { output: text, .. } | EventData::MessageDeveloper { text } => known.text(text),
        EventData::BriefReady { checks, .. } => checks.iter_mut().for_each(|check| {
            known.text(&mut check.name);
            known.text(&mut check.command);
        }),
        EventData::MessageAssistant { text, .. }
        | EventData::Reasoning { summary: text }
        | EventData::SetupCompleted { output: text, .. } => all.text(text),
        EventData::ModelRetried { reason, .. } | EventData::ApprovalReviewed { reason, .. } => all.text(reason),
        EventData::TaskStatus { error: Some(error), .. } => all.text(&mut error.message),
        EventData::ToolStarted { arguments, .. } => all.json(arguments),
        EventData::PlanUpdated { planning } => all.planning(planning),
        EventData::ChecksStarted { checks, .. } => all.texts(checks),
        EventData::ChecksCompleted { reason, checks, findings, .. } => {
            all.texts(reason);
            for check in checks {
                all.check(check);
            }
            all.findings(findings);
        }
        EventData::ReviewCompleted { findings, criteria, failed, .. } => {
            all.texts(findings.iter_mut().map(|finding| &mut finding.text));
            all.texts(criteria.iter_mut().flat_map(|of| [&mut of.text, &mut of.evidence]));
            all.texts(failed);
        }
        EventData::OutputRequested { errors, text, .. } => {
            known.texts(errors);
            known.text(text);
        }
        EventData::MemoryUsed { memories, tasks, stale, .. } => {
            all.memories(memories);
            all.earlier(tasks);
            all.texts(stale.iter_mut().map(|one| &mut one.reason));
        }
        EventData::TaskResult { result } => all.result(result),
        EventData::NetworkUsed { hosts, .. } => {
            all.texts(hosts.iter_mut().map(|used| &mut used.host));
            all.texts(hosts.iter_mut().flat_map(|used| &mut used.reason));
        }
        EventData::SetupStarted { commands, .. } => all.texts(commands),
        EventData::TaskCreated { .. }
        | EventData::TaskStatus { error: None, .. }
        | EventData::TaskPhase { .. }
        | EventData::TaskControl { .. }
        | EventData::TaskForked { .. }
        | EventData::TaskUpdated { .. }
        | EventData::MessageUser { .. }
        | EventData::ModelStarted { .. }
        | EventData::AsideStarted { .. }
        | EventData::AsideCompleted { .. }
        | EventData::ModelCompleted { .. }
        | EventData::ApprovalRequested { .. }
        | EventData::ApprovalResolved { .. }
        | EventData::Compaction { .. }
        | EventData::Checkpoint { .. }
        | EventData::LimitWarned { .. }
        | EventData::Recovered { .. }
        | EventData::NetworkAllowed { .. }
        | EventData::Publish { .. } => {}
    }
}

/// What is put to people, as JSON: scrubbed text by text, for in the midst of JSON a secret's end may be taken for
/// more than it is.
pub(super) fn subject(redactor: &Redactor, subject: &str) -> String {
    let all = Scrubber { hide: &|text| redactor.redact(text) };
    match serde_json::from_str::<Value>(subject) {
        Ok(mut value) => {
            all.json(&mut value);
            value.to_string()
        }
        Err(_) => redactor.redact(subject).into_owned(),
    }
}

struct Scrubber<'a> {
    hide: &'a dyn Fn(&str) -> Cow<'_, str>,
}

impl Scrubber<'_> {
    fn text(&self, text: &mut String) {
        if let Cow::Owned(scrubbed) = (self.hide)(text) {
            *text = scrubbed;
        }
    }

    fn texts<'t>(&self, texts: impl IntoIterator<Item = &'t mut String>) {
        texts.into_iter().for_each(|text| self.text(text));
    }

    fn json(&self, value: &mut Value) {
        match value {
            Value::String(text) => self.text(text),
            Value::Array(values) => values.iter_mut().for_each(|value| self.json(value)),
            Value::Object(fields) => {
                if fields.keys().any(|name| matches!((self.hide)(name), Cow::Owned(_))) {
                    *fields = std::mem::take(fields)
                        .into_iter()
                        .map(|(name, value)| ((self.hide)(&name).into_owned(), value))
                        .collect();
                }
                fields.values_mut().for_each(|value| self.json(value));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn planning(&self, planning: &mut Planning) {
        let Planning { approaches, steps, criteria, .. } = planning;
        self.texts(steps.iter_mut().map(|step| &mut step.step));
        self.texts(criteria);
        for approach in approaches {
            self.text(&mut approach.name);
            self.texts(approach.in_favour.iter_mut().chain(&mut approach.against));
        }
    }

    fn check(&self, check: &mut CheckResult) {
        self.texts([&mut check.name, &mut check.command, &mut check.log]);
        for run in check.baseline.iter_mut().chain(&mut check.final_run) {
            self.run(run);
        }
    }

    fn run(&self, run: &mut CheckRun) {
        self.texts(run.failing.iter_mut().chain(&mut run.reason));
        self.text(&mut run.log);
        self.texts(run.tests.iter_mut().flatten().map(|test| &mut test.name));
        self.texts(run.flaky.iter_mut().flat_map(|flaky| &mut flaky.tests));
    }

    fn findings(&self, findings: &mut [Finding]) {
        for finding in findings {
            self.text(&mut finding.message);
            self.texts(&mut finding.path);
        }
    }

    fn memories(&self, memories: &mut [RecalledMemory]) {
        self.texts(memories.iter_mut().flat_map(|one| [&mut one.text, &mut one.reason]));
    }

    fn earlier(&self, tasks: &mut [RecalledTask]) {
        self.texts(tasks.iter_mut().flat_map(|one| [&mut one.text, &mut one.reason]));
    }

    fn result(&self, result: &mut TaskResult) {
        let TaskResult {
            summary, answer, reason, criteria, checks, findings, memories, earlier_tasks, structured, ..
        } = result;
        self.texts(summary.iter_mut().chain(answer).chain(reason));
        self.texts(criteria.iter_mut().flat_map(|it| [Some(&mut it.text), it.evidence.as_mut()]).flatten());
        for check in checks {
            self.check(check);
        }
        self.findings(findings);
        self.memories(memories);
        self.earlier(earlier_tasks);
        if let Some(value) = structured {
            self.json(value);
        }
    }
}
