//! A world for the pure loop, without I/O: it records what the loop decides, and answers as a test says.

use journeyman::{
    agent::{self, ModelFacts, Session, Step, next_step},
    domain::{
        BlobHash, CallId, Event, EventData, Oid, Phase, Private, Status, TaskId, TaskSpec, Timestamp,
        check::{Check, CheckOutcome, CheckResult, CheckRun, CheckSource, Verdict},
        event::{CacheUse, LOOP_VERSION, PromptHead},
        item::{Reply, Wire},
        plan::{PlanOrigin, PlanStep, Planning, StepStatus},
        rule::Rules,
        tool::{ToolCall, ToolOutcome},
        usage::TokenUsage,
    },
};
use serde_json::json;
use std::time::Duration;
use time::OffsetDateTime;

pub(super) struct Play {
    pub(super) session: Session,
    pub(super) facts: ModelFacts,
    pub(super) now: Timestamp,
    pub(super) log: Vec<(Event, Option<Private>)>,
    /// What the working copy would be seen to be.
    pub(super) tree: char,
    /// Pinned with the brief.
    pub(super) rules: Option<Rules>,
    pub(super) brief: String,
    pub(super) layers: Vec<String>,
}

pub(super) fn spec(changes: serde_json::Value) -> TaskSpec {
    let mut spec = json!({
        "request": "Mend it", "title": "Mend it", "mode": "auto", "repository": null, "model": "m", "environment": null,
        "checks": [Check::command("make check", CheckSource::Task)],
        "limits": journeyman::domain::Limits::default(),
        "approval": "never", "network": { "mode": "off", "hosts": [] }, "output_schema": null, "priority": 0,
        "labels": {}, "source": { "kind": "api", "url": null, "integration": null },
    });
    merge(&mut spec, changes);
    serde_json::from_value(spec).unwrap()
}

fn merge(into: &mut serde_json::Value, from: serde_json::Value) {
    match (into, from) {
        (serde_json::Value::Object(into), serde_json::Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(serde_json::Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

pub(super) fn tree(letter: char) -> Oid {
    letter.to_string().repeat(40).parse().unwrap()
}

pub(super) fn shell(command: &str) -> (&'static str, String) {
    ("shell", json!({ "command": command }).to_string())
}

pub(super) fn edit(path: &str, new: &str) -> (&'static str, String) {
    ("edit", json!({ "path": path, "old": "x", "new": new }).to_string())
}

impl Play {
    /// A task of this specification, briefed, with a plan, before its first model call.
    pub(super) fn planned(changes: serde_json::Value) -> Self {
        let mut play = Self::new(changes);
        play.record(
            EventData::PlanUpdated {
                planning: Planning {
                    revision: 1,
                    origin: PlanOrigin::Model,
                    approaches: Vec::new(),
                    steps: vec![PlanStep { step: "Mend it".into(), status: StepStatus::InProgress }],
                    criteria: vec!["It holds".into()],
                },
            },
            None,
        );
        play
    }

    pub(super) fn new(changes: serde_json::Value) -> Self {
        let now: Timestamp = OffsetDateTime::UNIX_EPOCH.into();
        let created = Event {
            seq: 1,
            task: TaskId(uuid::Uuid::nil()),
            run: 1,
            turn: 0,
            at: now,
            data: EventData::TaskCreated { spec: Box::new(spec(changes)), author: "a".into(), requested_by: None },
        };
        let session = Session::start(&created).unwrap();
        let facts = ModelFacts { window_tokens: 128_000, max_output_tokens: 16_384, prices: None, reviewer: None };
        let mut play = Self {
            session,
            facts,
            now,
            log: vec![(created, None)],
            tree: '0',
            rules: None,
            brief: "brief".into(),
            layers: Vec::new(),
        };
        play.status(Status::Running);
        play
    }

    pub(super) fn record(&mut self, data: EventData, private: Option<Private>) {
        self.record_as(self.session.run, data, private);
    }

    /// An event that begins another run.
    pub(super) fn record_in(&mut self, run: u32, data: EventData) {
        self.record_as(run, data, None);
    }

    fn record_as(&mut self, run: u32, data: EventData, private: Option<Private>) {
        let event = Event {
            seq: self.session.last_seq + 1,
            task: self.session.task,
            run,
            turn: self.session.turn_of(&data),
            at: self.now,
            data,
        };
        self.session.apply(&event, private.as_ref());
        self.log.push((event, private));
    }

    pub(super) fn status(&mut self, status: Status) {
        self.record(EventData::TaskStatus { status, waiting_for: None, error: None }, None);
    }

    pub(super) fn wait(&mut self, span: Duration) {
        self.now = self.now.plus(span);
    }

    /// Goes on to the next step that needs the world: a call, tools, checks, a wait or the end. What only the
    /// server does is done.
    pub(super) fn step(&mut self) -> Step {
        for _ in 0..50 {
            let step = next_step(&self.session, &self.facts, self.now);
            match &step {
                Step::Record(events) => {
                    for data in events.clone() {
                        self.record(data, None);
                    }
                }
                Step::Analyse => {
                    let head = PromptHead {
                        instructions: BlobHash("i".into()),
                        tools: BlobHash("t".into()),
                        form: None,
                        bytes: 400,
                    };
                    let data = EventData::BriefReady {
                        commit: None,
                        languages: Vec::new(),
                        conventions: Vec::new(),
                        checks: Vec::new(),
                        files: 1,
                        instructions: Vec::new(),
                        skills: Vec::new(),
                        mcp: Vec::new(),
                    };
                    let private = Private::Brief {
                        head,
                        text: self.brief.clone(),
                        base_tree: tree('0'),
                        packages: Vec::new(),
                        prohibitions: Vec::new(),
                        instructions: self.layers.clone(),
                        mcp: Vec::new(),
                        facts: None,
                        rules: self.rules.clone(),
                        loop_version: LOOP_VERSION,
                    };
                    self.record(data, Some(private));
                }
                Step::Recall => self.record(
                    EventData::MemoryUsed {
                        memories: Vec::new(),
                        tasks: Vec::new(),
                        stale: Vec::new(),
                        embeddings: None,
                    },
                    None,
                ),
                Step::Checkpoint => self.look(),
                Step::Restore(checkpoint) => {
                    let data = EventData::Checkpoint {
                        turn: self.session.turn,
                        tree: checkpoint.tree.clone(),
                        restored: true,
                        formatted: Vec::new(),
                    };
                    self.tree = checkpoint.tree.as_str().chars().next().unwrap();
                    self.record(data, Some(Private::Checkpoint { delta: checkpoint.delta.clone(), told: None }));
                }
                Step::Call { intent, max_output_tokens } => {
                    let reserved = agent::reservation(&self.session, &self.facts, *max_output_tokens);
                    let private =
                        Private::Reserved { tokens: reserved.tokens, cost_usd: reserved.cost_usd, instead: false };
                    for data in intent.clone() {
                        let begins = matches!(data, EventData::ModelStarted { .. });
                        self.record(data, begins.then(|| private.clone()));
                    }
                    return step;
                }
                Step::RunTools { intent, .. } => {
                    for data in intent.clone() {
                        self.record(data, None);
                    }
                    return step;
                }
                Step::RunChecks { .. } => {
                    self.record(EventData::TaskPhase { phase: Phase::Validation }, None);
                    self.record(EventData::ChecksStarted { cycle: 1, checks: Vec::new() }, None);
                    return step;
                }
                Step::Finish { closing, end } => {
                    for data in closing.clone() {
                        self.record(data, None);
                    }
                    let result = agent::task_result(&self.session, end, None, Some(&[]));
                    self.record(EventData::TaskResult { result: Box::new(result) }, None);
                    let error = end.error.clone();
                    self.record(EventData::TaskStatus { status: end.status, waiting_for: None, error }, None);
                    return step;
                }
                _ => return step,
            }
        }
        panic!("fifty steps and nothing that needs the world: {:?}", self.log.last());
    }

    fn look(&mut self) {
        let seen = tree(self.tree);
        let before = self.session.checkpoint.as_ref().map_or(tree('0'), |checkpoint| checkpoint.tree.clone());
        if seen == before {
            return self.session.looked();
        }
        let data =
            EventData::Checkpoint { turn: self.session.turn, tree: seen, restored: false, formatted: Vec::new() };
        self.record(data, Some(Private::Checkpoint { delta: BlobHash(self.tree.to_string()), told: None }));
    }

    /// The model answers.
    pub(super) fn reply(&mut self, text: &str, calls: &[(&str, String)]) {
        let usage =
            TokenUsage { input_tokens: 1_000, cached_input_tokens: 0, output_tokens: 10, ..TokenUsage::default() };
        self.reply_using(text, calls, usage);
    }

    /// The same by a provider that reports no usage.
    pub(super) fn reply_uncounted(&mut self, text: &str, calls: &[(&str, String)]) {
        self.replied(text, calls, TokenUsage::default(), true);
    }

    pub(super) fn reply_using(&mut self, text: &str, calls: &[(&str, String)], usage: TokenUsage) {
        self.replied(text, calls, usage, false);
    }

    fn replied(&mut self, text: &str, calls: &[(&str, String)], usage: TokenUsage, estimated: bool) {
        let turn = self.session.turn + 1;
        let calls: Vec<ToolCall> = calls
            .iter()
            .enumerate()
            .map(|(at, (tool, arguments))| ToolCall {
                call: CallId::new(turn, at),
                tool: (*tool).to_owned(),
                arguments: arguments.clone(),
            })
            .collect();
        let reply = Reply {
            wire: Wire::Chat,
            raw: vec!["{}".into()],
            text: text.into(),
            reasoning: String::new(),
            calls,
            cut: false,
            model: String::new(),
            model_id: String::new(),
        };
        let data = EventData::ModelCompleted {
            model: "m".into(),
            usage,
            cache: CacheUse::default(),
            cost_usd: None,
            duration_ms: 1,
            estimated,
        };
        self.record(data, Some(Private::Reply(reply)));
    }

    /// Every call that was begun is answered so.
    pub(super) fn answer(&mut self, outcome: ToolOutcome, output: &str) {
        let begun: Vec<ToolCall> = self
            .session
            .calls
            .iter()
            .filter(|pending| pending.started && !pending.completed)
            .map(|pending| pending.call.clone())
            .collect();
        assert!(!begun.is_empty(), "calls were begun");
        for call in begun {
            let data = EventData::ToolCompleted {
                call: call.call,
                tool: call.tool,
                outcome,
                output: output.into(),
                exit_code: None,
                duration_ms: 1,
            };
            self.record(data, None);
        }
    }

    /// A whole turn: the model calls one tool, which answers so.
    pub(super) fn turn(&mut self, call: (&str, String), outcome: ToolOutcome, output: &str) -> Step {
        let step = self.step();
        assert!(matches!(step, Step::Call { .. }), "{step:?}");
        self.reply("", &[call]);
        let step = self.step();
        assert!(matches!(step, Step::RunTools { .. }), "{step:?}");
        self.answer(outcome, output);
        step
    }

    /// The model says its last words for now.
    pub(super) fn words(&mut self, text: &str) {
        let step = self.step();
        assert!(matches!(step, Step::Call { .. }), "{step:?}");
        self.reply(text, &[]);
    }

    /// The checks end so: the names that fail, none being a pass. Failures go back as the driver sends them.
    pub(super) fn checked(&mut self, failing: &[&str], last: bool) {
        let verdict = if failing.is_empty() { Verdict::Verified } else { Verdict::Failed };
        self.judged(verdict, failing, last);
    }

    /// The same with a verdict that the names alone do not give.
    pub(super) fn judged(&mut self, verdict: Verdict, failing: &[&str], last: bool) {
        let mut failing: Vec<String> = failing.iter().map(|&name| name.to_owned()).collect();
        failing.sort();
        let failing_none = failing.is_empty();
        let run = |failing: Vec<String>| CheckRun {
            outcome: if failing.is_empty() { CheckOutcome::Pass } else { CheckOutcome::Fail },
            exit_code: Some(i32::from(!failing.is_empty())),
            failing,
            ..serde_json::from_value(json!({
                "outcome": "pass", "exit_code": 0, "duration_ms": 1, "failing": [], "log": "",
            }))
            .unwrap()
        };
        let mut result: CheckResult = serde_json::from_value(json!({
            "name": "check", "command": "make check", "source": "task", "baseline": null, "final": null, "log": "",
        }))
        .unwrap();
        result.baseline = Some(run(Vec::new()));
        result.final_run = Some(run(failing));
        let checks = vec![result];
        let asks = failing_none && verdict == Verdict::Failed && agent::asks_about_tests(&self.session);
        let refines = !last && !asks && agent::refines(&self.session, verdict, &checks);
        let data = EventData::ChecksCompleted {
            verdict,
            reason: Some("as the checks say".into()),
            checks,
            findings: Vec::new(),
            tree: None,
            weakened: verdict == Verdict::Failed && failing_none,
        };
        self.record(data, None);
        if refines {
            self.record(EventData::TaskPhase { phase: Phase::Refinement }, None);
            self.record(EventData::MessageDeveloper { text: "These fail.".into() }, None);
        }
    }

    pub(super) fn developer_words(&self) -> Vec<&str> {
        self.log
            .iter()
            .filter_map(|(event, _)| match &event.data {
                EventData::MessageDeveloper { text } => Some(text.as_str()),
                _ => None,
            })
            .collect()
    }
}
