//! Watching over whoever holds a connection open: it ends once his credential no longer holds.

use super::{ApiState, caller::Caller};
use crate::auth::Ending;
use std::time::Duration;
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::Instant,
};

/// Between two looks whether a credential still holds of which nothing was heard: keys and tokens expire.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// The credential of one open connection.
pub(super) struct Vigil {
    caller: Caller,
    endings: Receiver<Ending>,
    look: Instant,
}

impl Vigil {
    pub(super) fn new(state: &ApiState, caller: &Caller) -> Self {
        Self { caller: caller.clone(), endings: state.authenticator.endings(), look: Instant::now() + LOOK_EVERY }
    }

    /// Returns once the credential no longer holds. May be dropped and called again: nothing that was heard is lost.
    pub(super) async fn broken(&mut self, state: &ApiState) {
        loop {
            if Instant::now() >= self.look {
                if !self.caller.still_holds(state).await {
                    return;
                }
                self.look = Instant::now() + LOOK_EVERY;
            }
            tokio::select! {
                () = tokio::time::sleep_until(self.look) => {}
                heard = self.endings.recv() => match heard {
                    Ok(ending) if !ending.concerns(&self.caller) => {}
                    Ok(_) | Err(RecvError::Lagged(_)) => self.look = Instant::now(),
                    // The authenticator outlives the state that holds it.
                    Err(RecvError::Closed) => return,
                }
            }
        }
    }
}
