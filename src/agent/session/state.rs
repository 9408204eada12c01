//! The session itself, and what is read off it.

use super::{
    parts::{
        Asked, AtRest, Briefed, Checked, CheckpointRef, Input, LastWords, PendingCall, PlanApproval, Published,
        Reserved, RunStart,
    },
    used::RunUse,
};
use crate::{
    agent::{
        compact, fold,
        ledger::Ledger,
        prompt,
        review::Reviewed,
        rules,
        weight::{Size, Weight},
    },
    domain::{
        ApprovalId, BlobHash, CallId, Event, EventData, Item, Phase, Private, Seq, Status, TaskError, TaskId, TaskSpec,
        Timestamp, WaitingFor,
        approval::Decision,
        check::Check,
        environment::DetectedSetup,
        event::{LOOP_VERSION, PromptSeen},
        mcp::McpTool,
        memory::{RecalledMemory, RecalledTask},
        plan::Planning,
        task::{ForkedFrom, Mode, NetworkPolicy, TaskDetail, TaskResult},
        tool::{ToolCall, ToolEffect, effect},
        usage::Usage,
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

#[derive(Clone, Debug)]
pub struct Session {
    pub task: TaskId,
    pub spec: TaskSpec,
    pub last_seq: Seq,
    pub run: u32,
    /// Model calls that were answered, over all runs.
    pub turn: u32,
    pub status: Status,
    pub waiting_for: Option<WaitingFor>,
    /// A drain gave the run back in its midst.
    pub drained: bool,
    pub phase: Phase,
    pub briefed: Option<Briefed>,
    /// The key of what the setup has prepared for every copy.
    pub prepared: Option<String>,
    /// That setup, where there is no environment that has one.
    pub detected: Option<Box<DetectedSetup>>,
    /// The recalled memories' text as the prompt has it; empty where there are none.
    pub memory: Option<String>,
    /// One of them was deleted since: the prompts that showed it cannot be made again.
    pub forgot: bool,
    pub recalled: Vec<RecalledMemory>,
    pub recalled_tasks: Vec<RecalledTask>,
    pub planning: Option<Planning>,
    /// Inputs that no model call has shown yet.
    pub inputs: BTreeMap<Seq, Input>,
    pub calls: Vec<PendingCall>,
    /// A model call was started and not answered.
    pub calling: bool,
    /// What the call that is under way may cost at most.
    pub(in crate::agent) reserved: Reserved,
    /// What the call outside the loop that is under way may cost at most.
    pub(in crate::agent) aside: Option<Reserved>,
    /// The log tells of calls outside the loop themselves: what came of them is not counted again. Earlier builds
    /// told of them with what came of them alone.
    pub(in crate::agent) tells_asides: bool,
    pub last_words: Option<LastWords>,
    pub checkpoint: Option<CheckpointRef>,
    /// Files that the server had formatted, with the formatters.
    pub formatted: BTreeMap<String, String>,
    /// Calls that may have changed files have ended since the last look at the working copy.
    pub dirty: bool,
    /// Commands have run in the workspace since it was opened, and may have left processes that write on.
    pub(in crate::agent) acted: bool,
    /// Files that edit tools made, at most 200 of them.
    pub created: BTreeSet<String>,
    pub checked: Option<Checked>,
    /// The newest reviews, over all runs: a tree is reviewed once.
    pub reviews: Vec<Reviewed>,
    /// The patch from the base to the newest checkpoint that was asked for.
    pub patch: Option<BlobHash>,
    /// Where it was published, over all runs.
    pub(in crate::agent) published: Option<Published>,
    /// What was kept of the patch when the task last began to wait.
    pub(in crate::agent) at_rest: Option<AtRest>,
    pub plan_approval: Option<PlanApproval>,
    /// The plan that people have approved, with what was ticked off since: it holds while another is put to them, and
    /// when they deny that one.
    pub approved: Option<Planning>,
    /// The call whose plan was put to people.
    pub plan_call: Option<CallId>,
    /// What was asked for calls of the last reply.
    pub asked: Vec<Asked>,
    /// The calls of the last reply about which a model was asked.
    pub approver_asked: Vec<CallId>,
    /// What people have decided for the rest of the task, by what it is about.
    pub remembered: BTreeMap<String, Decision>,
    /// Hosts that people have allowed the task besides those of its policy, in the order in which they did.
    pub allowed_hosts: Vec<String>,
    /// What went in and out of its workspaces, setups left aside, as far as the log tells.
    pub network_bytes: u64,
    /// Processes in the background, each with its command, as far as is known.
    pub background: BTreeMap<u32, String>,
    /// The newest words of the model, with calls or without.
    pub last_said: String,
    pub cancel: bool,
    pub pause: bool,
    /// There was a working copy: not yet of a fork.
    pub had_copy: bool,
    /// The working copy is to be laid anew from the checkpoint.
    pub relay: bool,
    pub used: RunUse,
    pub usage: Usage,
    /// A model without a price was used: the cost is unknown.
    pub unpriced: bool,
    /// All that was ever spent, or counts as spent, of what has a price.
    pub(in crate::agent) spent_usd: f64,
    /// Tokens of the last call, in and out: what the next call's prompt repeats.
    pub context_tokens: u64,
    /// Bytes of the items that were added since.
    pub(in crate::agent) added_bytes: u64,
    /// What the prompt weighs at most.
    pub(in crate::agent) weight: Weight,
    /// The provider said that the prompt is longer than the window.
    pub(in crate::agent) overflowed: bool,
    /// Compactions since a call last had room.
    pub compactions_in_row: u32,
    /// What the prompt had before the last of them.
    pub(in crate::agent) compacted_at: u64,
    pub(in crate::agent) ledger: Ledger,
    /// The model of this run: the task's own, or what took over from it.
    pub model: String,
    /// What the last call has put into the provider's cache.
    pub seen: Option<PromptSeen>,
    pub running_since: Option<Timestamp>,
    pub error: Option<TaskError>,
    pub result: Option<TaskResult>,
    pub forked_from: Option<ForkedFrom>,
    /// The prompt's opening (brief, memory, facts) is among the items.
    pub(in crate::agent) opened: bool,
    /// Items that the driver has not taken yet.
    pub(in crate::agent) items: Vec<Item>,
    pub(in crate::agent) run_start: RunStart,
}

impl Session {
    /// Starts from a task's first event.
    ///
    /// # Errors
    /// Answers false in the option where the first event is no `task.created`.
    pub fn start(event: &Event) -> Option<Self> {
        let EventData::TaskCreated { spec, .. } = &event.data else { return None };
        let request = Input {
            item: Item::User { text: spec.request.clone() },
            queued_in_run: None,
            interrupts: false,
            quiet: false,
        };
        Some(Self {
            task: event.task,
            spec: (**spec).clone(),
            last_seq: event.seq,
            run: event.run,
            turn: 0,
            status: Status::Queued,
            waiting_for: None,
            drained: false,
            phase: Phase::Analysis,
            briefed: None,
            prepared: None,
            detected: None,
            memory: None,
            forgot: false,
            recalled: Vec::new(),
            recalled_tasks: Vec::new(),
            planning: None,
            inputs: BTreeMap::from([(event.seq, request.clone())]),
            calls: Vec::new(),
            calling: false,
            reserved: Reserved::default(),
            aside: None,
            tells_asides: false,
            last_words: None,
            checkpoint: None,
            formatted: BTreeMap::new(),
            dirty: false,
            acted: false,
            created: BTreeSet::new(),
            checked: None,
            reviews: Vec::new(),
            patch: None,
            published: None,
            at_rest: None,
            plan_approval: None,
            approved: None,
            plan_call: None,
            asked: Vec::new(),
            approver_asked: Vec::new(),
            remembered: BTreeMap::new(),
            allowed_hosts: Vec::new(),
            network_bytes: 0,
            background: BTreeMap::new(),
            last_said: String::new(),
            cancel: false,
            pause: false,
            had_copy: false,
            relay: false,
            used: RunUse::default(),
            usage: Usage::default(),
            unpriced: false,
            spent_usd: 0.0,
            context_tokens: 0,
            added_bytes: 0,
            weight: Weight::default(),
            overflowed: false,
            compactions_in_row: 0,
            compacted_at: 0,
            ledger: Ledger::default(),
            model: spec.model.clone(),
            seen: None,
            running_since: None,
            error: None,
            result: None,
            forked_from: None,
            opened: false,
            items: Vec::new(),
            run_start: RunStart { said: BTreeMap::from([(event.seq, request)]), ..RunStart::default() },
        })
    }

    /// The number that an event written now carries as its turn.
    pub fn turn_of(&self, data: &EventData) -> u32 {
        match data {
            EventData::ModelStarted { .. } | EventData::ModelCompleted { .. } | EventData::ModelRetried { .. } => {
                self.turn + 1
            }
            _ => self.turn,
        }
    }

    /// How many tokens the next call's prompt will have at most: by this limits are kept.
    pub fn context_at_most(&self) -> u64 {
        if self.loop_version() == 0 {
            return self.context_estimate();
        }
        let opening = if self.opened { Vec::new() } else { prompt::opening(self) };
        let shown = self.inputs.values().filter(|input| input.queued_in_run.is_none()).map(|input| &input.item);
        let to_come: Size = opening.iter().chain(shown).map(Size::of_item).sum();
        self.weight.at_most(to_come, Size::of_ascii(self.head_bytes()), self.loop_version())
    }

    /// About how many tokens the next call's prompt will have: what the last call had, what was added since, and what
    /// the call itself will add. By this the model's window is kept, whose end the provider tells too.
    pub fn context_estimate(&self) -> u64 {
        let opening = if self.opened { Vec::new() } else { prompt::opening(self) };
        let shown = self.inputs.values().filter(|input| input.queued_in_run.is_none()).map(|input| &input.item);
        let head = if self.context_tokens == 0 { self.head_bytes() } else { 0 };
        let to_come: u64 = head + opening.iter().chain(shown).map(compact::bytes_of).sum::<u64>();
        self.context_tokens.saturating_add((self.added_bytes + to_come).div_ceil(4))
    }

    /// Whether the conversation can begin anew: before the first reply there is nothing to summarise, and only a model
    /// that took over from the one that the opening was made for has reason to.
    pub fn can_compact(&self) -> bool {
        self.turn > 0 || (self.opened && self.model != self.spec.model)
    }

    /// Which rules of the loop hold for this task.
    pub(in crate::agent) fn loop_version(&self) -> u32 {
        self.briefed.as_ref().map_or(LOOP_VERSION, |briefed| briefed.loop_version)
    }

    /// The size of instructions and tools.
    pub(in crate::agent) fn head_bytes(&self) -> u64 {
        self.briefed.as_ref().map_or(0, |briefed| briefed.head.bytes)
    }

    pub(in crate::agent) fn push_item(&mut self, item: Item) {
        self.added_bytes += compact::bytes_of(&item);
        self.weight.add(Size::of_item(&item));
        self.items.push(item);
    }

    /// All items since the last compaction, or all: only of a session that was just folded whole.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// The items added since this was last asked: what the prompt grows by.
    pub fn take_items(&mut self) -> Vec<Item> {
        std::mem::take(&mut self.items)
    }

    /// The task's own checks, or else the detected ones.
    pub fn checks(&self) -> &[Check] {
        if self.spec.checks.is_empty() {
            self.briefed.as_ref().map_or(&[], |b| b.checks.as_slice())
        } else {
            &self.spec.checks
        }
    }

    /// What the task's workspaces may reach now.
    pub fn network(&self) -> NetworkPolicy {
        self.spec.network.with(&self.allowed_hosts)
    }

    /// Whether the working copy differs from the base, as far as has been looked.
    pub fn changed(&self) -> bool {
        match (&self.checkpoint, &self.briefed) {
            (Some(checkpoint), Some(briefed)) => checkpoint.tree != briefed.base_tree,
            _ => false,
        }
    }

    /// Whether the present run has changed the working copy, as far as has been looked.
    pub fn changed_in_run(&self) -> bool {
        let at_start = self.run_start.checkpoint.as_ref().map(|checkpoint| &checkpoint.tree);
        match (&self.checkpoint, &self.briefed) {
            (Some(checkpoint), Some(briefed)) => checkpoint.tree != *at_start.unwrap_or(&briefed.base_tree),
            _ => false,
        }
    }

    /// Whether what is changed goes into a patch: questions and plans change nothing, nor does a task whose
    /// plan people have not approved.
    pub fn keeps_changes(&self) -> bool {
        matches!(self.spec.mode, Mode::Auto | Mode::Change)
            && (!self.spec.approval.asks_for_plans() || !self.changed_in_run() || self.approved.is_some())
    }

    /// Where the run began, if it has changed the working copy without the plan that people have to approve: that is
    /// put back, for a later run would take it for its own.
    pub(in crate::agent) fn unapproved(&self) -> bool {
        matches!(self.spec.mode, Mode::Auto | Mode::Change) && !self.keeps_changes() && self.loop_version() >= 2
    }

    /// People approved that the present tree weakens tests.
    pub fn weakening_approved(&self) -> bool {
        let last = self.used.weakening.last.as_ref().filter(|last| last.is_of(self));
        last.is_some_and(|last| matches!(last.decided, Some((Decision::Approve, _))))
    }

    /// What was kept of the patch, where nothing has changed since.
    pub(in crate::agent) fn at_rest(&self) -> Option<&AtRest> {
        let here = self.checkpoint.as_ref().map(|checkpoint| &checkpoint.tree);
        self.at_rest.as_ref().filter(|kept| Some(&kept.tree) == here && self.keeps_changes())
    }

    /// The working copy was looked at and had not changed: nothing is written of it.
    pub fn looked(&mut self) {
        self.dirty = false;
    }

    /// Words that were kept for the next run and are a reason for it.
    pub fn keeps_words(&self) -> bool {
        self.inputs.values().any(|input| input.queued_in_run.is_some() && !input.quiet)
    }

    /// Somebody's words that interrupt what runs now.
    pub fn interrupted(&self) -> bool {
        self.inputs.values().any(|input| input.interrupts)
    }

    /// Inputs that the next model call will show.
    pub fn has_words(&self) -> bool {
        self.inputs.values().any(|input| input.queued_in_run.is_none() && !input.quiet)
    }

    /// What the task has spent in money over all runs, with what may be spent by a call that was not answered.
    pub fn spent_usd(&self) -> f64 {
        self.spent_usd + self.under_way().cost_usd.unwrap_or_default()
    }

    /// What calls may cost that were begun and not answered.
    pub(in crate::agent) fn under_way(&self) -> Reserved {
        let called = if self.calling { self.reserved } else { Reserved::default() };
        called.and(self.aside.unwrap_or_default())
    }

    /// What a further run may lay out: the last state, and the one that a retry goes back to.
    pub fn checkpoints_needed(&self) -> impl Iterator<Item = &CheckpointRef> {
        self.checkpoint.iter().chain(&self.run_start.checkpoint)
    }

    /// Patches that are shown: the newest, and the one that a retry goes back to.
    pub fn patches_needed(&self) -> impl Iterator<Item = &BlobHash> {
        self.patch.iter().chain(&self.run_start.patch)
    }

    /// How long the present run has been running.
    pub fn ran(&self, now: Timestamp) -> Duration {
        self.used.ran + self.running_since.map_or(Duration::ZERO, |since| now.since(since))
    }

    /// The like of what an approval was asked about is not asked again in this task.
    pub(in crate::agent) fn remember(&mut self, approval: ApprovalId, decision: Decision) {
        let Some(asked) = self.asked.iter().find(|asked| asked.id == approval) else { return };
        let Some(pending) = self.calls.iter().find(|pending| pending.call.call == asked.call) else { return };
        let asks = rules::judge(self, &pending.call).asks;
        self.remembered.extend(asks.into_iter().map(|found| (found.key, decision)));
    }

    /// What the task's row shows besides its columns.
    pub fn detail(&self) -> TaskDetail {
        TaskDetail {
            commit: self.briefed.as_ref().and_then(|b| b.commit.clone()),
            planning: self.planning.clone(),
            usage: self.usage,
            result: self.result.clone(),
            error: self.error.clone(),
            patch: self.patch.clone(),
            forked_from: self.forked_from,
        }
    }

    /// The calls that a crash cut off and that may have changed something.
    pub fn in_doubt(&self) -> Vec<ToolCall> {
        let in_doubt = |c: &&PendingCall| c.started && !c.completed && self.effect(&c.call.tool).changes();
        self.calls.iter().filter(in_doubt).map(|c| c.call.clone()).collect()
    }

    /// Where the log says that a call of the last reply began.
    pub fn started_at(&self, call: &CallId) -> Option<Seq> {
        self.calls.iter().find(|pending| pending.call.call == *call)?.started_at
    }

    /// The calls of the last reply that were cut off and answered so. Tasks of earlier builds do not tell of them.
    pub fn cut_off(&self) -> Vec<CallId> {
        let cut_off = self.calls.iter().filter(|c| c.interrupted && self.loop_version() >= 2);
        cut_off.map(|c| c.call.call.clone()).collect()
    }

    /// The tool of an MCP server that the model was given under this name.
    pub fn mcp_tool(&self, name: &str) -> Option<&McpTool> {
        self.briefed.as_ref()?.mcp.iter().find(|tool| tool.name == name)
    }

    /// What a call of this tool may do, in this task.
    pub fn effect(&self, tool: &str) -> ToolEffect {
        match self.mcp_tool(tool) {
            Some(tool) if tool.reads => ToolEffect::Reads,
            Some(_) => ToolEffect::Acts,
            None => effect(tool),
        }
    }

    /// Folds the log's next event with its private part.
    pub fn apply(&mut self, event: &Event, private: Option<&Private>) {
        fold::apply(self, event, private);
    }
}
