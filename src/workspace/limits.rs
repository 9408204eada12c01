//! What one sandbox may use, and how long it may say nothing.

use std::time::Duration;

/// How often a quiet workspace is asked for a sign of life, where nothing else is said. execd knows it, too.
pub const HEARTBEAT: Duration = Duration::from_secs(15);

/// Limits of one sandbox. How each is held, and which hold less well on this machine, is told by
/// [`super::Capabilities`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SandboxLimits {
    /// Processes and threads at once.
    pub pids: u32,
    pub memory_bytes: u64,
    /// Hundredths of a core.
    pub cpu_percent: u32,
    /// What the working copy may grow to.
    pub disk_bytes: u64,
    /// What `/tmp` and the home directory may each hold, in memory.
    pub tmp_bytes: u64,
    /// What one command may write in all before it is killed; of that,
    /// [`super::calls::OUTPUT_LIMIT_BYTES`] are kept.
    pub output_bytes: u64,
}

impl Default for SandboxLimits {
    fn default() -> Self {
        Self {
            pids: 512,
            memory_bytes: 4 << 30,
            cpu_percent: 200,
            disk_bytes: 10 << 30,
            tmp_bytes: 1 << 30,
            output_bytes: 256 << 20,
        }
    }
}
