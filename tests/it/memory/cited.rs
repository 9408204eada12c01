//! What the model cites of its memory place, in the fold: its own words alone count, and only marks that were given.

use journeyman::{
    agent::{End, Session, task_result},
    clock,
    domain::{
        Event, EventData, Limits, MemoryId, Private, Status, TaskId, TaskSpec,
        check::Verdict,
        item::{Reply, Wire},
        memory::{RecalledMemory, RecalledTask},
        plan::{PlanOrigin, PlanStep, Planning},
        task::{ApprovalPolicy, Mode, NetworkPolicy, OnBusy, Source, SourceKind},
        tool::ToolOutcome,
        usage::TokenUsage,
    },
};

struct Log {
    session: Session,
    run: u32,
}

impl Log {
    fn new() -> Self {
        let spec = TaskSpec {
            request: "say [M1]".to_owned(),
            title: String::new(),
            mode: Mode::Auto,
            repository: None,
            model: "scripted".to_owned(),
            environment: None,
            pinned: None,
            checks: Vec::new(),
            limits: Limits::default(),
            approval: ApprovalPolicy::Never,
            approval_deadline_seconds: None,
            approval_default: None,
            network: NetworkPolicy::default(),
            output_schema: None,
            priority: 0,
            labels: Default::default(),
            source: Source::of(SourceKind::Api),
        };
        let first =
            event(1, 1, EventData::TaskCreated { spec: Box::new(spec), author: "ada".to_owned(), requested_by: None });
        let mut log = Self { session: Session::start(&first).unwrap(), run: 1 };
        let memory = |mark: &str| RecalledMemory {
            memory: MemoryId(clock::new_id()),
            mark: mark.to_owned(),
            text: "quotes [M2]".to_owned(),
            reason: "yours".to_owned(),
            cited: None,
        };
        let task = RecalledTask {
            task: TaskId(clock::new_id()),
            mark: "T1".to_owned(),
            text: "Asked: this.".to_owned(),
            reason: "your earlier task".to_owned(),
            cited: None,
        };
        // The last is of an earlier build.
        let memories = vec![memory("M1"), memory("M2"), memory("M3"), memory("")];
        log.add(EventData::MemoryUsed { memories, tasks: vec![task], stale: Vec::new(), embeddings: None }, None);
        log
    }

    fn add(&mut self, data: EventData, private: Option<Private>) {
        let event = event(self.session.last_seq + 1, self.run, data);
        self.session.apply(&event, private.as_ref());
    }

    fn reply(&mut self, text: &str) {
        let reply = Reply {
            wire: Wire::Responses,
            raw: Vec::new(),
            text: text.to_owned(),
            reasoning: String::new(),
            calls: Vec::new(),
            cut: false,
            model: String::new(),
            model_id: String::new(),
        };
        self.add(EventData::ModelStarted { model: "scripted".to_owned(), absorbed: Vec::new() }, None);
        self.add(
            EventData::ModelCompleted {
                model: "scripted".to_owned(),
                usage: TokenUsage::default(),
                cache: Default::default(),
                cost_usd: None,
                duration_ms: 1,
                estimated: false,
            },
            Some(Private::Reply(reply)),
        );
    }

    fn plan(&mut self, origin: PlanOrigin, step: &str) {
        let step = PlanStep { step: step.to_owned(), status: Default::default() };
        let planning =
            Planning { revision: 1, origin, approaches: Vec::new(), steps: vec![step], criteria: Vec::new() };
        self.add(EventData::PlanUpdated { planning }, None);
    }

    /// Marks that were cited, in their order; and of what has none what is said.
    fn cited(&self) -> Vec<String> {
        let end = End { status: Status::Succeeded, error: None, verdict: Some(Verdict::Unverified), reason: None };
        let result = task_result(&self.session, &end, None, None);
        assert_eq!(result.memories[3].cited, None, "an earlier build asked for no citations");
        let memories = result.memories.iter().filter(|memory| memory.cited == Some(true)).map(|memory| &memory.mark);
        let tasks = result.earlier_tasks.iter().filter(|task| task.cited == Some(true)).map(|task| &task.mark);
        memories.chain(tasks).cloned().collect()
    }
}

fn event(seq: i64, run: u32, data: EventData) -> Event {
    Event { seq, task: TaskId(clock::new_id()), run, turn: 0, at: clock::now(), data }
}

#[test]
fn the_models_own_words_cite_and_nobody_elses() {
    let mut log = Log::new();
    log.reply("I begin.");
    log.add(
        EventData::MessageUser { text: "use [M1]".into(), author: "eve".into(), user: None, on_busy: OnBusy::Steer },
        None,
    );
    log.add(
        EventData::ToolCompleted {
            call: "call_1_0".parse().unwrap(),
            tool: "read_file".into(),
            outcome: ToolOutcome::Ok,
            output: "[M1] [M2]".into(),
            exit_code: None,
            duration_ms: 1,
        },
        None,
    );
    log.plan(PlanOrigin::Person, "as [M2] says");
    assert_eq!(log.cited(), Vec::<String>::new());
    for none in ["M1", "[m1]", "[M9]", "[M01]", "[M1", "[M1; M2]", "a[M]", "[M1 and more]"] {
        log.reply(none);
        assert_eq!(log.cited(), Vec::<String>::new(), "{none}");
    }
    log.reply("Done as [M1] says, and as in [M3, T1].");
    assert_eq!(log.cited(), ["M1", "M3", "T1"]);
    log.plan(PlanOrigin::Model, "do it like [M2]");
    assert_eq!(log.cited(), ["M1", "M2", "M3", "T1"]);
}

#[test]
fn each_run_cites_for_itself() {
    let mut log = Log::new();
    log.reply("As [M1] says.");
    log.run = 2;
    log.add(EventData::TaskStatus { status: Status::Queued, waiting_for: None, error: None }, None);
    assert_eq!(log.cited(), Vec::<String>::new());
    log.reply("As [M2] says.");
    assert_eq!(log.cited(), ["M2"]);
}
