//! What learning may take, and how long what it learnt stays without being used.

use super::{ConfigError, parse, source::Source};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LearningSettings {
    /// Tasks that one replica learns from at once.
    pub at_once: u32,
    /// Tokens that learning from one task may take, all calls together.
    pub task_tokens: u64,
    /// Of one call.
    pub timeout: Duration,
    /// After how long unused a memory that was learnt grows stale; absent: never.
    pub decay: Option<Duration>,
}

pub(super) fn read(source: &Source<'_>) -> Result<LearningSettings, ConfigError> {
    let days = source.parsed("memory_decay_days", parse::number(0, 36_500))?.unwrap_or(180);
    let timeout = source.parsed("learning_timeout_seconds", parse::seconds(0.1, 3_600.0))?;
    Ok(LearningSettings {
        at_once: source.parsed("learning_at_once", parse::number(1, 1_000))?.unwrap_or(2) as u32,
        task_tokens: source.parsed("learning_task_tokens", parse::number(0, 100_000_000))?.unwrap_or(200_000),
        timeout: timeout.unwrap_or(Duration::from_secs(180)),
        decay: (days > 0).then_some(DAY * days as u32),
    })
}
