//! The client of the public API.
//!
//! It never repeats what acts without an `Idempotency-Key`, and never gives up a stream while
//! the server can be expected back. Start with [`Api`], then [`Follow`].

mod api;
mod follow;
mod sse;

pub use api::{Api, ApiError, read_task};
pub use follow::{Follow, Piece};
pub use sse::{SseDecoder, SseEvent, TooLong};
