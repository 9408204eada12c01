//! Memories that are deleted while a task runs that was shown them: what was written since then tells of them no more.

use super::{
    drive::Driver,
    journal::{Halt, patiently},
};
use crate::{
    domain::{MemoryId, task::TaskResult},
    memory,
    store::memories,
};

impl Driver {
    /// Takes the memories out of the log that were deleted while the task ran, and answers how they were told: what was written
    /// since then may still have told of them.
    pub(super) async fn forget_deleted(&mut self) -> Result<memory::Words, Halt> {
        let ids: Vec<MemoryId> = self.journal.session.recalled.iter().map(|recalled| recalled.memory).collect();
        if ids.is_empty() {
            return Ok(memory::Words::default());
        }
        let (store, team, task) = (self.deps.store.clone(), self.claimed.team, self.claimed.task);
        let there = patiently(&self.deps.cut, || memories::existing(&store, team, &ids)).await?;
        let (mut gone, recalled) = (Vec::new(), &mut self.journal.session.recalled);
        for recalled in recalled.iter_mut().filter(|one| !there.contains(&one.memory)) {
            gone.push(recalled.clone());
            recalled.forget();
        }
        if !gone.is_empty() {
            let forget = || async {
                let mut tx = store.team(team).await?;
                memory::forget_in(&mut tx, task, &gone).await?;
                tx.commit().await
            };
            patiently(&self.deps.cut, forget).await?;
        }
        Ok(memory::Words::of_recalled(&gone))
    }
}

/// A result without them.
pub(super) fn without(words: &memory::Words, result: TaskResult) -> TaskResult {
    if words.is_empty() {
        return result;
    }
    let told = serde_json::to_string(&result).map(|text| words.out_of(text));
    // What was taken out stands within texts: the rest is what it was.
    told.ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or(result)
}
