//! What the service remembers: kept, found, corrected and forgotten by those whom it concerns.

pub use super::memory_transfer::{IMPORT_BYTES_MAX, Imported};
use super::{
    Answer, Error, Faults, Idempotency, Service, access,
    access::Right,
    audit::{self, Action, Subject},
    idempotency,
};
use crate::{
    clock,
    domain::{
        MemoryId, Principal,
        memory::{
            MEMORY_TEXT_CHARS_MAX, Memory, MemoryChange, MemoryChangeKind, MemoryKind, MemoryOrigin, MemoryOrigins,
            MemoryScope, MemoryState,
        },
    },
    memory::Sought,
    store::{
        TeamTx,
        memories::{self, MemoryEdit, MemoryFilter},
        memory_history::{self, NewChange},
        memory_learning,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use utoipa::ToSchema;
use uuid::Uuid;

const QUERY_CHARS_MAX: usize = 10_000;
pub(super) const REPOSITORY_CHARS_MAX: usize = 2_000;
const SEARCH_LIMIT_DEFAULT: u32 = 20;
/// Found for each that is shown: what a memory is worth besides may change their order.
const WEIGHED_PER_HIT: usize = 2;
const REASON_CHARS_MAX: usize = 1_000;
const SOURCES_MAX: usize = 20;

#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMemory {
    #[schema(max_length = 1_000, example = "Run the tests with make check, not with pytest alone")]
    pub text: String,
    /// Default `fact`.
    pub kind: Option<MemoryKind>,
    /// Default `user`, or `user_repository` where a repository is named.
    pub scope: Option<MemoryScope>,
    /// The URL of the repository that it is about; every scope but `user` needs one.
    pub repository: Option<String>,
    /// The memories that it is made from, such as one's own that is now to be the team's: it goes with the last of them.
    #[serde(default)]
    pub derived_from: Vec<MemoryId>,
}

/// What is absent stays.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MemoryEditInput {
    pub text: Option<String>,
    pub kind: Option<MemoryKind>,
    /// A proposal is confirmed by `active` and turned down by `rejected`; one that is stale or turned down holds again
    /// by `active`. No memory becomes a proposal again.
    pub state: Option<MemoryState>,
    /// Why, for the memory's history.
    #[schema(max_length = 1_000)]
    pub reason: Option<String>,
}

#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SearchInput {
    /// Words in any order, or what a task is to be about; each word may match, also in other forms or by what stands for it.
    pub query: String,
    /// Memories about other repositories are left out.
    pub repository: Option<String>,
    /// From 1 to 100, default 20.
    #[schema(minimum = 1, maximum = 100)]
    pub limit: Option<i64>,
}

/// A memory that a search has found.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct MemoryHit {
    pub memory: Memory,
    /// The higher the better; only to be compared within one answer.
    pub score: f32,
    pub reason: String,
}

/// A memory with all that it came from.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct MemoryView {
    #[serde(flatten)]
    pub memory: Memory,
    #[serde(flatten)]
    pub origins: MemoryOrigins,
}

impl Service {
    /// Keeps an active memory of the caller's.
    pub async fn create_memory(
        &self,
        principal: &Principal,
        new: NewMemory,
        key: Option<&Idempotency>,
    ) -> Result<Answer, Error> {
        access::require(principal, Right::WriteMemories)?;
        let derived_from = new.derived_from.clone();
        let memory = check(principal, new)?;
        let mut tx = self.store().team(principal.team).await?;
        if let Some(done) = idempotency::begin(&mut tx, principal, key).await? {
            return Ok(done);
        }
        for (index, source) in derived_from.iter().enumerate() {
            if memories::get(&mut tx, principal.user, *source).await?.is_none() {
                return Err(Error::invalid(format!("/derived_from/{index}"), "is no memory that you may see"));
            }
        }
        let memory = memories::insert(&mut tx, principal.team, &memory).await?;
        memory_learning::derive(&mut tx, memory.id, &derived_from).await?;
        let after = json!({ "state": memory.state });
        note(&mut tx, principal, memory.id, (MemoryChangeKind::Made, ""), (None, Some(&after))).await?;
        record(&mut tx, principal, Action::MemoryCreated, &memory).await?;
        let memory = view(&mut tx, memory).await?;
        let answer = Answer::new(201, &memory)?.at(format!("/v1/memories/{}", memory.memory.id));
        idempotency::commit(tx, principal, key, answer).await
    }

    /// The memories that the caller may see, newest first.
    pub async fn memories(
        &self,
        principal: &Principal,
        filter: &MemoryFilter,
        before: Option<MemoryId>,
        limit: u32,
    ) -> Result<Vec<MemoryView>, Error> {
        access::require(principal, Right::ReadMemories)?;
        let mut tx = self.store().team(principal.team).await?;
        let rows = memories::list(&mut tx, principal.user, filter, before, limit).await?;
        let views = views(&mut tx, rows).await?;
        tx.commit().await?;
        Ok(views)
    }

    pub async fn memory(&self, principal: &Principal, id: MemoryId) -> Result<MemoryView, Error> {
        access::require(principal, Right::ReadMemories)?;
        let mut tx = self.store().team(principal.team).await?;
        let memory = memories::get(&mut tx, principal.user, id).await?.ok_or(Error::NotFound)?;
        let memory = view(&mut tx, memory).await?;
        tx.commit().await?;
        Ok(memory)
    }

    /// What happened to a memory, the newest first; each with its place in the list.
    pub async fn memory_history(
        &self,
        principal: &Principal,
        id: MemoryId,
        before: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<(Uuid, MemoryChange)>, Error> {
        access::require(principal, Right::ReadMemories)?;
        let mut tx = self.store().team(principal.team).await?;
        memories::get(&mut tx, principal.user, id).await?.ok_or(Error::NotFound)?;
        let rows = memory_history::list(&mut tx, id, before, limit).await?;
        tx.commit().await?;
        Ok(rows)
    }

    /// Changes a memory: one's own; those of others about a team's repository only an admin. A proposal for the whole
    /// team is confirmed by any member who may keep such a memory himself.
    pub async fn edit_memory(
        &self,
        principal: &Principal,
        id: MemoryId,
        input: MemoryEditInput,
    ) -> Result<MemoryView, Error> {
        access::require(principal, Right::WriteMemories)?;
        let mut faults = Faults::default();
        if let Some(text) = &input.text {
            faults.text("/text", text, MEMORY_TEXT_CHARS_MAX);
        }
        if let Some(reason) = &input.reason {
            faults.long("/reason", reason, REASON_CHARS_MAX);
        }
        faults.finish()?;
        let mut tx = self.store().team(principal.team).await?;
        let memory = memories::get(&mut tx, principal.user, id).await?.ok_or(Error::NotFound)?;
        // Who learns for the owner waits, so that what is changed here is what was looked at.
        memory_learning::lock(&mut tx, memory.user).await?;
        let memory = memories::get(&mut tx, principal.user, id).await?.ok_or(Error::NotFound)?;
        let change = change(&memory, input.state)?;
        let confirms = change == Some(MemoryChangeKind::Confirmed) && input.text.is_none() && input.kind.is_none();
        if !confirms {
            check_owner(principal, &memory)?;
        }
        // A person says that it holds: what its files were when it was learnt says nothing against that any more.
        let holds_again = memory.state == MemoryState::Stale && input.state == Some(MemoryState::Active);
        let text = input.text.as_deref().map(str::trim);
        let edit = MemoryEdit { text, kind: input.kind, state: input.state, drop_files: holds_again };
        memories::edit(&mut tx, id, &edit).await?;
        let changed = memories::get(&mut tx, principal.user, id).await?.ok_or(Error::NotFound)?;
        let reason = input.reason.as_deref().unwrap_or_default();
        let (before, after) = difference(&memory, &changed);
        if before != after {
            let what = change.unwrap_or(MemoryChangeKind::Edited);
            note(&mut tx, principal, id, (what, reason), (Some(&before), Some(&after))).await?;
        }
        if change == Some(MemoryChangeKind::Confirmed) {
            confirmed(&mut tx, principal, &changed).await?;
        }
        record(&mut tx, principal, Action::MemoryUpdated, &changed).await?;
        let changed = view(&mut tx, changed).await?;
        tx.commit().await?;
        Ok(changed)
    }

    /// Forgets a memory and what was made from it alone.
    pub async fn delete_memory(&self, principal: &Principal, id: MemoryId) -> Result<(), Error> {
        access::require(principal, Right::WriteMemories)?;
        let mut tx = self.store().team(principal.team).await?;
        let memory = memories::get(&mut tx, principal.user, id).await?.ok_or(Error::NotFound)?;
        check_owner(principal, &memory)?;
        let gone = crate::memory::forget(&mut tx, &[id]).await?;
        record(&mut tx, principal, Action::MemoryDeleted, &memory).await?;
        for with_it in gone {
            let detail = json!({ "made_from": id });
            let subject = Subject::new("memory", with_it);
            audit::record(&mut tx, principal, Action::MemoryDeleted, subject, detail).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Active memories that match the query by their words or their meaning, best first: found as for a task.
    pub async fn search_memories(&self, principal: &Principal, input: SearchInput) -> Result<Vec<MemoryHit>, Error> {
        access::require(principal, Right::ReadMemories)?;
        let mut faults = Faults::default();
        faults.text("/query", &input.query, QUERY_CHARS_MAX);
        if let Some(repository) = &input.repository {
            faults.line("/repository", repository, REPOSITORY_CHARS_MAX);
        }
        let limit = input.limit.unwrap_or(SEARCH_LIMIT_DEFAULT.into());
        if !(1..=100).contains(&limit) {
            faults.add("/limit", "must be from 1 to 100");
        }
        faults.finish()?;
        let limit = limit as usize;
        let sought = Sought {
            team: principal.team,
            user: principal.user,
            repository: input.repository.as_deref(),
            query: &input.query,
            limit: limit * WEIGHED_PER_HIT,
        };
        let found = self.settings().recall.find(self.store(), sought).await?;
        let ids: Vec<MemoryId> = found.iter().map(|(id, _)| *id).collect();
        let mut tx = self.store().team(principal.team).await?;
        let rows = memories::active_among(&mut tx, principal.user, &ids).await?;
        tx.commit().await?;
        let (now, found) = (clock::now(), found.into_iter().collect::<HashMap<_, _>>());
        let hit = |memory: Memory| {
            let found = found.get(&memory.id).copied().unwrap_or_default();
            let (score, reason) = crate::memory::sought(&memory, found, &input.query, now);
            MemoryHit { memory, score, reason }
        };
        let mut hits: Vec<MemoryHit> = rows.into_iter().map(hit).collect();
        hits.sort_by(|a, b| b.score.total_cmp(&a.score).then(b.memory.id.cmp(&a.memory.id)));
        hits.truncate(limit);
        Ok(hits)
    }
}

/// Whose it is and what it is for; never what it says.
pub(super) async fn record(
    tx: &mut TeamTx,
    principal: &Principal,
    action: Action,
    memory: &Memory,
) -> Result<(), Error> {
    let Memory { user, kind, scope, state, .. } = memory;
    let detail = json!({ "owner": user, "kind": kind, "scope": scope, "state": state });
    audit::record(tx, principal, action, Subject::new("memory", memory.id), detail).await
}

/// What a wanted state does to a memory; absent where it stays in the one that it has.
fn change(memory: &Memory, wanted: Option<MemoryState>) -> Result<Option<MemoryChangeKind>, Error> {
    let Some(next) = wanted.filter(|next| *next != memory.state) else { return Ok(None) };
    memory.state.change_to(next).map(Some).ok_or_else(|| Error::Conflict {
        code: "wrong_state",
        detail: format!("the memory is {}: it cannot become {}", memory.state.as_str(), next.as_str()),
        state: Some(memory.state.as_str().to_owned()),
    })
}

/// A proposal holds from now on, and what it says in place of another with it.
async fn confirmed(tx: &mut TeamTx, principal: &Principal, memory: &Memory) -> Result<(), Error> {
    let origins = memory_learning::origins(tx, &[memory.id]).await?.remove(&memory.id).unwrap_or_default();
    if let Some(old) = origins.replaces
        && let Some(before) = memories::get(tx, principal.user, old).await?
    {
        memory_learning::supersede(tx, old, memory.id).await?;
        record(tx, principal, Action::MemoryUpdated, &before).await?;
        let (before, after) =
            (json!({ "state": before.state }), json!({ "state": "stale", "superseded_by": memory.id }));
        note(tx, principal, old, (MemoryChangeKind::Superseded, ""), (Some(&before), Some(&after))).await?;
    }
    Ok(memory_learning::confirm(tx, memory.id, principal.user).await?)
}

/// The fields that a change touched, as they were and as they are.
fn difference(one: &Memory, other: &Memory) -> (Value, Value) {
    let (mut before, mut after) = (Map::new(), Map::new());
    for (name, was, is) in [
        ("text", json!(one.text), json!(other.text)),
        ("kind", json!(one.kind), json!(other.kind)),
        ("state", json!(one.state), json!(other.state)),
    ] {
        if was != is {
            before.insert(name.to_owned(), was);
            after.insert(name.to_owned(), is);
        }
    }
    (Value::Object(before), Value::Object(after))
}

pub(super) async fn note(
    tx: &mut TeamTx,
    principal: &Principal,
    memory: MemoryId,
    (what, detail): (MemoryChangeKind, &str),
    (before, after): (Option<&Value>, Option<&Value>),
) -> Result<(), Error> {
    let new = NewChange { id: clock::new_id(), memory, what, user: Some(principal.user), task: None, detail };
    Ok(memory_history::note_change(tx, principal.team, new, (before, after)).await?)
}

async fn view(tx: &mut TeamTx, memory: Memory) -> Result<MemoryView, Error> {
    let mut one = views(tx, vec![memory]).await?;
    one.pop().ok_or(Error::NotFound)
}

pub(super) async fn views(tx: &mut TeamTx, rows: Vec<Memory>) -> Result<Vec<MemoryView>, Error> {
    let ids: Vec<MemoryId> = rows.iter().map(|memory| memory.id).collect();
    let mut origins = memory_learning::origins(tx, &ids).await?;
    let with = |memory: Memory| MemoryView { origins: origins.remove(&memory.id).unwrap_or_default(), memory };
    Ok(rows.into_iter().map(with).collect())
}

fn check(principal: &Principal, new: NewMemory) -> Result<Memory, Error> {
    let mut faults = Faults::default();
    faults.text("/text", &new.text, MEMORY_TEXT_CHARS_MAX);
    if let Some(repository) = &new.repository {
        faults.line("/repository", repository, REPOSITORY_CHARS_MAX);
    }
    faults.count("/derived_from", new.derived_from.len(), SOURCES_MAX);
    let by_repository = if new.repository.is_some() { MemoryScope::UserRepository } else { MemoryScope::User };
    let scope = new.scope.unwrap_or(by_repository);
    check_scope(scope, new.repository.as_deref(), "", &mut faults);
    faults.finish()?;
    let now = clock::now();
    Ok(Memory {
        id: clock::new_id(),
        team: Some(principal.team),
        user: principal.user,
        text: new.text.trim().to_owned(),
        kind: new.kind.unwrap_or(MemoryKind::Fact),
        scope,
        repository: new.repository,
        state: MemoryState::Active,
        origin: MemoryOrigin::User,
        evidence: None,
        used: 0,
        helped: 0,
        hurt: 0,
        last_used_at: None,
        superseded_by: None,
        created_at: now,
        updated_at: now,
    })
}

/// A memory has a repository just where its scope is one.
pub(super) fn check_scope(scope: MemoryScope, repository: Option<&str>, at: &str, faults: &mut Faults) {
    match (scope, repository) {
        (MemoryScope::User, Some(_)) => {
            faults.add(format!("{at}/repository"), "a memory of scope user has no repository");
        }
        (MemoryScope::UserRepository | MemoryScope::TeamRepository, None) => {
            faults.add(format!("{at}/repository"), "this scope needs a repository");
        }
        _ => {}
    }
}

fn check_owner(principal: &Principal, memory: &Memory) -> Result<(), Error> {
    if memory.user == principal.user { Ok(()) } else { access::require(principal, Right::ManageTeamMemories) }
}
