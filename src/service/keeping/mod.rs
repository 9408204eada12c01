//! What is kept of a person: taken out by himself, and let go.

mod erasures;
mod own_data;

pub use erasures::{ErasureView, GoneView};
