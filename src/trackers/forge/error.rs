//! What can go wrong at a forge or another tracker, told apart by what the caller does about it.

use crate::net::{FetchError, NetError};

#[derive(Debug, thiserror::Error)]
pub enum ForgeError {
    /// It could not be reached, or said that it cannot now: the same call may succeed later. What was to be made may
    /// have been made.
    #[error("the host cannot be reached: {0}")]
    Unavailable(String),
    /// Its address is not one that may be reached.
    #[error("the host's address: {0}")]
    Address(#[source] NetError),
    /// The token does not let the service do this.
    #[error("the host refused the integration's token ({status}): {reason}")]
    Refused { status: u16, reason: String },
    /// It did not take what was asked.
    #[error("the host answered {status}: {reason}")]
    Rejected { status: u16, reason: String },
    /// What it answered is not what its documentation says.
    #[error("the host's answer cannot be read: {0}")]
    Unreadable(String),
}

impl ForgeError {
    /// Whether trying again soon is of no use.
    pub fn is_lasting(&self) -> bool {
        !matches!(self, Self::Unavailable(_))
    }
}

impl From<NetError> for ForgeError {
    /// A name that nothing is found for now may be one later.
    fn from(error: NetError) -> Self {
        match error {
            NetError::Unresolved { .. } => Self::Unavailable(error.to_string()),
            error => Self::Address(error),
        }
    }
}

impl From<FetchError> for ForgeError {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Address(error) => error.into(),
            FetchError::Failed(reason) => Self::Unavailable(reason),
            FetchError::TooLarge { .. } => Self::Unreadable(error.to_string()),
        }
    }
}
