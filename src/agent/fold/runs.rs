//! Runs: the next one begins, a retry goes back to the start of the last, a fork goes its own way.

use crate::{
    agent::session::{RunStart, RunUse, Session},
    domain::{
        Item, Status,
        task::{Control, ForkedFrom},
        usage::Usage,
    },
};
use std::collections::BTreeMap;

pub(super) fn next_run(session: &mut Session, run: u32) {
    // What no approved plan allowed is not what the next run begins with.
    if session.unapproved() {
        session.checkpoint.clone_from(&session.run_start.checkpoint);
        session.relay = true;
    }
    session.run = run;
    session.model.clone_from(&session.spec.model);
    // A person wants it tried again: what did not fit then is made to fit anew.
    session.overflowed = false;
    session.compactions_in_row = 0;
    session.used = RunUse::default();
    session.running_since = None;
    session.checked = None;
    session.result = None;
    session.cancel = false;
    session.pause = false;
    for input in session.inputs.values_mut() {
        input.queued_in_run = None;
        input.interrupts = false;
    }
    // Words that came before this run and were not shown belong to it.
    session.run_start = RunStart {
        opened: session.opened,
        items: session.items.len(),
        replaced: None,
        context_tokens: session.context_tokens,
        added_bytes: session.added_bytes,
        weight: session.weight,
        ledger: session.ledger.clone(),
        checkpoint: session.checkpoint.clone(),
        patch: session.patch.clone(),
        planning: session.planning.clone(),
        said: session
            .inputs
            .iter()
            .filter(|(_, i)| matches!(i.item, Item::User { .. }))
            .map(|(s, i)| (*s, i.clone()))
            .collect(),
    };
}

/// The log so far was another task's, perhaps in the midst of a run: here it rests. What that task
/// spent is its own, and nothing of it is in this one's cache.
pub(super) fn forked(session: &mut Session, from: ForkedFrom, model: Option<&str>) {
    session.forked_from = Some(from);
    session.had_copy = false;
    session.aside = None;
    session.patch = None;
    session.published = None;
    session.status = Status::Waiting;
    session.waiting_for = None;
    session.drained = false;
    session.error = None;
    session.usage = Usage::default();
    session.unpriced = false;
    session.spent_usd = 0.0;
    session.seen = None;
    // What people decided was for the other task, and its processes are not here.
    session.remembered.clear();
    session.allowed_hosts.clear();
    session.network_bytes = 0;
    session.background.clear();
    // Questions that were put to people of the other task.
    session.used.weakening.last.take_if(|asked| asked.decided.is_none());
    session.plan_approval.take_if(|approval| approval.decision.is_none());
    if let Some(model) = model {
        session.weight.forget_density();
        model.clone_into(&mut session.spec.model);
    }
}

pub(super) fn control(session: &mut Session, action: Control) {
    match action {
        Control::Cancel => session.cancel = true,
        Control::Pause => session.pause = true,
        Control::Resume => session.pause = false,
        // Done before the run's number changed.
        Control::Retry => {}
    }
}

/// A retry: the conversation and the working copy of the last run's start, and what people said
/// since, as if it had been said at once.
pub(super) fn rewind(session: &mut Session) {
    let start = std::mem::take(&mut session.run_start);
    session.opened = start.opened;
    session.context_tokens = start.context_tokens;
    session.added_bytes = start.added_bytes;
    session.weight = start.weight;
    session.ledger.clone_from(&start.ledger);
    session.asked.clear();
    session.approver_asked.clear();
    session.background.clear();
    match &start.replaced {
        Some(items) => session.items.clone_from(items),
        None => session.items.truncate(start.items),
    }
    session.checkpoint.clone_from(&start.checkpoint);
    session.patch.clone_from(&start.patch);
    session.formatted.clear();
    session.planning.clone_from(&start.planning);
    session.inputs = start.said.iter().map(|(seq, input)| (*seq, input.clone())).collect::<BTreeMap<_, _>>();
    session.run_start = start;
    session.calls.clear();
    session.calling = false;
    session.last_words = None;
    session.plan_approval = None;
    session.approved = None;
    session.dirty = false;
    session.acted = false;
    session.relay = true;
}
