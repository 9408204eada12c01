//! What the service remembers: kept, found, corrected and forgotten by those whom it concerns.

use super::{Answer, Error, Faults, Idempotency, Service, access, access::Right, idempotency};
use crate::{
    clock,
    domain::{
        MemoryId, Principal,
        memory::{MEMORY_TEXT_CHARS_MAX, Memory, MemoryKind, MemoryOrigin, MemoryScope, MemoryState},
    },
    store::memories::{self, MemoryEdit, MemoryFilter},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

const QUERY_CHARS_MAX: usize = 10_000;
const REPOSITORY_CHARS_MAX: usize = 2_000;
const SEARCH_LIMIT_DEFAULT: u32 = 20;

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
}

/// What is absent stays.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MemoryEditInput {
    pub text: Option<String>,
    pub kind: Option<MemoryKind>,
    pub state: Option<MemoryState>,
}

#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SearchInput {
    /// Words in any order; each may match.
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

impl Service {
    /// Keeps an active memory of the caller's.
    pub async fn create_memory(
        &self,
        principal: &Principal,
        new: NewMemory,
        key: Option<&Idempotency>,
    ) -> Result<Answer, Error> {
        access::require(principal, Right::WriteMemories)?;
        let memory = check(principal, new)?;
        let mut tx = self.store().team(principal.team).await?;
        if let Some(done) = idempotency::begin(&mut tx, principal, key).await? {
            return Ok(done);
        }
        let memory = memories::insert(&mut tx, principal.team, &memory).await?;
        let answer = Answer::new(201, &memory)?.at(format!("/v1/memories/{}", memory.id));
        idempotency::commit(tx, principal, key, answer).await
    }

    /// The memories that the caller may see, newest first.
    pub async fn memories(
        &self,
        principal: &Principal,
        filter: &MemoryFilter,
        before: Option<MemoryId>,
        limit: u32,
    ) -> Result<Vec<Memory>, Error> {
        access::require(principal, Right::ReadMemories)?;
        let mut tx = self.store().team(principal.team).await?;
        let rows = memories::list(&mut tx, principal.user, filter, before, limit).await?;
        tx.commit().await?;
        Ok(rows)
    }

    pub async fn memory(&self, principal: &Principal, id: MemoryId) -> Result<Memory, Error> {
        access::require(principal, Right::ReadMemories)?;
        let mut tx = self.store().team(principal.team).await?;
        let memory = memories::get(&mut tx, principal.user, id).await?;
        tx.commit().await?;
        memory.ok_or(Error::NotFound)
    }

    /// Changes a memory: one's own; those of others about a team's repository only an admin.
    pub async fn edit_memory(
        &self,
        principal: &Principal,
        id: MemoryId,
        input: MemoryEditInput,
    ) -> Result<Memory, Error> {
        access::require(principal, Right::WriteMemories)?;
        let mut faults = Faults::default();
        if let Some(text) = &input.text {
            faults.text("/text", text, MEMORY_TEXT_CHARS_MAX);
        }
        faults.finish()?;
        let mut tx = self.store().team(principal.team).await?;
        let memory = memories::get(&mut tx, principal.user, id).await?.ok_or(Error::NotFound)?;
        check_owner(principal, &memory)?;
        let edit = MemoryEdit { text: input.text.as_deref(), kind: input.kind, state: input.state };
        memories::edit(&mut tx, id, &edit).await?;
        let memory = memories::get(&mut tx, principal.user, id).await?.ok_or(Error::NotFound)?;
        tx.commit().await?;
        Ok(memory)
    }

    pub async fn delete_memory(&self, principal: &Principal, id: MemoryId) -> Result<(), Error> {
        access::require(principal, Right::WriteMemories)?;
        let mut tx = self.store().team(principal.team).await?;
        let memory = memories::get(&mut tx, principal.user, id).await?.ok_or(Error::NotFound)?;
        check_owner(principal, &memory)?;
        memories::delete(&mut tx, id).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Active memories that match any word of the query, best first.
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
        let mut tx = self.store().team(principal.team).await?;
        let rows =
            memories::search(&mut tx, principal.user, &input.query, input.repository.as_deref(), limit as u32).await?;
        tx.commit().await?;
        Ok(rows
            .into_iter()
            .map(|row| MemoryHit {
                reason: crate::memory::reason(&row.memory, &input.query),
                memory: row.memory,
                score: row.score,
            })
            .collect())
    }
}

fn check(principal: &Principal, new: NewMemory) -> Result<Memory, Error> {
    let mut faults = Faults::default();
    faults.text("/text", &new.text, MEMORY_TEXT_CHARS_MAX);
    if let Some(repository) = &new.repository {
        faults.line("/repository", repository, REPOSITORY_CHARS_MAX);
    }
    let by_repository = if new.repository.is_some() { MemoryScope::UserRepository } else { MemoryScope::User };
    let scope = new.scope.unwrap_or(by_repository);
    match (scope, &new.repository) {
        (MemoryScope::User, Some(_)) => faults.add("/repository", "a memory of scope user has no repository"),
        (MemoryScope::UserRepository | MemoryScope::TeamRepository, None) => {
            faults.add("/repository", "this scope needs a repository");
        }
        _ => {}
    }
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
        created_at: now,
        updated_at: now,
    })
}

fn check_owner(principal: &Principal, memory: &Memory) -> Result<(), Error> {
    if memory.user == principal.user { Ok(()) } else { access::require(principal, Right::ManageTeamMemories) }
}
