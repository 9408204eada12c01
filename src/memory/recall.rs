//! Choosing what a task's prompt is given: found by words and meaning, weighed, cut to the budget.

use super::{
    cache::Cache,
    embed::Embeddings,
    find::{best, found_by},
    index::{self, Hit, Index},
    query::{self, QUERY_CHARS_MAX, Query, Related},
    render,
    vectors::Quantised,
    weigh::{self, Candidate, budget_bytes},
};
use crate::{
    clock,
    domain::{
        MemoryId, Oid, TaskId, TeamId, UserId,
        memory::{EmbeddingUse, Memory, MemoryFile, MemoryScope, RecalledMemory, RecalledTask, StaleMemory},
    },
    store::{
        Store, StoreError,
        earlier_tasks::{self, EarlierTask},
        recall::{self, Place},
        task_views,
    },
};
use std::{collections::BTreeMap, sync::Arc};
use tokio::time::Instant;

/// Earlier tasks that are searched, the newest.
const TASKS_MAX: u32 = 50;
/// Earlier tasks whose results are read.
const TASKS_READ_MAX: usize = 6;

/// Finds what a task is given. One per process; cheap to clone.
#[derive(Clone, Debug)]
pub struct Recall(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) embeddings: Option<Embeddings>,
    tokens: u64,
    pub(super) cache: Cache,
    pub(super) related: Related,
}

/// For whom and for what is recalled.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    pub team: TeamId,
    pub user: UserId,
    pub task: TaskId,
    /// The URL of the task's repository.
    pub repository: Option<&'a str>,
    pub request: &'a str,
    pub window_tokens: u64,
    /// The base is what the repository's default branch says: a file that is another there makes a memory stale for all.
    pub on_default: bool,
    /// What the task's base has at a path; absent: there is no file.
    pub file: &'a (dyn Fn(&str) -> Option<Oid> + Sync),
}

impl std::fmt::Debug for Wanted<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wanted").field("task", &self.task).field("repository", &self.repository).finish_non_exhaustive()
    }
}

/// What was recalled.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recalled {
    pub memories: Vec<RecalledMemory>,
    pub tasks: Vec<RecalledTask>,
    pub stale: Vec<StaleMemory>,
    pub embeddings: Option<EmbeddingUse>,
    /// For the prompt's memory place; empty where there is nothing.
    pub text: String,
}

/// A memory or an earlier task.
#[derive(Clone, Debug)]
enum What {
    Memory(Box<Memory>),
    Task(TaskId),
}

impl What {
    fn id(&self) -> uuid::Uuid {
        match self {
            Self::Memory(memory) => memory.id.0,
            Self::Task(task) => task.0,
        }
    }
}

impl Recall {
    /// `tokens` is the most that a prompt is given; 0: nothing is recalled.
    pub fn new(tokens: u64, embeddings: Option<Embeddings>) -> Self {
        Self(Arc::new(Inner { embeddings, tokens, cache: Cache::default(), related: Related::default() }))
    }

    /// What makes the vectors, where something does.
    pub fn embeddings(&self) -> Option<&Embeddings> {
        self.0.embeddings.as_ref()
    }

    /// What memories and earlier tasks may take of a prompt, in bytes.
    pub fn budget_bytes(&self, window_tokens: u64) -> usize {
        budget_bytes(self.0.tokens, window_tokens)
    }

    /// The memories and earlier tasks that fit the task best, within the budget; and those that speak of files which have changed.
    /// It changes nothing: their use is counted, and they are made stale, with the event that tells of it.
    pub async fn recall(&self, store: &Store, wanted: Wanted<'_>) -> Result<Recalled, StoreError> {
        if self.0.tokens == 0 {
            return Ok(Recalled::default());
        }
        let request: String = wanted.request.chars().take(QUERY_CHARS_MAX).collect();
        let started = Instant::now();
        let (query, places, embedded) = tokio::join!(
            query::of(store, &self.0.related, &request),
            recall::places(store, wanted.team, wanted.user, wanted.repository),
            self.0.vector(&request)
        );
        let (places, (vector, told)) = (places?, embedded);
        let query = Query { vector: vector.as_deref().and_then(Quantised::of), ..query? };
        let mut candidates = Vec::new();
        let mut stale = Vec::new();
        for candidate in self.memories(store, &wanted, &places, &query, vector.as_deref()).await? {
            match changed_file(&candidate.what, &wanted) {
                // What has no place in the prompt is left as it is.
                Some(reason) if candidate.score.is_some() => {
                    stale.push(StaleMemory { memory: candidate.what.id, reason, stays: !wanted.on_default });
                }
                Some(_) => {}
                None => candidates.push(candidate.map(|memory| What::Memory(Box::new(memory)))),
            }
        }
        candidates.extend(self.tasks(store, &wanted, &query).await?);
        let chosen = weigh::choose(candidates, self.budget_bytes(wanted.window_tokens), What::id);
        let mut recalled = marked(chosen);
        recalled.stale = stale;
        recalled.embeddings = told;
        if let (Some(vector), Some(model)) = (vector.as_deref(), self.0.model()) {
            earlier_tasks::keep_vector(store, wanted.team, wanted.task, model, vector).await?;
        }
        metrics::histogram!("journeyman_recall_seconds").record(started.elapsed().as_secs_f64());
        Ok(recalled)
    }

    /// Memories of the task's places that match best, and those that come in without a match.
    async fn memories(
        &self,
        store: &Store,
        wanted: &Wanted<'_>,
        places: &[Place],
        query: &Query,
        vector: Option<&[f32]>,
    ) -> Result<Vec<Candidate<Memory>>, StoreError> {
        let searched = self.0.searched(store, wanted.team, places, query, vector).await?;
        let found = best(places, searched.hits);
        let ids: Vec<MemoryId> = found.keys().copied().collect();
        let rows = if ids.is_empty() { Vec::new() } else { recall::active(store, wanted.team, &ids).await? };
        let (now, asked) = (clock::now(), weigh::words(wanted.request));
        let vector_of = |id| searched.known.iter().find_map(|known| known.index.vector(id)).cloned();
        Ok(rows
            .into_iter()
            .map(|memory| {
                let (vector, found) = (vector_of(memory.id), found.get(&memory.id).copied().unwrap_or_default());
                weigh::memory(memory, found, vector, &asked, now)
            })
            .collect())
    }

    /// The user's own earlier tasks on the repository that ask for the like.
    async fn tasks(
        &self,
        store: &Store,
        wanted: &Wanted<'_>,
        query: &Query,
    ) -> Result<Vec<Candidate<What>>, StoreError> {
        let Some(repository) = wanted.repository else { return Ok(Vec::new()) };
        let model = self.0.model();
        let earlier = earlier_tasks::list(store, wanted.team, wanted.user, repository, model, TASKS_MAX).await?;
        let earlier: BTreeMap<TaskId, EarlierTask> =
            earlier.into_iter().filter(|task| task.id != wanted.task).map(|task| (task.id, task)).collect();
        let mut index = Index::default();
        for task in earlier.values() {
            index.put(task.id, 0, None, &task.words, task.vector.as_deref());
        }
        let mut hits: Vec<Hit<TaskId>> = index::search(&[&index], query).into_iter().flatten().collect();
        hits.retain(|hit| weigh::is_like(found_by(hit)));
        hits.sort_by(|a, b| found_by(b).fused().total_cmp(&found_by(a).fused()).then(b.id.cmp(&a.id)));
        hits.truncate(TASKS_READ_MAX);
        let mut candidates = Vec::new();
        for hit in hits {
            let Some(task) = earlier.get(&hit.id) else { continue };
            let result = task_views::result(store, wanted.team, task.id).await?;
            let Some(text) = render::task(task, result.as_ref()) else { continue };
            candidates.push(weigh::task(What::Task(task.id), text, found_by(&hit), index.vector(task.id).cloned()));
        }
        Ok(candidates)
    }
}

/// Why a memory that speaks of files does not hold on the task's base.
fn changed_file(memory: &Memory, wanted: &Wanted<'_>) -> Option<String> {
    let files = memory.evidence.as_ref().map_or(&[][..], |evidence| &evidence.files);
    if memory.scope == MemoryScope::User || wanted.repository.is_none() {
        return None;
    }
    files.iter().find_map(|MemoryFile { path, oid }| match (wanted.file)(path) {
        Some(now) if now == *oid => None,
        Some(_) => Some(format!("{path} has changed since")),
        None => Some(format!("{path} is gone")),
    })
}

/// Gives each its mark, in the order in which they were chosen.
fn marked(chosen: Vec<Candidate<What>>) -> Recalled {
    let mut recalled = Recalled::default();
    for Candidate { what, text, reason, .. } in chosen {
        match what {
            What::Memory(memory) => {
                let mark = format!("M{}", recalled.memories.len() + 1);
                recalled.memories.push(RecalledMemory { memory: memory.id, mark, text, reason, cited: None });
            }
            What::Task(task) => {
                let mark = format!("T{}", recalled.tasks.len() + 1);
                recalled.tasks.push(RecalledTask { task, mark, text, reason, cited: None });
            }
        }
    }
    recalled.text = render::text(&recalled.memories, &recalled.tasks);
    recalled
}
