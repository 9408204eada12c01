//! What is searched for: the request's stems, what stands for them, and its vector.

use super::vectors::Quantised;
use crate::store::{Store, StoreError, recall};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};
use tokio::sync::OnceCell;

/// Characters of a request that are searched for: what is asked for stands at its beginning.
pub(super) const QUERY_CHARS_MAX: usize = 4_000;
/// Stems of a request that are searched for, at most.
const STEMS_MAX: usize = 200;

/// Words of software work that stand for each other, a group on each line.
const RELATED: &str = include_str!("related.txt");

/// What is searched for.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Query {
    /// Each stem of the request with those that stand for it.
    pub(super) stems: BTreeMap<String, BTreeSet<String>>,
    pub(super) vector: Option<Quantised>,
}

/// Which stems stand for each other, as the database's text search stems them; asked for once.
#[derive(Debug, Default)]
pub(super) struct Related(OnceCell<Arc<HashMap<String, BTreeSet<String>>>>);

impl Related {
    async fn get(&self, store: &Store) -> Result<Arc<HashMap<String, BTreeSet<String>>>, StoreError> {
        self.0.get_or_try_init(|| read(store)).await.cloned()
    }
}

async fn read(store: &Store) -> Result<Arc<HashMap<String, BTreeSet<String>>>, StoreError> {
    let groups: Vec<&str> = RELATED.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()).collect();
    let mut related: HashMap<String, BTreeSet<String>> = HashMap::new();
    for group in recall::stems(store, &groups).await? {
        for stem in &group {
            let others = group.iter().filter(|other| *other != stem).cloned();
            related.entry(stem.clone()).or_default().extend(others);
        }
    }
    Ok(Arc::new(related))
}

/// The query of a request.
pub(super) async fn of(store: &Store, related: &Related, request: &str) -> Result<Query, StoreError> {
    let mut stems = recall::stems(store, &[request]).await?.pop().unwrap_or_default();
    stems.truncate(STEMS_MAX);
    let related = related.get(store).await?;
    let with_others = |stem: String| {
        let others = related.get(&stem).cloned().unwrap_or_default();
        (stem, others)
    };
    Ok(Query { stems: stems.into_iter().map(with_others).collect(), vector: None })
}
