//! Learning, as pure functions: what a task holds that can be learnt from, what a model is asked, what of its answer
//! counts, and what that makes.
//!
//! Nothing here believes a model: which words are whose follows from the log, and [`judge`] alone says what may be
//! active. Start with [`sources`], then [`question`], [`answer`], [`judge`], [`place`].

pub mod answer;
pub mod judge;
pub mod likeness;
pub mod place;
pub mod question;
pub mod sources;
