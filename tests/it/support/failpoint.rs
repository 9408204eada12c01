//! Where a test lets a replica fall: a different step boundary for each task.

use journeyman::{domain::TaskId, runner::Failpoint};
use std::{
    collections::HashMap,
    ops::ControlFlow,
    sync::{Arc, Mutex},
};

/// For each task its boundary, and whether it fell there.
pub(crate) type Fallen = Arc<Mutex<HashMap<TaskId, (u32, bool)>>>;

/// The nth task that is seen crashes at its nth boundary, once; the first never does.
pub(crate) fn each_at_its_own_boundary() -> (Failpoint, Fallen) {
    let seen = Fallen::default();
    let crashed = Arc::clone(&seen);
    let failpoint: Failpoint = Arc::new(move |task, boundary| {
        let mut seen = crashed.lock().unwrap();
        let next = seen.len() as u32;
        let (at, done) = seen.entry(task).or_insert((next, false));
        if *at == boundary && !*done {
            *done = true;
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    (failpoint, seen)
}
