//! What comes of an answer, written in one transaction: memories made, borne out, superseded, each with its history, and
//! the job done.

use super::{Stop, ask, gather::Gathered};
use crate::{
    clock,
    domain::{
        MemoryId, TeamId, UserId,
        audit::{Action, Actor, AuditResult, Subject},
        learning::{LearningOutcome, Provenance},
        memory::{Memory, MemoryChangeKind, MemoryFile, MemoryState},
    },
    memory::learning::{
        answer::Candidate,
        judge::{Context, Judged, judge},
        place::{Place, place},
    },
    runner::deps::Deps,
    store::{
        StoreError, TeamTx,
        audit::{self, NewEntry},
        jobs::ClaimedJob,
        learnings::{self, Done, Due},
        memory_history::{self, NewChange},
        memory_learning,
    },
};
use serde_json::{Value, json};

/// Memories that may wait for one user to decide about them.
const PROPOSALS_MAX: i64 = 500;
/// Memories that a new one is compared with, of each way in which they are found.
const COMPARED: u32 = 50;

pub(super) async fn write(
    deps: &Deps,
    job: &ClaimedJob,
    due: &Due,
    gathered: &Gathered,
    candidates: &[Candidate],
) -> Result<(), Stop> {
    let clean = |candidate: &&Candidate| {
        let hidden = matches!(gathered.redactor.redact(&candidate.text), std::borrow::Cow::Owned(_));
        // What was shown to the model with a gap is not remembered with one.
        !hidden && !candidate.text.contains(crate::secrets::REDACTED)
    };
    let candidates: Vec<&Candidate> = candidates.iter().filter(clean).collect();
    let files = super::merged::files(deps, job, due, gathered, &candidates).await;
    let mut tx = deps.store.team(job.team).await?;
    let mut people: Vec<UserId> = gathered.sources.iter().filter_map(|source| source.user).collect();
    people.push(gathered.created_by);
    let members = memory_learning::writers(&mut tx, &people).await?;
    let context = Context {
        task: due.task,
        user: gathered.created_by,
        members: &members,
        repository: gathered.repository(),
        outsider: gathered.spec.source.outsider,
    };
    let mut judged: Vec<Judged> =
        candidates.iter().filter_map(|candidate| judge(candidate, &gathered.sources, &context)).collect();
    // In one order, so that no two workers wait for each other.
    let mut owners: Vec<UserId> = judged.iter().map(|one| one.user).collect();
    owners.sort_unstable();
    owners.dedup();
    for owner in owners {
        memory_learning::lock(&mut tx, owner).await?;
    }
    let mut changed = Vec::new();
    for (number, one) in judged.iter_mut().enumerate() {
        let wanted = std::mem::take(&mut one.files);
        one.evidence.files = files.iter().filter(|file| wanted.contains(&file.path)).cloned().collect();
        let made_by = format!("learning/{}/{number}", job.id);
        changed.extend(keep(&mut tx, job, due, one, &made_by).await?);
    }
    let outcome = if changed.is_empty() { LearningOutcome::Nothing } else { LearningOutcome::Learned };
    let detail = match (changed.is_empty(), judged.is_empty()) {
        (false, _) => "",
        (true, true) if candidates.is_empty() => "the model found nothing",
        (true, true) => "nothing that the model named is borne out by what it was shown",
        (true, false) => "it is known, or was turned down before",
    };
    if !learnings::done(&mut tx, job, Done { outcome, detail, memories: &changed }).await? {
        return Err(Stop::Fenced);
    }
    tx.commit().await?;
    // A hold that stays is the reconcilers'.
    if let Err(error) = ask::settle(deps, job, due).await {
        tracing::warn!(learning.id = %job.id, %error, "a budget could not be settled");
    }
    Ok(())
}

/// Writes one memory where it belongs; the memory that was made or borne out, if one was.
async fn keep(
    tx: &mut TeamTx,
    job: &ClaimedJob,
    due: &Due,
    judged: &Judged,
    made_by: &str,
) -> Result<Option<MemoryId>, Stop> {
    let known = memory_learning::alike(tx, judged.user, judged.repository.as_deref(), &judged.text, COMPARED).await?;
    let active = judged.state == MemoryState::Active;
    match place(judged, &known) {
        Place::Unwanted => Ok(None),
        Place::Into(memory) => {
            let next = (active && memory.state != MemoryState::Active).then_some(MemoryState::Active);
            memory_learning::bear_out(tx, memory, judged.evidence.clone(), next).await?;
            let (what, before, after) = match next {
                None => (MemoryChangeKind::Merged, json!({}), json!({ "evidence": due.task })),
                Some(_) => (
                    memory.state.change_to(MemoryState::Active).unwrap_or(MemoryChangeKind::Confirmed),
                    json!({ "state": memory.state }),
                    json!({ "state": "active", "evidence": due.task }),
                ),
            };
            note(tx, job, due, judged, memory.id, what, (&before, &after)).await?;
            Ok(Some(memory.id))
        }
        Place::New | Place::InPlaceOf(_) | Place::Against(_)
            if !active && memory_learning::proposals(tx, judged.user).await? >= PROPOSALS_MAX =>
        {
            Ok(None)
        }
        Place::New => make(tx, job, due, judged, made_by, None).await,
        Place::Against(old) => make(tx, job, due, judged, made_by, Some(old.id)).await,
        Place::InPlaceOf(old) => {
            let made = make(tx, job, due, judged, made_by, None).await?;
            if let Some(by) = made {
                memory_learning::supersede(tx, old.id, by).await?;
                let (before, after) = (json!({ "state": old.state }), json!({ "state": "stale", "superseded_by": by }));
                note(tx, job, due, judged, old.id, MemoryChangeKind::Superseded, (&before, &after)).await?;
            }
            Ok(made)
        }
    }
}

async fn make(
    tx: &mut TeamTx,
    job: &ClaimedJob,
    due: &Due,
    judged: &Judged,
    made_by: &str,
    replaces: Option<MemoryId>,
) -> Result<Option<MemoryId>, Stop> {
    let now = clock::now();
    let memory = Memory {
        id: clock::new_id(),
        team: Some(job.team),
        user: judged.user,
        text: judged.text.clone(),
        kind: judged.kind,
        scope: judged.scope,
        repository: judged.repository.clone(),
        state: judged.state,
        origin: judged.origin,
        evidence: Some(judged.evidence.clone()),
        used: 0,
        helped: 0,
        hurt: 0,
        last_used_at: None,
        superseded_by: None,
        created_at: now,
        updated_at: now,
    };
    if !memory_learning::make(tx, &memory, made_by, replaces).await? {
        return Ok(None);
    }
    let after = json!({ "state": judged.state });
    note(tx, job, due, judged, memory.id, MemoryChangeKind::Made, (&json!({}), &after)).await?;
    Ok(Some(memory.id))
}

/// An entry of a memory's history: by whose words it came about, where they are somebody's.
async fn note(
    tx: &mut TeamTx,
    job: &ClaimedJob,
    due: &Due,
    judged: &Judged,
    memory: MemoryId,
    what: MemoryChangeKind,
    (before, after): (&Value, &Value),
) -> Result<(), Stop> {
    let spoke = judged.evidence.sources.iter().any(|source| source.provenance == Provenance::Person);
    let user = Some(judged.user).filter(|_| spoke && judged.state == MemoryState::Active);
    let detail = format!("learnt from {}", why(judged));
    let new = NewChange { id: clock::new_id(), memory, what, user, task: Some(due.task), detail: &detail };
    memory_history::note_change(tx, job.team, new, (Some(before), Some(after))).await?;
    let action = if what == MemoryChangeKind::Made { Action::MemoryCreated } else { Action::MemoryUpdated };
    let detail = json!({ "owner": judged.user, "task": due.task, "before": before, "after": after });
    Ok(audited(tx, job.team, memory, action, &detail).await?)
}

/// An entry of the audit log: what the service does by itself.
pub(super) async fn audited(
    tx: &mut TeamTx,
    team: TeamId,
    memory: MemoryId,
    action: Action,
    detail: &Value,
) -> Result<(), StoreError> {
    let (subject, detail) = (Subject::new("memory", memory), detail.to_string());
    let entry = NewEntry {
        team,
        id: clock::new_id(),
        actor: Actor::SERVICE,
        action: action.as_str(),
        subject: &subject,
        result: AuditResult::Ok,
        address: None,
        request: None,
        detail: &detail,
    };
    audit::insert(tx, &entry).await
}

fn why(judged: &Judged) -> &'static str {
    use crate::domain::memory::MemoryOrigin::{Agent, Checks, Correction, Feedback, Review, User};
    match judged.origin {
        User => "what somebody wrote",
        Feedback => "feedback",
        Correction => "a correction",
        Review => "what was merged or said of it",
        Checks => "checks that failed and were mended",
        Agent => "what the agent noted",
    }
}

/// A file as it is in a task's last tree.
pub(super) fn file(path: &str, oid: crate::domain::Oid) -> MemoryFile {
    MemoryFile { path: path.to_owned(), oid }
}
