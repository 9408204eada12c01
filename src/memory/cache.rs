//! Indexes of the places that were recalled from last, kept in this process. Whether one still holds is asked of the database
//! at each recall (its [`Stamp`]); what has changed since is read, not the place.

use super::index::Index;
use crate::{
    domain::{MemoryId, TeamId},
    store::{
        Store, StoreError,
        recall::{self, Place, Stamp},
    },
};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::Semaphore;
use uuid::Uuid;

/// Of all indexes together.
const BYTES_MAX: usize = 128 << 20;
/// Places that are read at once: many tasks that start together wait for the first of them.
const READS_AT_ONCE: usize = 4;
/// Memories read with one statement.
const READ_MAX: usize = 1_000;

/// The index of a place and the stamp at which it was read.
#[derive(Debug, Default)]
pub(super) struct Known {
    stamp: Option<Stamp>,
    pub(super) index: Index<MemoryId>,
}

#[derive(Debug)]
pub(super) struct Cache {
    kept: Mutex<Kept>,
    reading: Semaphore,
}

#[derive(Debug, Default)]
struct Kept {
    places: HashMap<(TeamId, Uuid), (u64, Arc<Known>)>,
    /// Counts uses: who has the lowest is let go first.
    clock: u64,
}

impl Default for Cache {
    fn default() -> Self {
        Self { kept: Mutex::default(), reading: Semaphore::new(READS_AT_ONCE) }
    }
}

impl Cache {
    /// The index of a place as it is now, with the vectors that `model` made.
    pub(super) async fn get(
        &self,
        store: &Store,
        team: TeamId,
        place: &Place,
        model: Option<&str>,
    ) -> Result<Arc<Known>, StoreError> {
        let key = (team, place.id);
        let fresh =
            |known: &Option<Arc<Known>>| known.as_ref().filter(|known| known.stamp == Some(place.stamp)).cloned();
        if let Some(known) = fresh(&self.find(key)) {
            return Ok(known);
        }
        // It is closed by nobody.
        let _permit = self.reading.acquire().await;
        let before = self.find(key);
        if let Some(known) = fresh(&before) {
            return Ok(known);
        }
        let index = read(store, team, place.id, model, before.as_deref()).await?;
        let known = Arc::new(Known { stamp: Some(place.stamp), index });
        self.keep(key, Arc::clone(&known));
        Ok(known)
    }

    fn find(&self, key: (TeamId, Uuid)) -> Option<Arc<Known>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.clock += 1;
        let now = kept.clock;
        let (used, known) = kept.places.get_mut(&key)?;
        *used = now;
        Some(Arc::clone(known))
    }

    fn keep(&self, key: (TeamId, Uuid), known: Arc<Known>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.clock += 1;
        let now = kept.clock;
        kept.places.insert(key, (now, known));
        let mut bytes: usize = kept.places.values().map(|(_, known)| known.index.bytes()).sum();
        while bytes > BYTES_MAX && kept.places.len() > 1 {
            let Some(oldest) = kept.places.iter().min_by_key(|(_, (used, _))| *used).map(|(key, _)| *key) else {
                break;
            };
            bytes -= kept.places.remove(&oldest).map_or(0, |(_, known)| known.index.bytes());
        }
    }
}

/// What was known before with what has changed since.
async fn read(
    store: &Store,
    team: TeamId,
    place: Uuid,
    model: Option<&str>,
    before: Option<&Known>,
) -> Result<Index<MemoryId>, StoreError> {
    let versions = recall::versions(store, team, place).await?;
    let mut index = before.map(|known| &known.index).filter(|index| !index.is_worn()).cloned().unwrap_or_default();
    let now: HashSet<MemoryId> = versions.iter().map(|(id, _)| *id).collect();
    let gone: Vec<MemoryId> = index.ids().filter(|id| !now.contains(id)).collect();
    for id in gone {
        index.remove(id);
    }
    let changed = versions.iter().filter(|(id, version)| index.version(*id) != Some(*version));
    let changed: Vec<MemoryId> = changed.map(|(id, _)| *id).collect();
    for some in changed.chunks(READ_MAX) {
        for one in recall::searched(store, team, some, model).await? {
            index.put(one.id, one.version, Some(one.kind), &one.words, one.vector.as_deref());
        }
    }
    Ok(index)
}
