//! What bounds the service as a whole, and all its workspaces with it: the cgroup that it is in itself, as the engine of
//! a container or the machine's service manager made it. Read alone; nothing is set here.

use super::cgroup::{v1_directory, v2_directory};
use std::{fs, path::Path};

/// Limits from here on are none: what version 1 says where nothing is set.
const NONE: u64 = 1 << 60;

/// Limits of the service's own group; absent where it has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::workspace) struct Ceiling {
    pub(in crate::workspace) memory_bytes: Option<u64>,
    pub(in crate::workspace) pids: Option<u64>,
    /// Of one processor.
    pub(in crate::workspace) cpu_percent: Option<u64>,
}

impl Ceiling {
    pub(super) fn find() -> Self {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let v1 = |controller: &str, file: &str| number(&v1_directory(&own, &mounts, controller)?.join(file));
        let v2 = v2_directory(&own, &mounts);
        let v2 = |file: &str| number(&v2.as_ref()?.join(file));
        let quota_v1 = || Some((v1("cpu", "cpu.cfs_quota_us")?, v1("cpu", "cpu.cfs_period_us")?));
        let quota_v2 = || {
            let text = fs::read_to_string(v2_directory(&own, &mounts)?.join("cpu.max")).ok()?;
            let (quota, period) = text.trim().split_once(' ')?;
            Some((quota.parse().ok()?, period.parse().ok()?))
        };
        Self {
            memory_bytes: v2("memory.max").or_else(|| v1("memory", "memory.limit_in_bytes")),
            pids: v2("pids.max").or_else(|| v1("pids", "pids.max")),
            cpu_percent: quota_v2()
                .or_else(quota_v1)
                .and_then(|(quota, period): (u64, u64)| (quota * 100).checked_div(period)),
        }
    }
}

/// `max`, -1 and what is not there are none.
fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok().filter(|number| *number < NONE)
}
