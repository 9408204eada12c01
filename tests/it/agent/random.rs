//! A thousand random runs of the pure loop: replies, results, faults, crashes, people, in any order. Whatever comes, a
//! run ends or waits for people, every call is answered once, no limit is passed, and the log alone says the same.

use super::play::{Play, edit, shell};
use journeyman::{
    agent::{
        Reviewer, Session, Step, affords, aside_reservation, compact, next_step,
        review::{self, Room},
        rules,
    },
    domain::{
        ApprovalId, EventData, Phase, Private, Status, Timestamp, WaitingFor,
        approval::{ApprovalKind, Decision, Remember},
        check::Verdict,
        event::{Aside, AsideOutcome, RecoveredAfter},
        plan::{PlanOrigin, PlanStep, Planning, StepStatus},
        review::{ReviewFinding, ReviewSeverity},
        rule::CommandRule,
        task::{Control, OnBusy},
        tool::{ToolCall, ToolOutcome},
        usage::TokenUsage,
    },
};
use proptest::{
    collection::vec,
    prelude::any,
    test_runner::{Config, TestRunner},
};
use serde_json::json;
use std::{collections::BTreeMap, time::Duration};

/// More steps than any run within these limits can have.
const STEPS_MAX: usize = 2_000;
const TURNS: u32 = 25;
const REFINEMENTS: u32 = 2;
const TOKENS: u64 = 60_000;
const REVIEWER: Reviewer = Reviewer { window_tokens: 8_000, max_output_tokens: 2_000, prices: None };

/// A run of the world: bytes decide what it does; when they are used up, it brings the run to its end.
struct World<'a> {
    play: Play,
    bytes: std::slice::Iter<'a, u8>,
    /// What was decided, and after how many events.
    decided: Vec<(usize, Timestamp, Step)>,
    asked: Option<ApprovalId>,
    approvals: u128,
    /// A token has two bytes and not four.
    dense: bool,
}

/// What became of a call outside the loop.
enum Asked {
    Answered(TokenUsage),
    Not,
    /// The process died meanwhile.
    Crashed,
}

impl World<'_> {
    fn byte(&mut self) -> u8 {
        self.bytes.next().copied().unwrap_or(0)
    }

    fn chance(&mut self, of: u8) -> bool {
        let byte = self.byte();
        byte != 0 && byte.is_multiple_of(of)
    }

    fn run(&mut self) -> Step {
        for _ in 0..STEPS_MAX {
            self.people();
            let before = self.play.log.len();
            let now = self.play.now;
            let first = next_step(&self.play.session, &self.play.facts, now);
            self.decided.push((before, now, first));
            let step = self.play.step();
            let (limits, used) = (self.play.session.spec.limits, &self.play.session.used);
            assert!(used.model_calls <= limits.turns, "{} calls", used.model_calls);
            assert!(used.tokens <= limits.tokens, "{} tokens", used.tokens);
            assert!(used.refinements <= limits.refinements, "{} refinements", used.refinements);
            if matches!(step, Step::Finish { .. }) {
                return step;
            }
            if self.chance(13) {
                self.crash();
                continue;
            }
            self.perform(step);
            let seconds = self.byte() % 8;
            self.play.wait(Duration::from_secs(seconds.into()));
        }
        panic!("{STEPS_MAX} steps and no end");
    }

    /// What people do unasked.
    fn people(&mut self) {
        if self.chance(29) {
            let on_busy = [OnBusy::Steer, OnBusy::Queue, OnBusy::Interrupt][usize::from(self.byte() % 3)];
            let text = "And mind the other one.".to_owned();
            self.play.record(EventData::MessageUser { text, author: "a".into(), user: None, on_busy }, None);
        }
        if self.chance(61) {
            self.control(Control::Pause);
        }
        if self.chance(97) {
            self.control(Control::Cancel);
        }
    }

    fn control(&mut self, action: Control) {
        self.play.record(EventData::TaskControl { action, author: "a".into() }, None);
    }

    /// The process dies: the next one folds the log and says what it found.
    fn crash(&mut self) {
        let (first, rest) = self.play.log.split_first().unwrap();
        let mut session = Session::start(&first.0).unwrap();
        for (event, private) in rest {
            session.apply(event, private.as_ref());
        }
        self.play.session = session;
        let in_doubt = self.play.session.in_doubt();
        let interrupted = in_doubt.iter().map(|call| call.call.clone()).collect();
        self.play.record(EventData::Recovered { after: RecoveredAfter::Crash, interrupted }, None);
        for call in in_doubt {
            self.answer(&call, ToolOutcome::Interrupted, "interrupted: outcome unknown");
        }
    }

    fn perform(&mut self, step: Step) {
        match step {
            Step::Call { max_output_tokens, .. } => self.model(max_output_tokens),
            Step::RunTools { calls, .. } => {
                for call in calls {
                    self.tool(&call);
                }
            }
            Step::Plan(call) => {
                self.begin(&call);
                self.plan();
                self.answer(&call, ToolOutcome::Ok, "Plan recorded.");
            }
            Step::AskApproval(call) => {
                self.begin(&call);
                self.plan();
                self.ask(ApprovalKind::Plan, None);
            }
            Step::AskApprovalOf(planning) => {
                self.play.record(EventData::PlanUpdated { planning }, None);
                self.ask(ApprovalKind::Plan, None);
            }
            Step::AskPeople(call) => {
                self.begin(&call);
                self.ask(ApprovalKind::Question, Some(&call));
            }
            Step::AskAbout { call, .. } => self.ask(ApprovalKind::Command, Some(&call)),
            Step::AskAboutTests => self.ask(ApprovalKind::WeakenedTests, None),
            Step::Wait(waiting_for) => self.wait(waiting_for),
            Step::RunChecks { last } => {
                let names = ["a", "b", "c"];
                let failing = usize::from(self.byte() % 4);
                let weakens = failing == 0 && !self.play.session.weakening_approved() && self.chance(2);
                let verdict = if failing > 0 || weakens { Verdict::Failed } else { Verdict::Verified };
                self.play.judged(verdict, &names[..failing], last);
            }
            Step::Review(room) => self.review(room),
            Step::Compact { max_output_tokens } => self.compact(max_output_tokens),
            other => panic!("the play does that itself: {other:?}"),
        }
    }

    /// A call outside the loop: what it used, where it was answered. It may be lost, and so may the process.
    fn aside(&mut self, aside: Aside, prompt_tokens: u64, output_tokens: u64) -> Asked {
        let reserved = aside_reservation(prompt_tokens, output_tokens, None);
        if !affords(&self.play.session, reserved) {
            return Asked::Not;
        }
        let private = Private::Reserved { tokens: reserved.tokens, cost_usd: reserved.cost_usd, instead: false };
        let model = || "r".to_owned();
        self.play.record(EventData::AsideStarted { aside, model: model() }, Some(private));
        if self.chance(7) {
            self.crash();
            return Asked::Crashed;
        }
        let outcome = match self.byte() % 4 {
            0 => AsideOutcome::Lost,
            1 => AsideOutcome::Refused,
            _ => AsideOutcome::Answered,
        };
        let answered = outcome == AsideOutcome::Answered;
        let usage = match answered {
            true => TokenUsage { input_tokens: prompt_tokens, output_tokens, ..TokenUsage::default() },
            false => TokenUsage::default(),
        };
        let (cost_usd, duration_ms) = (None, 1);
        let data =
            EventData::AsideCompleted { aside, model: model(), outcome, usage, cost_usd, saved_usd: None, duration_ms };
        self.play.record(data, None);
        if answered { Asked::Answered(usage) } else { Asked::Not }
    }

    /// A reviewer that finds something, nothing, or says nonsense twice, within its room.
    fn review(&mut self, room: Option<Room>) {
        let (mut calls, mut usage, mut failed) = (0, TokenUsage::default(), Some("no room".to_owned()));
        if let Some(room) = room {
            for smaller in 0..room.tries {
                match self.aside(Aside::Review, room.prompt_tokens >> smaller, room.output_tokens) {
                    Asked::Crashed => return,
                    Asked::Not => failed = Some("it could not be asked".to_owned()),
                    Asked::Answered(used) => {
                        calls += 1;
                        usage += used;
                        failed = self.chance(3).then(|| "nonsense".to_owned());
                    }
                }
                if failed.is_none() {
                    break;
                }
            }
        }
        let count = if failed.is_some() { 0 } else { usize::from(self.byte() % 4) };
        let finding = |at: usize| ReviewFinding {
            severity: if at == 2 { ReviewSeverity::Minor } else { ReviewSeverity::Major },
            file: None,
            line: None,
            text: "wrong".to_owned(),
        };
        let findings: Vec<_> = (0..count).map(finding).collect();
        let session = &self.play.session;
        let sent_back = review::sends_back(session, &self.play.facts, &findings);
        let tree = session.checkpoint.as_ref().map(|checkpoint| checkpoint.tree.clone());
        let (model, criteria, cost_usd) = ("r".to_owned(), Vec::new(), None);
        self.play.record(
            EventData::ReviewCompleted { model, tree, findings, criteria, sent_back, failed, calls, usage, cost_usd },
            None,
        );
        if sent_back {
            self.play.record(EventData::TaskPhase { phase: Phase::Refinement }, None);
            self.play.record(EventData::MessageDeveloper { text: "Mend these.".to_owned() }, None);
        }
    }

    fn compact(&mut self, max_output_tokens: u64) {
        let usage = match self.aside(Aside::Summary, self.play.session.context_estimate() / 2, max_output_tokens) {
            Asked::Crashed => return,
            Asked::Not => TokenUsage::default(),
            Asked::Answered(usage) => usage,
        };
        let items = compact::replacement(&self.play.session, &self.play.facts, Some("So far."), &[]);
        let data = EventData::Compaction {
            tokens_before: self.play.session.context_estimate(),
            tokens_after: compact::tokens_of(&self.play.session, None, &items),
            usage,
            cost_usd: None,
            summarised: usage.total() > 0,
        };
        self.play.record(data, Some(Private::Compaction { items, opening: None }));
    }

    /// A reply within what the call was allowed, of whatever the model likes.
    fn model(&mut self, max_output_tokens: u64) {
        let input_tokens = self.prompt_tokens();
        let usage = TokenUsage {
            input_tokens,
            cached_input_tokens: input_tokens / 2,
            output_tokens: max_output_tokens.min(u64::from(self.byte()) * 8),
            cache_write_tokens: 0,
        };
        let count = usize::from(self.byte() % 4);
        let calls: Vec<(&str, String)> = (0..count).map(|_| self.wish()).collect();
        let text = ["", "Done.", "I will now run the tests:"][usize::from(self.byte() % 3)];
        let text = if self.bytes.len() == 0 { "Done." } else { text };
        self.play.reply_using(text, &calls, usage);
    }

    /// What the provider counts of the prompt: where its tokens are dense, twice what was estimated of that which it
    /// had not counted before.
    fn prompt_tokens(&self) -> u64 {
        let session = &self.play.session;
        let kinds = self.play.log.iter().rev().map(|(event, _)| event.data.kind());
        let last = { kinds }.find(|kind| matches!(*kind, "model.completed" | "compaction"));
        let counted = if last == Some("model.completed") { session.context_tokens } else { 0 };
        counted + (session.context_estimate() - counted) * if self.dense { 2 } else { 1 }
    }

    fn wish(&mut self) -> (&'static str, String) {
        let number = self.byte() % 4;
        match self.byte() % 8 {
            0 => edit("a.py", &number.to_string()),
            1 => ("apply_patch", json!({ "patch": number }).to_string()),
            2 => ("update_plan", json!({ "plan": [] }).to_string()),
            3 => ("ask_user", json!({ "questions": [{ "question": "?" }] }).to_string()),
            4 => ("read_file", json!({ "path": number.to_string() }).to_string()),
            5 => ("launch_rockets", "no JSON".to_owned()),
            _ => shell(&format!("make {number}")),
        }
    }

    fn tool(&mut self, call: &ToolCall) {
        let outcome = match self.byte() % 8 {
            0 => ToolOutcome::Error,
            1 => ToolOutcome::TimedOut,
            _ => ToolOutcome::Ok,
        };
        if matches!(call.tool.as_str(), "edit" | "apply_patch" | "shell") && self.chance(2) {
            self.play.tree = char::from(b'0' + self.byte() % 8);
        }
        let output = format!("result {}{}", self.byte() % 3, "x".repeat(usize::from(self.byte()) * 16));
        self.answer(call, outcome, &output);
    }

    fn begin(&mut self, call: &ToolCall) {
        if self.play.session.calls.iter().any(|pending| pending.call.call == call.call && !pending.started) {
            self.play.record(journeyman::agent::started(call), None);
        }
    }

    fn answer(&mut self, call: &ToolCall, outcome: ToolOutcome, output: &str) {
        let data = EventData::ToolCompleted {
            call: call.call.clone(),
            tool: call.tool.clone(),
            outcome,
            output: output.to_owned(),
            exit_code: None,
            duration_ms: 1,
        };
        self.play.record(data, None);
    }

    fn plan(&mut self) {
        let status = if self.chance(2) { StepStatus::Completed } else { StepStatus::Pending };
        let planning = Planning {
            revision: 1,
            origin: PlanOrigin::Model,
            approaches: Vec::new(),
            steps: vec![PlanStep { step: "Mend it".into(), status }],
            criteria: Vec::new(),
        };
        self.play.record(EventData::PlanUpdated { planning }, None);
    }

    fn ask(&mut self, kind: ApprovalKind, call: Option<&ToolCall>) {
        self.approvals += 1;
        let approval = ApprovalId(uuid::Uuid::from_u128(self.approvals));
        let deadline = self.play.now.plus(Duration::from_secs(60));
        let call = call.map(|call| call.call.clone());
        self.play.record(EventData::ApprovalRequested { approval, kind, deadline, call }, None);
        self.asked = Some(approval);
        let waiting_for = if kind == ApprovalKind::Question { WaitingFor::Input } else { WaitingFor::Approval };
        self.wait(waiting_for);
    }

    /// The task rests, and people, or the deadline, wake it.
    fn wait(&mut self, waiting_for: WaitingFor) {
        let waiting_for = Some(waiting_for);
        self.play.record(EventData::TaskStatus { status: Status::Waiting, waiting_for, error: None }, None);
        self.play.wait(Duration::from_secs(3_600));
        match waiting_for {
            Some(WaitingFor::Paused) => self.control(Control::Resume),
            _ => {
                let approval = self.asked.expect("what is waited for was asked");
                let decision = match (waiting_for, self.chance(2)) {
                    (_, false) => Decision::Deny,
                    (Some(WaitingFor::Input), true) => Decision::Answer,
                    (_, true) => Decision::Approve,
                };
                let (plan, answers) = (Vec::new(), vec!["yes".to_owned()]);
                let author = "a".to_owned();
                let data = EventData::ApprovalResolved {
                    approval,
                    decision,
                    author,
                    plan,
                    note: None,
                    answers,
                    remember: self.chance(3).then_some(Remember::Task),
                };
                self.play.record(data, None);
            }
        }
        self.play.status(Status::Queued);
        self.play.status(Status::Running);
    }
}

#[test]
fn whatever_happens_a_run_ends_within_its_limits_with_every_call_answered_once() {
    let config = Config { cases: 1_000, failure_persistence: None, ..Config::default() };
    let approvals = ["never", "plan", "on_risk", "always"];
    let own: Vec<CommandRule> = serde_json::from_value(json!([
        { "prefix": ["make", "1"], "decision": "ask" }, { "prefix": ["make", "2"], "decision": "deny" },
    ]))
    .unwrap();
    let modes = ["auto", "change", "answer", "plan"];
    TestRunner::new(config)
        .run(&vec(any::<u8>(), 0..900), |bytes| {
            let choice = |at: usize| usize::from(bytes.get(at).copied().unwrap_or(0));
            let changes = json!({
                "approval": approvals[choice(0) % 4], "mode": modes[choice(1) % 4],
                "limits": {
                    "turns": TURNS, "refinements": REFINEMENTS, "tokens": TOKENS,
                    "wall_seconds": if choice(2) % 4 == 0 { 40 } else { 7_200 },
                },
            });
            let mut play = Play::new(changes);
            play.rules = rules::pinned(play.session.spec.approval, &own);
            play.facts.window_tokens = [4_000, 128_000][choice(3) % 2];
            play.facts.reviewer = (choice(4) % 2 == 0).then_some(REVIEWER);
            let dense = choice(5) % 2 == 0;
            let mut world = World { play, bytes: bytes.iter(), decided: Vec::new(), asked: None, approvals: 0, dense };
            let end = world.run();
            every_call_is_answered_once(&world.play);
            the_log_alone_says_the_same(&world, &end);
            Ok(())
        })
        .unwrap();
}

fn every_call_is_answered_once(play: &Play) {
    let mut calls: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    for (event, private) in &play.log {
        match (&event.data, private) {
            (_, Some(Private::Reply(reply))) => {
                for call in &reply.calls {
                    calls.insert(call.call.to_string(), (0, 0));
                }
            }
            (EventData::ToolStarted { call, .. }, _) => calls.get_mut(call.as_str()).unwrap().0 += 1,
            (EventData::ToolCompleted { call, .. }, _) => calls.get_mut(call.as_str()).unwrap().1 += 1,
            _ => {}
        }
    }
    for (call, counts) in calls {
        assert_eq!(counts, (1, 1), "{call} was begun and answered so often");
    }
    let kinds: Vec<&str> = play.log.iter().map(|(event, _)| event.data.kind()).collect();
    assert_eq!(kinds[kinds.len() - 2..], ["task.result", "task.status"]);
    assert_eq!(kinds.iter().filter(|kind| **kind == "task.result").count(), 1, "nothing comes after the end");
}

/// Another worker, or this one later, decides the same from the log.
fn the_log_alone_says_the_same(world: &World<'_>, end: &Step) {
    let mut session = Session::start(&world.play.log[0].0).unwrap();
    let mut decided = world.decided.iter().peekable();
    for (at, (event, private)) in world.play.log.iter().enumerate() {
        if at > 0 {
            session.apply(event, private.as_ref());
        }
        while let Some((_, now, step)) = decided.next_if(|(events, ..)| *events == at + 1) {
            // A look that found nothing new leaves no trace: the log alone looks once more.
            let again = next_step(&session, &world.play.facts, *now);
            assert!(again == *step || again == Step::Checkpoint, "{again:?} and not {step:?} after {at} events");
        }
    }
    assert!(matches!(end, Step::Finish { .. }) && decided.next().is_none());
}
