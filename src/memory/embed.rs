//! Vectors: of a request, where it can be had in time, and of memories, in the background.

use crate::{
    domain::{
        memory::{EmbeddingOutcome, EmbeddingUse},
        usage::TokenUsage,
    },
    llm::{Client, Embedded, Embedder, ModelError, TEXTS_MAX},
    store::{Store, StoreError, vectors},
};
use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::time::{Instant, timeout};

/// What a task's start waits for the vector of its request.
const QUERY_WAIT: Duration = Duration::from_millis(300);
/// Failures in a row after which requests are not asked for, and for how long.
const FAILURES_MAX: u32 = 3;
const REST: Duration = Duration::from_secs(30);
/// Memories given back to be embedded again in one step.
const FORGOTTEN_MAX: u32 = 500;

/// What makes vectors. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Embeddings(Arc<Inner>);

struct Inner {
    client: Client,
    embedder: Embedder,
    hide: Hide,
    failing: Mutex<Failing>,
    /// Of the model's vectors; 0 before the first came.
    dimension: AtomicU32,
    /// The dimension for which all that there was is known to be sound; -1: none.
    looked_over: AtomicI64,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embeddings").field("embedder", &self.embedder).finish_non_exhaustive()
    }
}

/// Takes secrets out of what is sent.
pub type Hide = Box<dyn Fn(&str) -> String + Send + Sync>;

#[derive(Debug, Default)]
struct Failing {
    in_row: u32,
    until: Option<Instant>,
}

/// What a round of the background work did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    pub embedded: u32,
    /// Memories whose vectors were of another model or dimension.
    pub forgotten: u64,
    /// Nothing is left to do now.
    pub done: bool,
}

impl Embeddings {
    pub fn new(client: Client, embedder: Embedder, hide: Hide) -> Self {
        let (dimension, looked_over) = (AtomicU32::new(0), AtomicI64::new(-1));
        Self(Arc::new(Inner { client, embedder, hide, failing: Mutex::default(), dimension, looked_over }))
    }

    pub fn model(&self) -> &str {
        &self.0.embedder.model
    }

    /// The vector of a request, if it comes in time; never an error.
    pub(super) async fn of_request(&self, request: &str) -> (Option<Vec<f32>>, EmbeddingUse) {
        let started = Instant::now();
        let (outcome, embedded) = self.ask_in_time(request).await;
        let word = match outcome {
            EmbeddingOutcome::Used => "used",
            EmbeddingOutcome::Late => "late",
            EmbeddingOutcome::Failed => "failed",
        };
        metrics::counter!("journeyman_recall_embeddings_total", "outcome" => word).increment(1);
        metrics::histogram!("journeyman_recall_embedding_seconds").record(started.elapsed().as_secs_f64());
        let (usage, cost_usd) = embedded.as_ref().map_or((TokenUsage::default(), 0.0), |e| (e.usage, e.cost_usd));
        let told = EmbeddingUse { model: self.model().to_owned(), outcome, usage, cost_usd: Some(cost_usd) };
        (embedded.and_then(|mut embedded| embedded.vectors.pop()), told)
    }

    async fn ask_in_time(&self, request: &str) -> (EmbeddingOutcome, Option<Embedded>) {
        if self.rests() || request.trim().is_empty() {
            return (EmbeddingOutcome::Failed, None);
        }
        match timeout(QUERY_WAIT, self.ask(&[request])).await {
            Err(_) => {
                self.note(false);
                (EmbeddingOutcome::Late, None)
            }
            Ok(Err(_)) => (EmbeddingOutcome::Failed, None),
            Ok(Ok(embedded)) => (EmbeddingOutcome::Used, Some(embedded)),
        }
    }

    async fn ask(&self, texts: &[&str]) -> Result<Embedded, ModelError> {
        let hidden: Vec<String> = texts.iter().map(|text| (self.0.hide)(text)).collect();
        let hidden: Vec<&str> = hidden.iter().map(String::as_str).collect();
        let answered = self.0.client.embed(&self.0.embedder, &hidden).await;
        self.note(answered.is_ok());
        if let Ok(embedded) = &answered {
            let dimension = embedded.vectors.first().map_or(0, Vec::len);
            self.0.dimension.store(dimension as u32, Ordering::Relaxed);
            metrics::counter!("journeyman_embedding_tokens_total").increment(embedded.usage.input_tokens);
        }
        answered
    }

    fn rests(&self) -> bool {
        let failing = self.0.failing.lock().unwrap_or_else(PoisonError::into_inner);
        failing.until.is_some_and(|until| Instant::now() < until)
    }

    fn note(&self, went_well: bool) {
        let mut failing = self.0.failing.lock().unwrap_or_else(PoisonError::into_inner);
        if went_well {
            *failing = Failing::default();
        } else {
            failing.in_row += 1;
            if failing.in_row >= FAILURES_MAX {
                failing.until = Some(Instant::now() + REST);
            }
        }
    }

    /// Gives vectors to some memories that have none; where all have one, looks once for those that another model made.
    pub async fn round(&self, store: &Store) -> Result<Round, EmbedError> {
        let due = vectors::due(store, TEXTS_MAX as u32).await?;
        if due.is_empty() {
            return self.forget(store).await;
        }
        let texts: Vec<&str> = due.iter().map(|due| due.text.as_str()).collect();
        let embedded = self.embed_each(&texts).await?;
        for (due, vector) in due.iter().zip(&embedded) {
            vectors::put(store, due, self.model(), vector.as_deref()).await?;
        }
        Ok(Round { embedded: due.len() as u32, done: false, ..Round::default() })
    }

    /// All at once; where the server refuses that, one by one, for one of them may be what it refuses. That one is found by
    /// its words alone.
    async fn embed_each(&self, texts: &[&str]) -> Result<Vec<Option<Vec<f32>>>, EmbedError> {
        match self.ask(texts).await {
            Ok(embedded) => return Ok(embedded.vectors.into_iter().map(Some).collect()),
            Err(ModelError::Rejected { .. } | ModelError::ContextTooLong) if texts.len() > 1 => {}
            Err(error) => return Err(error.into()),
        }
        let mut vectors = Vec::new();
        for text in texts {
            match self.ask(&[text]).await {
                Ok(mut embedded) => vectors.push(embedded.vectors.pop()),
                Err(ModelError::ContextTooLong) => vectors.push(None),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(vectors)
    }

    /// Once for a model and a dimension: those that were made otherwise are made again.
    async fn forget(&self, store: &Store) -> Result<Round, EmbedError> {
        let dimension = self.0.dimension.load(Ordering::Relaxed);
        if self.0.looked_over.load(Ordering::Relaxed) == i64::from(dimension) {
            return Ok(Round { done: true, ..Round::default() });
        }
        let forgotten = vectors::forget_others(store, self.model(), dimension, FORGOTTEN_MAX).await?;
        if forgotten == 0 {
            self.0.looked_over.store(dimension.into(), Ordering::Relaxed);
        }
        Ok(Round { forgotten, ..Round::default() })
    }
}

/// Why a round of the background work was not done.
#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("no vectors for memories: {0}")]
    Model(#[from] ModelError),
}
