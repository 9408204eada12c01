//! The baseline beside the loop: once a task has changed something, its checks run on the base at low
//! priority while the model goes on, so that the first verdict need not wait for them.

use super::{
    clean::{Clean, Runs},
    journal::Halt,
};
use crate::domain::check::{Check, CheckRun};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

/// The run of one task's baseline, where there is one. Dropped, it ends.
#[derive(Default)]
pub(super) struct Beside {
    begun: bool,
    running: Option<Running>,
}

struct Running {
    checks: Vec<Check>,
    runs: JoinHandle<Option<Runs>>,
    /// Cancelled when the verdict waits: it need not stand back any longer.
    wanted: CancellationToken,
    stop: DropGuard,
}

impl Beside {
    pub(super) fn has_begun(&self) -> bool {
        self.begun
    }

    /// Starts when few others run.
    pub(super) fn start(&mut self, clean: Clean, checks: Vec<Check>) {
        self.begun = true;
        let (wanted, stop) = (CancellationToken::new(), CancellationToken::new());
        let (now, ended) = (wanted.clone(), stop.clone());
        let of = checks.clone();
        let running = async move {
            let deps = clean.deps.clone();
            let _turn = tokio::select! {
                turn = deps.baselines.turn() => turn,
                () = now.cancelled() => None,
            };
            match clean.baseline(&checks, true).await {
                Ok(runs) => Some(runs),
                Err(Halt::Cut | Halt::Fenced) => None,
                Err(error) => {
                    // The verdict runs it again and says what is wrong.
                    tracing::debug!(task.id = %clean.task, %error, "the baseline could not be run beside the task");
                    None
                }
            }
        };
        let runs = tokio::spawn(async move { ended.run_until_cancelled(running).await.flatten() });
        self.running = Some(Running { checks: of, runs, wanted, stop: stop.drop_guard() });
    }

    /// What each check gave, waited for; none where it did not run or could not. Cancel safe.
    pub(super) async fn runs(&mut self) -> Option<Vec<(Check, CheckRun)>> {
        let running = self.running.as_mut()?;
        running.wanted.cancel();
        let runs = (&mut running.runs).await;
        let checks = self.running.take().map(|running| running.checks).unwrap_or_default();
        Some(checks.into_iter().zip(runs.ok().flatten()?).collect())
    }

    /// Ends it; nothing of it runs when this returns.
    pub(super) async fn close(&mut self) {
        let Some(Running { runs, stop, .. }) = self.running.take() else { return };
        drop(stop);
        // Cut off in its midst or not: it has ended.
        let _ = runs.await;
    }
}
