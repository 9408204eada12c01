//! Tracing and metrics: where log lines go and what `/metrics` shows.
//!
//! Lines go to standard error, for people on a terminal and as JSON where asked. Metric labels
//! never hold an id of a task, a user or a team: their number has no bound.

mod log;
mod metrics;

pub use log::{LogFormat, TelemetryError, init};
pub use metrics::Metrics;
