//! The agent's `remember`: a proposal, written by the server once for each call however often it is run.

use crate::{
    clock,
    domain::{
        audit::Action,
        learning::{MemorySource, Provenance},
        memory::{Memory, MemoryChangeKind, MemoryEvidence, MemoryKind, MemoryOrigin, MemoryScope, MemoryState},
        task::RepositorySource,
        tool::ToolCall,
    },
    memory::learning::{
        answer::plain,
        likeness::{Likeness, likeness},
    },
    runner::drive::Driver,
    store::{
        StoreError,
        memory_history::{self, NewChange},
        memory_learning,
    },
    tools::{RememberScope, ToolAnswer},
};
use serde_json::json;

/// Proposals of one task, and such as may wait for one user.
const PER_TASK_MAX: i64 = 10;
const WAITING_MAX: i64 = 500;
const COMPARED: u32 = 50;

impl Driver {
    /// Performs `remember`. A database that is away makes it an error that the model may try again.
    pub(in crate::runner) async fn remember(&self, call: &ToolCall, text: &str, scope: RememberScope) -> ToolAnswer {
        let spec = &self.journal.session.spec;
        if spec.source.outsider {
            return ToolAnswer::refused(
                "nothing is remembered from this task: it is done for somebody outside of the team",
            );
        }
        let repository = match &spec.repository {
            Some(RepositorySource::Git { url, .. }) => Some(url.clone()),
            _ => None,
        };
        let (scope, repository) = match (scope, repository) {
            (RememberScope::User, _) => (MemoryScope::User, None),
            (RememberScope::Repository, Some(url)) => (MemoryScope::UserRepository, Some(url)),
            (RememberScope::Repository, None) => {
                return ToolAnswer::refused("this task has no repository that could be known again: use scope `user`");
            }
        };
        let text = plain(text);
        if text.chars().count() > crate::domain::memory::MEMORY_TEXT_CHARS_MAX {
            return ToolAnswer::refused("too long: one statement of at most 1,000 characters");
        }
        if matches!(self.redactor.redact(&text), std::borrow::Cow::Owned(_)) {
            return ToolAnswer::refused("not remembered: it holds something that looks like a secret");
        }
        match self.propose(call, text, scope, repository).await {
            Ok(told) => ToolAnswer::said(told),
            Err(error) => {
                tracing::warn!(task.id = %self.claimed.task, %error, "a proposed memory could not be kept");
                ToolAnswer::refused("not remembered: the service could not keep it now")
            }
        }
    }

    async fn propose(
        &self,
        call: &ToolCall,
        text: String,
        scope: MemoryScope,
        repository: Option<String>,
    ) -> Result<&'static str, StoreError> {
        const PROPOSED: &str = "proposed: it is remembered once a person confirms it";
        let (team, task, user) = (self.claimed.team, self.claimed.task, self.claimed.user);
        let made_by = format!("tool/{task}/{}", call.call);
        let mut tx = self.deps.store.team(team).await?;
        memory_learning::lock(&mut tx, user).await?;
        if memory_learning::made(&mut tx, &made_by).await?.is_some() {
            return Ok(PROPOSED);
        }
        if memory_learning::proposed_by_tool(&mut tx, task).await? >= PER_TASK_MAX {
            return Ok("not remembered: this task has proposed as much as it may");
        }
        if memory_learning::proposals(&mut tx, user).await? >= WAITING_MAX {
            return Ok("not remembered: too many proposals wait for a person already");
        }
        let known = memory_learning::alike(&mut tx, user, repository.as_deref(), &text, COMPARED).await?;
        let same = |memory: &&Memory| {
            memory.scope == scope && memory.superseded_by.is_none() && likeness(&memory.text, &text) == Likeness::Same
        };
        match known.iter().find(same).map(|memory| memory.state) {
            Some(MemoryState::Rejected) => return Ok("not remembered: a person has turned the like of it down"),
            Some(MemoryState::Active | MemoryState::Proposed) => return Ok("this is known already"),
            Some(MemoryState::Stale) | None => {}
        }
        let now = clock::now();
        let memory = Memory {
            id: clock::new_id(),
            team: Some(team),
            user,
            text,
            kind: if scope == MemoryScope::User { MemoryKind::Preference } else { MemoryKind::Fact },
            scope,
            repository,
            state: MemoryState::Proposed,
            origin: MemoryOrigin::Agent,
            evidence: Some(self.evidence_of(call)),
            used: 0,
            helped: 0,
            hurt: 0,
            last_used_at: None,
            superseded_by: None,
            created_at: now,
            updated_at: now,
        };
        memory_learning::make(&mut tx, &memory, &made_by, None).await?;
        let new = NewChange {
            id: clock::new_id(),
            memory: memory.id,
            what: MemoryChangeKind::Made,
            user: None,
            task: Some(task),
            detail: "noted by the agent",
        };
        memory_history::note_change(&mut tx, team, new, (None, Some(&json!({ "state": "proposed" })))).await?;
        let detail = json!({ "owner": user, "task": task, "state": "proposed" });
        super::write::audited(&mut tx, team, memory.id, Action::MemoryCreated, &detail).await?;
        tx.commit().await?;
        Ok(PROPOSED)
    }

    /// The call's beginning is the last of them that stands in the log.
    fn evidence_of(&self, call: &ToolCall) -> MemoryEvidence {
        let events: Vec<i64> = self.journal.session.started_at(&call.call).into_iter().collect();
        let source = MemorySource { provenance: Provenance::Agent, events: events.clone(), feedback: None, user: None };
        MemoryEvidence { task: self.claimed.task, events, files: Vec::new(), sources: vec![source] }
    }
}
