//! The owner of time and randomness.
