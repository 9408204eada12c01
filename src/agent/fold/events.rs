//! One arm for each kind of event.

use super::{
    replies::{model_completed, model_started},
    runs::{control, forked, next_run, rewind},
    spend::{
        self, aside_completed, aside_started, cached, lose_aside, lose_call, reserve, told_with_outcome, unreported,
    },
};
use crate::{
    agent::{
        background, cited,
        created::{CREATED_MAX, created},
        formatted, prompt,
        review::{self, Reviewed},
        revision,
        session::{
            Asked, AtRest, Briefed, Checked, CheckpointRef, Decided, Input, PendingCall, PlanApproval, Published,
            Session, Weakening,
        },
        structured::OutputUse,
        weight::Size,
    },
    domain::{
        Event, EventData, Item, Oid, Phase, Private, Seq, Status,
        approval::{ApprovalKind, Decision, Remember},
        event::{LimitKind, PromptSeen},
        plan::PlanOrigin,
        publish::PublishState,
        task::{Control, OnBusy},
        tool::{ToolEffect, ToolOutcome, effect},
    },
};

pub(in crate::agent) fn apply(session: &mut Session, event: &Event, private: Option<&Private>) {
    if matches!(event.data, EventData::TaskControl { action: Control::Retry, .. }) {
        rewind(session);
    }
    if event.run > session.run {
        next_run(session, event.run);
        // Other words want another plan: what people approved was for the last ones.
        if !matches!(event.data, EventData::TaskControl { action: Control::Resume, .. }) {
            let approved = |approval: &mut PlanApproval| matches!(approval.decision, Some((Decision::Approve, ..)));
            session.plan_approval.take_if(approved);
            session.approved = None;
        }
    }
    session.last_seq = event.seq;
    match &event.data {
        EventData::TaskCreated { .. }
        | EventData::SetupStarted { .. }
        | EventData::Reasoning { .. }
        | EventData::MessageAssistant { .. }
        | EventData::NetworkUsed { setup: true, .. } => {}
        // Earlier builds told of hosts alone.
        EventData::NetworkUsed { hosts, bytes, .. } => {
            let told: u64 = hosts.iter().map(|used| used.bytes_in + used.bytes_out).sum();
            session.network_bytes = session.network_bytes.saturating_add(told.max(*bytes));
        }
        EventData::SetupCompleted { .. } => {
            (session.prepared, session.detected) = match private {
                Some(Private::Prepared { key, detected }) => (Some(key.clone()), detected.clone()),
                _ => (None, None),
            };
        }
        EventData::NetworkAllowed { hosts, .. } => {
            for host in hosts {
                if !session.allowed_hosts.contains(host) {
                    session.allowed_hosts.push(host.clone());
                }
            }
        }
        EventData::ModelRetried { overflowed, next_model, broke_off, .. } => {
            session.overflowed |= overflowed;
            if *broke_off {
                unreported(session, session.reserved);
            }
            // A provider that refuses a call does not charge for it.
            if *overflowed || next_model.is_some() {
                session.calling = false;
            }
            if let Some(next) = next_model {
                session.model.clone_from(next);
                session.weight.forget_density();
            }
        }
        EventData::Compaction { tokens_before, tokens_after, usage, cost_usd, .. } => {
            let Some(Private::Compaction { items, opening }) = private else { return };
            if let Some(seen) = &mut session.seen {
                seen.compacted = true;
            }
            compacted(session, opening.as_deref(), items, *tokens_after);
            session.compacted_at = *tokens_before;
            told_with_outcome(session, u32::from(usage.total() > 0), *usage, *cost_usd);
        }
        EventData::AsideStarted { .. } => aside_started(session, private),
        EventData::AsideCompleted { outcome, usage, cost_usd, .. } => {
            aside_completed(session, *outcome, *usage, *cost_usd);
        }
        EventData::ChecksStarted { .. } => session.used.progress.running = true,
        EventData::LimitWarned { limit: LimitKind::Repetition, .. } => {
            session.used.circles += 1;
            session.used.calls_since_circle = 0;
            session.used.moves.clear();
        }
        EventData::LimitWarned { limit: LimitKind::Budget, used, limit_value, of } => {
            let of = of.as_deref().unwrap_or("a shared budget");
            session.used.over_budget =
                Some(format!("{of}: ${used:.2} of ${limit_value:.2} are spent or held; resume when there is more"));
        }
        EventData::LimitWarned { limit, .. } => session.used.warned.push(*limit),
        EventData::TaskStatus { status, waiting_for, error } => {
            lose_call(session);
            lose_aside(session);
            if let Some(since) = session.running_since.take() {
                session.used.ran += event.at.since(since);
            }
            session.drained = session.status == Status::Running && *status == Status::Queued;
            if session.drained && session.loop_version() >= 2 {
                session.used.progress.given_back();
            }
            if *status == Status::Running {
                session.had_copy = session.briefed.is_some();
                session.background.clear();
                session.acted = false;
                session.running_since = Some(event.at);
                session.error = None;
            }
            if let Some(Private::Rest { tree, blob, stat, broken }) = private {
                session.patch = Some(blob.clone());
                session.at_rest = Some(AtRest { tree: tree.clone(), stat: *stat, broken: broken.clone() });
            }
            session.status = *status;
            session.waiting_for = *waiting_for;
            if error.is_some() {
                session.error.clone_from(error);
            }
        }
        EventData::TaskPhase { phase } => {
            session.phase = *phase;
            session.used.refinements += u32::from(*phase == Phase::Refinement);
        }
        EventData::Publish { state: PublishState::Done, branch, pull_request_url, .. } => {
            published(session, branch, pull_request_url.as_deref());
        }
        EventData::TaskForked { from, model, .. } => forked(session, *from, model.as_deref()),
        EventData::TaskControl { action, .. } => control(session, *action),
        EventData::TaskUpdated { title, limits, .. } => {
            if let Some(title) = title {
                session.spec.title.clone_from(title);
            }
            if let Some(limits) = limits {
                session.spec.limits = session.spec.limits.patched(*limits);
            }
        }
        EventData::TaskResult { result } => {
            session.result = Some((**result).clone());
            if result.patch.is_none() {
                session.patch = None;
            }
            patch(session, private);
        }
        EventData::BriefReady { commit, checks, .. } => {
            if let Some(Private::Brief {
                head,
                text,
                base_tree,
                packages,
                prohibitions,
                facts,
                rules,
                instructions,
                mcp,
                loop_version,
            }) = private
            {
                session.had_copy = true;
                session.briefed = Some(Briefed {
                    text: text.clone(),
                    head: head.clone(),
                    commit: commit.clone(),
                    base_tree: base_tree.clone(),
                    checks: checks.clone(),
                    packages: packages.clone(),
                    prohibitions: prohibitions.clone(),
                    instructions: instructions.clone(),
                    mcp: mcp.clone(),
                    facts: facts.clone(),
                    rules: rules.clone(),
                    loop_version: *loop_version,
                });
            }
        }
        EventData::MemoryUsed { memories, tasks, embeddings, .. } => {
            session.recalled.clone_from(memories);
            session.forgot = matches!(private, Some(Private::Memory { forgotten: true, .. }));
            session.recalled_tasks.clone_from(tasks);
            spend::embedded(session, embeddings.as_ref());
            session.memory = Some(match private {
                Some(Private::Memory { text, .. }) => text.clone(),
                _ => String::new(),
            });
        }
        EventData::PlanUpdated { planning } => {
            let steps = || planning.steps.iter().map(|step| step.step.as_str());
            if session.approved.as_ref().is_some_and(|approved| revision::keeps_to(approved, steps())) {
                session.approved = Some(planning.clone());
            }
            if planning.origin != PlanOrigin::Person {
                cited::note_plan(session, planning);
            }
            session.planning = Some(planning.clone());
        }
        EventData::MessageUser { text, on_busy, .. } => {
            let queued = *on_busy == OnBusy::Queue && session.status == Status::Running;
            if !queued {
                // What they bring about is summed up anew, and what held before does not do any more.
                session.used.output = OutputUse::default();
                let loop_version = session.loop_version();
                session.used.progress.let_go(loop_version);
            }
            let input = Input {
                item: Item::User { text: text.clone() },
                queued_in_run: queued.then_some(session.run),
                interrupts: *on_busy == OnBusy::Interrupt && session.status == Status::Running,
                quiet: false,
            };
            session.run_start.said.insert(event.seq, input.clone());
            session.inputs.insert(event.seq, input);
            session.used.moves.clear();
        }
        EventData::MessageDeveloper { text } | EventData::OutputRequested { text, .. } => {
            if prompt::tells_of_lost_processes(text) {
                session.background.clear();
            }
            if matches!(event.data, EventData::OutputRequested { .. }) {
                let output = &mut session.used.output;
                output.asked += 1;
                let words = session.last_words.as_ref().map(|words| words.text.clone());
                output.words_before = output.words_before.take().or(words);
            }
            let item = Item::Developer { text: text.clone() };
            session.inputs.insert(event.seq, Input { item, queued_in_run: None, interrupts: false, quiet: false });
        }
        EventData::ModelStarted { absorbed, .. } => {
            reserve(session, private);
            model_started(session, absorbed);
        }
        EventData::ModelCompleted { model, usage, cost_usd, cache, estimated, .. } => {
            if let Some(Private::Reply(reply)) = private {
                model_completed(session, reply, (!estimated).then_some((*usage, *cost_usd)));
                cached(session, cache);
                let before = session.seen.take();
                let seen = PromptSeen::after(before, model, event.at, *usage, cache.prefix.as_ref());
                session.seen = Some(PromptSeen { model_id: reply.model_id.clone(), ..seen });
                let cut = session.calls.last().is_some_and(|last| last.cut);
                tell(session, event.seq, cut.then(|| prompt::CUT_OFF.to_owned()));
            }
        }
        EventData::ToolStarted { call, .. } => {
            if let Some(pending) = session.calls.iter_mut().find(|p| p.call.call == *call) {
                pending.started = true;
                pending.started_at = Some(event.seq);
                let tool = pending.call.tool.clone();
                session.dirty |= session.effect(&tool).changes();
                session.acted |= session.effect(&tool) == ToolEffect::Acts;
            }
        }
        EventData::ToolCompleted { call, output, outcome, exit_code, .. } => {
            if let Some(pending) = session.calls.iter_mut().find(|p| p.call.call == *call && !p.completed) {
                pending.completed = true;
                pending.interrupted = pending.started && *outcome == ToolOutcome::Interrupted;
                let for_a_plan = *outcome == ToolOutcome::Denied && !prompt::is_by_rule_or_people(output);
                if for_a_plan && effect(&pending.call.tool) != ToolEffect::Plans {
                    session.used.refusals += 1;
                }
                let done = pending.call.clone();
                let loop_version = session.loop_version();
                session.used.moves.push(&done, *outcome, output, loop_version);
                session.used.calls_since_circle += 1;
                // What ran in the working copy ran in the one that was laid anew.
                session.relay &= matches!(outcome, ToolOutcome::Denied | ToolOutcome::Interrupted)
                    || effect(&done.tool) == ToolEffect::Plans;
                if *outcome == ToolOutcome::Ok && session.created.len() < CREATED_MAX {
                    session.created.extend(created(&done));
                }
                background::fold(session, &done, output);
                session.ledger.completed(&done, *outcome, *exit_code, output);
                session.push_item(Item::Result { call: call.clone(), output: output.clone() });
            }
        }
        EventData::ChecksCompleted { verdict, reason, checks, findings, weakened, .. } => {
            session.used.cycles += 1;
            let checked = Checked {
                verdict: *verdict,
                reason: reason.clone(),
                checks: checks.clone(),
                findings: findings.clone(),
                paths: match private {
                    Some(Private::Patch { paths, .. }) => paths.clone(),
                    _ => None,
                },
                weakened: *weakened,
            };
            session.ledger.checked(checks);
            let forbidden = matches!(private, Some(Private::Patch { forbidden, .. }) if !forbidden.is_empty());
            session.used.progress.ended(&checked, session.checkpoint.as_ref(), forbidden);
            session.checked = Some(checked);
            session.used.forbidden |= forbidden;
            if !session.changed() {
                session.patch = None;
            }
            patch(session, private);
        }
        EventData::ReviewCompleted { tree, findings, criteria, sent_back, failed, calls, usage, cost_usd, .. } => {
            told_with_outcome(session, *calls, *usage, *cost_usd);
            let reviewed = Reviewed {
                tree: tree.clone(),
                findings: findings.clone(),
                criteria: criteria.clone(),
                failed: failed.clone(),
            };
            review::keep(session, reviewed, *sent_back);
        }
        EventData::ApprovalRequested { approval, call: Some(call), .. } => {
            session.asked.push(Asked { id: *approval, call: call.clone(), decided: None });
        }
        EventData::ApprovalRequested { approval, kind: ApprovalKind::WeakenedTests, .. } => {
            let tree = session.checkpoint.as_ref().map(|checkpoint| checkpoint.tree.clone());
            session.used.weakening.times += 1;
            session.used.weakening.last = Some(Weakening { id: *approval, tree, decided: None });
        }
        // It is about what goes out, and none of the loop's.
        EventData::Publish { .. } | EventData::ApprovalRequested { kind: ApprovalKind::Publish, .. } => {}
        EventData::ApprovalRequested { approval, call: None, .. } => {
            session.plan_approval = Some(PlanApproval { id: *approval, decision: None });
            let planning = |c: &&PendingCall| !c.completed && effect(&c.call.tool) == ToolEffect::Plans;
            session.plan_call = session.calls.iter().find(planning).map(|c| c.call.call.clone());
        }
        EventData::ApprovalReviewed { call, usage, cost_usd, .. } => {
            session.approver_asked.push(call.clone());
            session.used.approver_calls += 1;
            told_with_outcome(session, u32::from(usage.total() > 0), *usage, *cost_usd);
        }
        EventData::ApprovalResolved { approval, decision, plan, note, answers, remember, .. } => {
            if *remember == Some(Remember::Task) {
                session.remember(*approval, *decision);
            }
            if let Some(pending) = session.plan_approval.as_mut().filter(|p| p.id == *approval) {
                pending.decision = Some((*decision, plan.clone(), note.clone()));
                if *decision == Decision::Approve {
                    session.approved = session.planning.clone();
                    if let Some(approved) = session.approved.as_mut().filter(|_| !plan.is_empty()) {
                        approved.steps.clone_from(plan);
                    }
                }
            }
            if let Some(weakening) = session.used.weakening.last.as_mut().filter(|last| last.id == *approval) {
                weakening.decided = Some((*decision, note.clone()));
            }
            if let Some(asked) = session.asked.iter_mut().find(|asked| asked.id == *approval) {
                asked.decided = Some(Decided { decision: *decision, answers: answers.clone(), note: note.clone() });
            }
        }
        EventData::Checkpoint { tree, restored: was_restored, formatted, .. } => {
            session.dirty = false;
            let mut kept = None;
            if let Some(Private::Checkpoint { delta, told }) = private {
                session.checkpoint = Some(CheckpointRef { tree: tree.clone(), delta: delta.clone() });
                kept.clone_from(told);
            }
            if *was_restored {
                restored(session, tree);
            }
            session.formatted.extend(formatted.iter().map(|file| (file.path.clone(), file.by.clone())));
            // Earlier builds did not keep what they told.
            let text = kept.or_else(|| match was_restored {
                true => Some(prompt::RESTORED.to_owned()),
                false => formatted::told(formatted),
            });
            tell(session, event.seq, text);
        }
        EventData::Recovered { .. } => {
            lose_call(session);
            lose_aside(session);
            session.background.clear();
            session.acted = false;
            if session.loop_version() >= 2 {
                session.used.progress.interrupted();
            }
            if let Some(Private::Told { text, calls }) = private {
                let item = Item::Developer { text: text.clone() };
                session.inputs.insert(event.seq, Input { item, queued_in_run: None, interrupts: false, quiet: !calls });
            }
        }
    }
}

/// What was published stays so, whatever later runs give.
fn published(session: &mut Session, branch: &str, pull_request_url: Option<&str>) {
    let before = session.published.take().and_then(|published| published.pull_request_url);
    let pull_request_url = pull_request_url.map(str::to_owned).or(before);
    if let Some(result) = &mut session.result {
        result.branch = Some(branch.to_owned());
        result.pull_request_url.clone_from(&pull_request_url);
    }
    session.published = Some(Published { branch: branch.to_owned(), pull_request_url });
}

/// The next call, whenever it is, shows it: it is no reason for one.
fn tell(session: &mut Session, seq: Seq, text: Option<String>) {
    let Some(text) = text else { return };
    let item = Item::Developer { text };
    session.inputs.insert(seq, Input { item, queued_in_run: None, interrupts: false, quiet: true });
}

/// The working copy goes back to the best tree seen.
fn restored(session: &mut Session, tree: &Oid) {
    session.relay = true;
    if let Some(checked) = session.used.progress.restored(tree) {
        session.checked = Some(checked);
    }
}

fn patch(session: &mut Session, private: Option<&Private>) {
    if let Some(Private::Patch { blob, .. }) = private {
        session.patch = Some(blob.clone());
    }
}

/// The conversation begins anew: its opening, and what a compaction left.
fn compacted(session: &mut Session, opening: Option<&[Item]>, items: &[Item], tokens_after: u64) {
    let before = std::mem::take(&mut session.items);
    let start = &mut session.run_start;
    if start.replaced.is_none() {
        start.replaced = Some(before.into_iter().take(start.items).collect());
    }
    session.items = opening.map_or_else(|| prompt::opening(session), <[Item]>::to_vec);
    session.items.extend_from_slice(items);
    session.context_tokens = tokens_after;
    session.added_bytes = 0;
    session.weight.anew(session.items.iter().map(Size::of_item).sum());
    session.overflowed = false;
    session.compactions_in_row += 1;
}
