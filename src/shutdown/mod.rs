//! Cancellation and drain.
