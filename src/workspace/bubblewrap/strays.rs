//! Processes of sandboxes that an earlier server of this data directory left behind.
//!
//! They are rare: execd ends when its pipe does, and everything in its sandbox with it. Both
//! bubblewrap and execd carry the data directory's mark in their arguments.

use rustix::process::{Pid, Signal, kill_process};
use std::{collections::HashSet, fs};

/// Kills them; how many there were. `ours`: outer processes of open sandboxes.
pub(super) fn kill(instance: &str, ours: &HashSet<u32>) -> u32 {
    let Ok(entries) = fs::read_dir("/proc") else { return 0 };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let strays = pids.filter(|pid| is_marked(*pid, instance) && !ours.contains(pid) && !has_parent_in(*pid, ours));
    let mut killed = 0;
    for pid in strays.filter_map(|pid| Pid::from_raw(pid.cast_signed())) {
        killed += u32::from(kill_process(pid, Signal::KILL).is_ok());
    }
    killed
}

fn is_marked(pid: u32, instance: &str) -> bool {
    let Ok(arguments) = fs::read(format!("/proc/{pid}/cmdline")) else { return false };
    let mut words = arguments.split(|byte| *byte == 0);
    words.any(|word| word == b"--of") && words.next() == Some(instance.as_bytes())
}

fn has_parent_in(pid: u32, ours: &HashSet<u32>) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1));
    parent.and_then(|parent| parent.parse().ok()).is_some_and(|parent: u32| ours.contains(&parent))
}
