//! Sandboxes by bubblewrap: a process of this host each, execd the first in its namespaces, spoken
//! to by its stdin and stdout. Start with [`plan`].

mod ceiling;
mod cgroup;
mod launch;
mod plan;
mod programs;
mod strays;

pub(super) use ceiling::Ceiling;
pub(super) use launch::{Bubblewrap, Launched, Outer, explain};
