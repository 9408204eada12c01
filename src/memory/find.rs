//! Looking in places for what a query is about: by words, and by vectors of this service or of the database. Also for people who
//! search.

use super::{
    cache::Known,
    embed::Embeddings,
    index::{self, Hit, Index},
    query::{self, QUERY_CHARS_MAX, Query},
    recall::{Inner, Recall},
    vectors::Quantised,
    weigh::{self, Found},
};
use crate::{
    domain::{
        MemoryId, TeamId, UserId,
        memory::{EmbeddingUse, MemoryKind, MemoryScope},
    },
    store::{
        Store, StoreError,
        recall::{self, Place},
    },
};
use std::{collections::HashMap, sync::Arc};

/// Memories that are weighed: those that match best, and those that come in without a match.
const MATCHED_MAX: usize = 80;
const UNMATCHED_MAX: usize = 40;
/// The nearest memories that pgvector is asked for.
const NEAREST_MAX: u32 = 200;
/// Places that are searched where no repository is named.
const PLACES_MAX: u32 = 100;

/// What somebody searches for.
#[derive(Clone, Copy, Debug)]
pub struct Sought<'a> {
    pub team: TeamId,
    pub user: UserId,
    /// Memories about other repositories are left out; none: in at most 100 places, those with the newest memories.
    pub repository: Option<&'a str>,
    pub query: &'a str,
    /// Found at most, from 1 on.
    pub limit: usize,
}

/// Everything in some places, each with how well it matches.
pub(super) struct Searched {
    pub(super) known: Vec<Arc<Known>>,
    /// For each place.
    pub(super) hits: Vec<Vec<Hit<MemoryId>>>,
}

impl Recall {
    /// What matches best of what a person's tasks could recall, best first; what does not match at all is left out. The ids
    /// alone: who may see them is for the caller to ask once more.
    pub async fn find(&self, store: &Store, sought: Sought<'_>) -> Result<Vec<(MemoryId, Found)>, StoreError> {
        let text: String = sought.query.chars().take(QUERY_CHARS_MAX).collect();
        let places = async {
            match sought.repository {
                Some(_) => recall::places(store, sought.team, sought.user, sought.repository).await,
                None => recall::all_places(store, sought.team, sought.user, PLACES_MAX).await,
            }
        };
        let (query, places, (vector, _)) =
            tokio::join!(query::of(store, &self.0.related, &text), places, self.0.vector(&text));
        let query = Query { vector: vector.as_deref().and_then(Quantised::of), ..query? };
        let searched = self.0.searched(store, sought.team, &places?, &query, vector.as_deref()).await?;
        let mut hits: Vec<Hit<MemoryId>> = searched.hits.into_iter().flatten().collect();
        hits.retain(|hit| hit.words > 0.0 || found_by(hit).is_match());
        hits.sort_by(|a, b| found_by(b).fused().total_cmp(&found_by(a).fused()).then(b.id.cmp(&a.id)));
        hits.truncate(sought.limit);
        Ok(hits.iter().map(|hit| (hit.id, found_by(hit))).collect())
    }
}

impl Inner {
    pub(super) fn model(&self) -> Option<&str> {
        self.embeddings.as_ref().map(Embeddings::model)
    }

    /// The vector of a text, and what became of asking for it; nothing where nobody makes vectors.
    pub(super) async fn vector(&self, text: &str) -> (Option<Vec<f32>>, Option<EmbeddingUse>) {
        match &self.embeddings {
            Some(embeddings) => {
                let (vector, told) = embeddings.of_request(text).await;
                (vector, Some(told))
            }
            None => (None, None),
        }
    }

    pub(super) async fn searched(
        &self,
        store: &Store,
        team: TeamId,
        places: &[Place],
        query: &Query,
        vector: Option<&[f32]>,
    ) -> Result<Searched, StoreError> {
        // Vectors that the database compares are not kept here.
        let model = self.model().filter(|_| !store.has_pgvector());
        let mut known = Vec::new();
        for place in places {
            known.push(self.cache.get(store, team, place, model).await?);
        }
        let indexes: Vec<&Index<MemoryId>> = known.iter().map(|known| &known.index).collect();
        let mut hits = index::search(&indexes, query);
        let (count, mean) = match (vector, self.model()) {
            (Some(vector), Some(model)) if store.has_pgvector() => {
                let ids: Vec<uuid::Uuid> = places.iter().map(|place| place.id).collect();
                let near = recall::nearest(store, team, &ids, model, vector, NEAREST_MAX).await?;
                let cosines: HashMap<MemoryId, f32> = near.memories.into_iter().collect();
                for hit in hits.iter_mut().flatten() {
                    hit.cosine = cosines.get(&hit.id).copied();
                }
                (near.count as usize, near.mean)
            }
            _ => {
                let cosines: Vec<f32> = hits.iter().flatten().filter_map(|hit| hit.cosine).collect();
                (cosines.len(), cosines.iter().sum::<f32>() / cosines.len().max(1) as f32)
            }
        };
        let common = weigh::in_common(count, mean);
        for hit in hits.iter_mut().flatten() {
            hit.cosine = hit.cosine.map(|cosine| cosine - common);
        }
        Ok(Searched { known, hits })
    }
}

pub(super) fn found_by<I>(hit: &Hit<I>) -> Found {
    Found { words: hit.words, cosine: hit.cosine }
}

/// Of everything in the places what is worth being read.
pub(super) fn best(places: &[Place], hits: Vec<Vec<Hit<MemoryId>>>) -> HashMap<MemoryId, Found> {
    let mut all: Vec<(MemoryScope, Hit<MemoryId>)> = Vec::new();
    for (place, hits) in places.iter().zip(hits) {
        all.extend(hits.into_iter().map(|hit| (place.scope, hit)));
    }
    let mut found = HashMap::new();
    let fused = |hit: &Hit<MemoryId>| found_by(hit).fused();
    let matched = all.len().min(MATCHED_MAX);
    if matched > 0 {
        let order = |a: &(MemoryScope, Hit<MemoryId>), b: &(MemoryScope, Hit<MemoryId>)| {
            fused(&b.1).total_cmp(&fused(&a.1)).then(b.1.id.cmp(&a.1.id))
        };
        all.select_nth_unstable_by(matched - 1, order);
    }
    found.extend(all.iter().take(matched).map(|(_, hit)| (hit.id, found_by(hit))));
    // Of the rest what has a place without a match: what is agreed on before the rest, the newest first.
    let mut others: Vec<(u8, i64, Hit<MemoryId>)> = all
        .into_iter()
        .skip(matched)
        .filter_map(|(scope, hit)| {
            let agreed = matches!(hit.kind, Some(MemoryKind::Preference | MemoryKind::Convention));
            match (scope, hit.kind) {
                (MemoryScope::User, Some(MemoryKind::Preference)) => Some((0, -hit.version, hit)),
                (MemoryScope::User, _) => None,
                _ => Some((if agreed { 1 } else { 2 }, -hit.version, hit)),
            }
        })
        .collect();
    others.sort_by_key(|(rank, version, _)| (*rank, *version));
    found.extend(others.into_iter().take(UNMATCHED_MAX).map(|(_, _, hit)| (hit.id, found_by(&hit))));
    found
}
