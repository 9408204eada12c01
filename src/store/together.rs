//! Calls that come at the same time share a round trip: whoever comes while one is under way waits for the next, which then
//! asks for all who wait. One alone waits for nobody, and the more come the less each of them costs. What a caller is told
//! was asked for after he came.

use super::StoreError;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::{
    Semaphore,
    oneshot::{self, error::TryRecvError},
};

/// What shares a round trip, at most.
const AT_ONCE: usize = 200;
/// Who wait, at most: beyond that the database cannot keep up.
const WAITING_MAX: usize = 10_000;

type Answer<O> = oneshot::Sender<Result<O, StoreError>>;
type Waiting<I, O> = (I, Answer<O>);

#[derive(Debug)]
pub(super) struct Together<I, O> {
    waiting: Mutex<Vec<Waiting<I, O>>>,
    turn: Semaphore,
}

impl<I, O> Default for Together<I, O> {
    fn default() -> Self {
        Self { waiting: Mutex::default(), turn: Semaphore::new(1) }
    }
}

impl<I: Clone, O> Together<I, O> {
    /// What `ask`, which is given what all ask for, answers to this one; it has an answer for each, in their order. Where the
    /// database refuses all together, each asks alone; where it is away, none does. Dropped, it leaves the others to ask for
    /// themselves.
    pub(super) async fn call<F, Fut>(&self, item: I, ask: F) -> Result<O, StoreError>
    where
        F: Fn(Vec<I>) -> Fut,
        Fut: Future<Output = Result<Vec<O>, StoreError>>,
    {
        let (answer, mut answered) = oneshot::channel();
        self.wait(item.clone(), answer)?;
        loop {
            let turn = tokio::select! {
                biased;
                answer = &mut answered => return match answer {
                    Ok(answer) => answer,
                    Err(_) => alone(ask(vec![item]).await),
                },
                turn = self.turn.acquire() => turn,
            };
            let (items, answers) = self.next();
            // This one was among those before.
            if items.is_empty() {
                continue;
            }
            let is_alone = items.len() == 1;
            match ask(items).await {
                Ok(all) => answers.into_iter().zip(all).for_each(|(answer, one)| {
                    // Whoever has gone asks for nothing any more.
                    let _ = answer.send(Ok(one));
                }),
                Err(error) if is_away(&error) && !is_alone => {
                    tracing::debug!(%error, "what was asked for together has no answer");
                    for answer in answers {
                        let _ = answer.send(Err(StoreError::Unavailable(sqlx::Error::PoolTimedOut)));
                    }
                }
                Err(error) => {
                    drop(answers);
                    if is_alone && matches!(answered.try_recv(), Err(TryRecvError::Closed)) {
                        return Err(error);
                    }
                    tracing::debug!(%error, "what was asked for together is asked for one by one");
                }
            }
            // Not before: who has an answer looks for no turn.
            drop(turn);
        }
    }

    fn wait(&self, item: I, answer: Answer<O>) -> Result<(), StoreError> {
        let mut waiting = self.waiting();
        if waiting.len() >= WAITING_MAX {
            waiting.retain(|(_, answer)| !answer.is_closed());
        }
        if waiting.len() >= WAITING_MAX {
            return Err(StoreError::Unavailable(sqlx::Error::PoolTimedOut));
        }
        waiting.push((item, answer));
        Ok(())
    }

    /// Who has waited longest.
    fn next(&self) -> (Vec<I>, Vec<Answer<O>>) {
        let mut waiting = self.waiting();
        let next = AT_ONCE.min(waiting.len());
        waiting.drain(..next).filter(|(_, answer)| !answer.is_closed()).unzip()
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Waiting<I, O>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the database was not reached: one that refuses says so itself.
fn is_away(error: &StoreError) -> bool {
    matches!(error, StoreError::Unavailable(cause) if cause.as_database_error().is_none())
}

fn alone<O>(came: Result<Vec<O>, StoreError>) -> Result<O, StoreError> {
    came?.pop().ok_or(StoreError::Unavailable(sqlx::Error::WorkerCrashed))
}
