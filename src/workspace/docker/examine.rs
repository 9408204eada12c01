//! A look around in a workspace by an image: whether it is fit, what programs it has, and what of
//! what the engine was asked for really holds. Nothing but a shell is needed there.

use super::{container::PROCESSES_OF_SERVER, examined::Examined, settings::DockerSettings};
use crate::workspace::{Capability, RunCommand, RunOutcome, SandboxLimits, Workspace, WorkspaceError};
use bollard::models::SystemInfo;
use std::{collections::BTreeSet, time::Duration};

const PATIENCE: Duration = Duration::from_secs(60);
const PROGRAMS_MAX: usize = 20_000;
const PROGRAM_BYTES_MAX: usize = 128;
const GIVE_CGROUPS: &str = "give the engine its cgroup controllers (rootless: cgroup v2 with delegation)";

/// Says what it sees, a word and a value a line. Built-in commands of a shell alone, but for what is
/// looked at.
const SCRIPT: &str = r#"
tell() {
    [ -r "$2" ] || return 0
    while IFS= read -r line; do printf '%s %s\n' "$1" "$line"; done < "$2"
}
tell status /proc/self/status
tell net /proc/net/dev
groups=/sys/fs/cgroup
tell memory $groups/memory/memory.limit_in_bytes; tell memory $groups/memory.max
tell pids $groups/pids/pids.max; tell pids $groups/pids.max
tell cpu $groups/cpu/cpu.cfs_quota_us; tell cpu $groups/cpu,cpuacct/cpu.cfs_quota_us; tell cpu $groups/cpu.max
(: > /.journeyman-try) 2>/dev/null && echo "root writable"
IFS=:
for directory in $PATH; do
    for file in "$directory"/*; do
        [ -f "$file" ] && [ -x "$file" ] && echo "program ${file##*/}"
    done
done
unset IFS
if command -v python3 >/dev/null; then
    python3 -c '
import os, sys
print("program python3@%d.%d" % sys.version_info[:2])
for place in sys.path:
    if place.endswith("-packages") and os.path.isdir(place):
        for name in os.listdir(place):
            name = name[:-3] if name.endswith(".py") else name
            if name.isidentifier() and not name.startswith("_"): print("program", name)
' 2>/dev/null
fi
if command -v go >/dev/null; then
    set -- $(go version 2>/dev/null); echo "program go@${3#go}"
fi
true
"#;

/// What the script said.
#[derive(Debug, Default)]
pub(in crate::workspace) struct Look {
    pub(in crate::workspace) programs: BTreeSet<String>,
    status: Vec<(String, String)>,
    interfaces: Vec<String>,
    pub(in crate::workspace) memory: Option<u64>,
    pub(in crate::workspace) pids: Option<u64>,
    pub(in crate::workspace) cpu: bool,
    pub(in crate::workspace) root_writable: bool,
}

/// `mark` is what the server has written to the file of that name in the working copy.
pub(super) async fn examine(
    workspace: &Workspace,
    image: &str,
    mark: &str,
    settings: &DockerSettings,
    info: SystemInfo,
    own_users: bool,
) -> Result<Examined, WorkspaceError> {
    let shared = workspace.read("mark", 1024).await;
    if !shared.is_ok_and(|content| content.bytes == mark.as_bytes()) {
        return Err(WorkspaceError::Setup {
            what: format!("the container engine at {} does not share this machine's file system", settings.address),
            mend: "run the service where the engine is: working copies are directories of its machine".to_owned(),
        });
    }
    let seen = look(workspace, image).await?;
    if !own_users && !seen.bounds_processes() {
        return Err(WorkspaceError::Setup {
            what: "all tasks run as the service's user, and the container engine does not bound the processes of each"
                .to_owned(),
            mend: format!("{GIVE_CGROUPS}, or run the service as root, so that each task has a user of its own"),
        });
    }
    let lines = lines(&seen, image, settings, &info, own_users);
    Ok(Examined::of(seen, lines))
}

/// Has the script look around, whatever made the workspace.
pub(in crate::workspace) async fn look(workspace: &Workspace, image: &str) -> Result<Look, WorkspaceError> {
    let ran = workspace.run(RunCommand::new(SCRIPT, PATIENCE), None).await;
    let output = match ran {
        Ok(result) if result.outcome == RunOutcome::Exited(0) => result.output,
        Ok(result) => {
            return Err(WorkspaceError::Setup {
                what: format!(
                    "the shell of the image \"{image}\" fails ({:?}): {}",
                    result.outcome,
                    String::from_utf8_lossy(&result.output).trim()
                ),
                mend: "choose an image with a POSIX shell at /bin/sh".to_owned(),
            });
        }
        Err(WorkspaceError::Io { what, why }) => {
            return Err(WorkspaceError::Setup {
                what: format!("the image \"{image}\" has no shell ({what}: {why})"),
                mend: "choose an image with /bin/sh: without one neither checks nor commands can run".to_owned(),
            });
        }
        Err(error) => return Err(error),
    };
    Ok(Look::of(&String::from_utf8_lossy(&output)))
}

impl Look {
    fn of(text: &str) -> Self {
        let mut seen = Self::default();
        for line in text.lines() {
            let Some((word, value)) = line.split_once(' ') else { continue };
            match word {
                "program" if seen.programs.len() < PROGRAMS_MAX && value.len() <= PROGRAM_BYTES_MAX => {
                    seen.programs.insert(value.to_owned());
                }
                "status" => {
                    if let Some((name, value)) = value.split_once(':') {
                        seen.status.push((name.to_owned(), value.trim().to_owned()));
                    }
                }
                "net" => seen.interfaces.extend(value.split_once(':').map(|(name, _)| name.trim().to_owned())),
                "memory" => seen.memory = value.trim().parse().ok(),
                "pids" => seen.pids = value.trim().parse().ok(),
                "cpu" => seen.cpu = value.split_whitespace().next().is_some_and(|quota| quota.parse::<u64>().is_ok()),
                "root" => seen.root_writable = true,
                _ => {}
            }
        }
        seen
    }

    fn bounds_processes(&self) -> bool {
        let most = u64::from(SandboxLimits::default().pids + PROCESSES_OF_SERVER);
        self.pids.is_some_and(|pids| pids <= most)
    }

    pub(in crate::workspace) fn status(&self, name: &str) -> &str {
        self.status.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// Commands have no capability, and gain none.
    pub(in crate::workspace) fn has_no_rights(&self) -> bool {
        let is_empty = |set: &&str| u64::from_str_radix(self.status(set), 16).is_ok_and(|set| set == 0);
        ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].iter().all(is_empty) && self.status("NoNewPrivs") == "1"
    }

    pub(in crate::workspace) fn uid(&self) -> &str {
        self.status("Uid").split_whitespace().next().unwrap_or("?")
    }

    /// Filters of system calls on commands; an old kernel does not count them.
    pub(in crate::workspace) fn filters(&self) -> u32 {
        self.status("Seccomp_filters").parse().unwrap_or(1)
    }
}

fn lines(seen: &Look, image: &str, settings: &DockerSettings, info: &SystemInfo, own_users: bool) -> Vec<Capability> {
    let limits = SandboxLimits::default();
    let version = info.server_version.as_deref().unwrap_or("of an unknown version");
    let runtime = settings.runtime.as_deref().or(info.default_runtime.as_deref()).unwrap_or("its own runtime");
    let line = |name, holds, good: String, weaker: &str| Capability {
        name,
        holds,
        detail: if holds { good } else { weaker.to_owned() },
    };
    let (uid, filters) = (seen.uid(), seen.filters());
    let user = if own_users {
        format!("each task runs under an unprivileged uid of its own ({uid} here)")
    } else {
        format!("tasks run under the service's own uid ({uid})")
    };
    vec![
        line(
            "user",
            seen.has_no_rights() && uid != "0",
            format!("{user}, without a capability, and gains none"),
            "commands have capabilities or can gain some; the engine must take --cap-drop ALL and no-new-privileges",
        ),
        line(
            "namespaces",
            !seen.root_writable,
            format!(
                "a container each, by {runtime} of the engine {version} at {}, from the image {image}; its root is read-only",
                settings.address
            ),
            "the container's root can be written to; the engine must take --read-only",
        ),
        line(
            "system calls",
            seen.status("Seccomp") == "2" && filters >= 2,
            "the engine's own filter and execd's".to_owned(),
            "execd's filter alone; switch the engine's on (seccomp-profile), or see that its runtime has none because it needs none (gVisor)",
        ),
        line(
            "network",
            seen.interfaces.iter().all(|name| name == "lo"),
            "none but the workspace's own loopback".to_owned(),
            "there are interfaces besides the loopback; the engine must take --network none",
        ),
        line(
            "pids",
            seen.bounds_processes(),
            "bounded by cgroup".to_owned(),
            &format!("bounded per uid alone (RLIMIT_NPROC), as far as can be seen; {GIVE_CGROUPS}"),
        ),
        line(
            "memory",
            seen.memory.is_some_and(|bytes| bytes <= limits.memory_bytes),
            "bounded by cgroup, /tmp and home included".to_owned(),
            &format!("bounded for each process alone (RLIMIT_DATA), as far as can be seen; {GIVE_CGROUPS}"),
        ),
        line(
            "cpu",
            seen.cpu,
            "bounded by cgroup".to_owned(),
            &format!("not bounded, as far as can be seen; {GIVE_CGROUPS}"),
        ),
        line(
            "disk",
            true,
            "/tmp and home are memory of fixed size; the working copy is measured while commands run, so that a fast \
             writer can pass its limit for a second; one file cannot (RLIMIT_FSIZE)"
                .to_owned(),
            "",
        ),
        line("output", true, "a command that writes too much is killed; its beginning and end are kept".to_owned(), ""),
        line("time", true, "each command's whole session is killed at its timeout".to_owned(), ""),
    ]
}
