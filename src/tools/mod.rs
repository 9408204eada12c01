//! The tools that a model sees.
