//! Which limits hold on this machine and which are weaker, in plain words for `doctor`.

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

/// What holds in sandboxes by bubblewrap.
pub(super) fn of_bubblewrap(own_uids: bool, pids: Bound, memory: Bound, cpu: Bound) -> Capabilities {
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
    let by_cgroup = |bound, holds: &str, weaker: &str| {
        if bound == Bound::ByCgroup {
            (true, format!("{holds} by cgroup"))
        } else {
            (false, format!("{weaker}; {delegation}"))
        }
    };
    let owned = |(holds, detail): (bool, &str)| (holds, detail.to_owned());
    let lines = [
        ("user", owned(user)),
        ("namespaces", owned((true, "own processes, mounts, network, ipc and host name; none nested, by seccomp"))),
        ("network", owned((true, "none but the workspace's own loopback"))),
        (
            "pids",
            by_cgroup(
                pids,
                "bounded",
                "bounded per user namespace or uid (RLIMIT_NPROC); on kernels before 5.14 all tasks share one count",
            ),
        ),
        ("memory", by_cgroup(memory, "bounded", "bounded for each process alone (RLIMIT_DATA), not for their sum")),
        ("cpu", by_cgroup(cpu, "bounded", "not bounded, commands only share the processors")),
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
