//! Speaks to models over their three wires: OpenAI Responses (stateless), Chat Completions and
//! Anthropic Messages.
//!
//! A [`Conversation`] holds the request's bytes as they grow: every item is serialised once, when
//! it is pushed, so that a request is always a prefix of the next. A [`Client`] sends it, reads
//! the stream, retries, and tells errors apart. This room never decides what to say to a model,
//! never runs a tool, never stores anything, and never lets a provider key into an error, a log
//! or a `Debug` text. Start with [`client`], then [`conversation`].

pub mod cache;
pub mod client;
pub mod conversation;
mod decode;
mod embeddings;
mod encode;
pub mod error;
mod fields;
mod headers;
mod key;
mod model;
pub mod quirks;
mod rate;
pub mod recover;
mod retry;
pub mod sse;
mod transport;
mod usage;

pub use client::{Attribution, Call, Client, ClientSettings, Completed, Live};
pub use conversation::Conversation;
pub use embeddings::{DIMENSIONS_MAX, Embedded, Embedder, TEXT_CHARS_MAX, TEXTS_MAX};
pub use error::{ModelError, Rejection};
pub use key::ApiKey;
pub use model::{Model, ReplyLimits, Retries, Timeouts};
pub use rate::Rate;
