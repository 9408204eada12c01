//! Recall of what users and teams have taught the service: which memories and earlier tasks go into a task's
//! prompt, and why; and what came of it. And [`learning`]: what a task teaches.
//!
//! Memories are data in a prompt's memory place, never instructions of the server, and they are chosen once, before the
//! first model call. A recall waits for the database, and a moment at most for a vector: without, words are enough. Start with
//! [`recall`], then `weigh`, which is pure.

mod cache;
mod effect;
mod embed;
mod find;
mod forgetting;
mod index;
pub mod learning;
mod query;
mod recall;
mod render;
mod vectors;
mod weigh;

pub use effect::{Effect, Outcome, Rating, count_effects, effect_of};
pub use embed::{EmbedError, Embeddings, Hide, Round};
pub use find::Sought;
pub use forgetting::{Words, forget, forget_in};
pub use recall::{Recall, Recalled, Wanted};
pub use vectors::Quantised;
pub use weigh::{Candidate, Found, choose, sought};
