//! Why a model call failed, and how a provider's answer is read as such.

use std::time::Duration;

/// The outcome of a call after its own retries. Messages are the provider's, shortened and
/// scrubbed of the key: they may be shown to people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// The provider understood and will not do it: key, model name, quota, an unsound request, a
    /// content filter. Trying again is of no use before somebody has mended it.
    #[error("the model's provider rejected the request: {message}")]
    Rejected { message: String },
    /// The provider could not be reached, is overloaded, or answered nothing in time.
    #[error("the model is not available: {message}")]
    Unavailable {
        message: String,
        /// What the provider asked to wait, where that is longer than was waited.
        retry_after: Option<Duration>,
    },
    /// The conversation does not fit the model's window.
    #[error("the conversation is too long for the model's context window")]
    ContextTooLong,
    /// The reply ended without its completion mark.
    #[error("the model's reply was cut off")]
    CutOff,
    /// What came is no reply: no JSON, HTML, another shape, absurd sizes.
    #[error("the model's reply makes no sense: {message}")]
    Nonsense { message: String },
}
