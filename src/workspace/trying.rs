//! Whose turn it is to try an image: one at a time for each, and not again at once where that failed.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

pub(super) const FAILURE_TIME: Duration = Duration::from_secs(60);
/// Images whose failure is remembered.
const FAILURES_MAX: usize = 1_000;

#[derive(Debug, Default)]
pub(super) struct Trying(Mutex<HashMap<Option<String>, Turn>>);

/// When it failed last.
type Turn = Arc<tokio::sync::Mutex<Option<Instant>>>;

impl Trying {
    pub(super) fn turn(&self, image: Option<&str>) -> Turn {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let in_use = |turn: &Turn| Arc::strong_count(turn) > 1;
        let fresh =
            |turn: &Turn| turn.try_lock().is_ok_and(|failed| failed.is_some_and(|at| at.elapsed() < FAILURE_TIME));
        turns.retain(|_, turn| in_use(turn) || fresh(turn));
        if turns.len() >= FAILURES_MAX {
            turns.retain(|_, turn| in_use(turn));
        }
        Arc::clone(turns.entry(image.map(str::to_owned)).or_default())
    }
}
