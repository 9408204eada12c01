//! What workers do: they drive the tasks that they claim, and reconcilers put right what nobody
//! else does. A reconciler takes no input, may run on every replica, and does nothing where there
//! is nothing to do.

mod answers;
mod claims;
mod deliveries;
mod erasures;
mod learning;
mod memories;
mod mirrors;
mod publish;
mod reconcile;
mod retention;
mod uploads;
mod webhooks;
mod words;

pub use answers::{AnswerSettings, Answerer, VoiceOf};
pub use claims::JobLoop;
pub use deliveries::{Asked, work_off_deliveries};
pub use erasures::{EraseError, Eraser};
pub use learning::learn;
pub use memories::{count_effects, embed_memories};
pub use mirrors::keep_mirrors_fresh;
pub use publish::{ForgeOf, KnownForge, Publisher, PublisherSettings, Shut, publish};
pub use reconcile::{Reconciler, ReconcilerSettings};
pub use retention::{Retention, RetentionError, RetentionSettings, Round};
pub use uploads::sweep_uploads;
pub use webhooks::{Decision, WebhookSettings, Webhooks, decide, signature};

use crate::{
    queue::{Done, Queue},
    runner::{Driven, Runner},
    shutdown::Shutdown,
};

/// Claims tasks and drives them until the shutdown drains.
pub async fn work(queue: &Queue, runner: &Runner, shutdown: &Shutdown) {
    queue
        .work(shutdown, |claimed, lost| {
            let runner = runner.clone();
            async move {
                match Box::pin(runner.drive(claimed, lost)).await {
                    Driven::Settled => Done::Settled,
                    Driven::Left => Done::Left,
                    Driven::Stuck => Done::Again,
                }
            }
        })
        .await;
}
