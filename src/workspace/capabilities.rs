//! Which limits hold on this machine and which are weaker, in plain words for `doctor`.

use super::bubblewrap::Ceiling;

/// One line of what a sandbox promises here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capability {
    /// Such as `memory`, `network`, `user`.
    pub name: &'static str,
    /// It holds as designed; otherwise `detail` says what is weaker and the mend.
    pub holds: bool,
    pub detail: String,
}

/// All of them, in a fixed order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    pub lines: Vec<Capability>,
}

/// How a limit is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    ByCgroup,
    /// By the means of a process, or not at all.
    Weakly,
}

/// What of a machine decides how sandboxes by bubblewrap are bounded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) own_uids: bool,
    /// The kernel counts a user's processes for each user namespace (5.14 and later).
    pub(super) counts_by_namespace: bool,
    pub(super) pids: Bound,
    pub(super) memory: Bound,
    pub(super) cpu: Bound,
    /// Of the service and all its workspaces together.
    pub(super) ceiling: Ceiling,
}

/// What holds in sandboxes by bubblewrap.
pub(super) fn of_bubblewrap(bounds: Bounds) -> Capabilities {
    let Bounds { own_uids, counts_by_namespace, pids, memory, cpu, ceiling } = bounds;
    let user = if own_uids {
        (true, "each task runs under an unprivileged uid of its own")
    } else {
        (
            false,
            "tasks run under the service's own uid in a user namespace: apart from each other and from the \
                 service inside, but one user on the host; run the service as root for a uid per task",
        )
    };
    let delegation = "run the service as root, or give it a delegated cgroup (systemd: Delegate=yes)";
    // What the service's own group bounds needs no other mend.
    let together = |limit: Option<String>| match limit {
        Some(limit) => format!("all workspaces and the service together by {limit}, by the cgroup that it is in"),
        None => delegation.to_owned(),
    };
    let by_cgroup = |bound, holds: &str, weaker: &str, limit: Option<String>| {
        if bound == Bound::ByCgroup {
            (true, format!("{holds} by cgroup"))
        } else {
            (false, format!("{weaker}; {}", together(limit)))
        }
    };
    let processes = match (pids, own_uids || counts_by_namespace) {
        (Bound::Weakly, true) => {
            let counted = if own_uids { "its uid" } else { "its user namespace" };
            (true, format!("bounded for each workspace by {counted} (RLIMIT_NPROC)"))
        }
        _ => by_cgroup(
            pids,
            "bounded",
            "bounded for all tasks in one count (RLIMIT_NPROC): this kernel is older than 5.14",
            ceiling.pids.map(|pids| format!("{pids} processes")),
        ),
    };
    let owned = |(holds, detail): (bool, &str)| (holds, detail.to_owned());
    let lines = [
        ("user", owned(user)),
        ("namespaces", owned((true, "own processes, mounts, network, ipc and host name; none nested, by seccomp"))),
        ("network", owned((true, "none but the workspace's own loopback"))),
        ("pids", processes),
        (
            "memory",
            by_cgroup(
                memory,
                "bounded",
                "bounded for each process alone (RLIMIT_DATA), not for their sum",
                ceiling.memory_bytes.map(|bytes| format!("{} MiB", bytes >> 20)),
            ),
        ),
        (
            "cpu",
            by_cgroup(
                cpu,
                "bounded",
                "not bounded, commands only share the processors",
                ceiling.cpu_percent.map(|percent| format!("{percent}% of one processor")),
            ),
        ),
        (
            "disk",
            owned((
                true,
                "/tmp and home are memory of fixed size; the working copy is measured while commands run, so that \
                     a fast writer can pass its limit for a second; one file cannot (RLIMIT_FSIZE)",
            )),
        ),
        ("output", owned((true, "a command that writes too much is killed; its beginning and end are kept"))),
        ("time", owned((true, "each command's whole session is killed at its timeout"))),
    ];
    Capabilities { lines: lines.map(|(name, (holds, detail))| Capability { name, holds, detail }).to_vec() }
}
