//! Cgroups, versions 1 and 2: where they can be had, and one per sandbox.
//!
//! Groups are made below the one that the service itself is in, so that its own limits go on
//! holding; nothing outside of `journeyman-…` is touched, but for version 2, where the service
//! moves itself aside if it is alone in its group (a group with processes passes no controllers
//! on).

use crate::workspace::SandboxLimits;
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

const CPU_PERIOD_US: u64 = 100_000;

/// What a controller does for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Controller {
    Pids,
    Memory,
    Cpu,
}

impl Controller {
    const ALL: [Self; 3] = [Self::Pids, Self::Memory, Self::Cpu];

    fn name(self) -> &'static str {
        match self {
            Self::Pids => "pids",
            Self::Memory => "memory",
            Self::Cpu => "cpu",
        }
    }
}

/// The groups of this service, below which sandboxes get theirs.
#[derive(Clone, Debug, Default)]
pub(super) struct Cgroups {
    /// Version 1: a directory for each controller.
    v1: Vec<(Controller, PathBuf)>,
    /// Version 2: one directory, and what it controls.
    v2: Option<(PathBuf, Vec<Controller>)>,
}

/// One sandbox's groups.
#[derive(Debug)]
pub(super) struct Group {
    directories: Vec<PathBuf>,
}

impl Cgroups {
    /// Makes the service's own groups, named `journeyman-<instance>`, where it may.
    pub(super) fn find(instance: &str) -> Self {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let name = format!("journeyman-{instance}");
        let mut found = Self::default();
        for controller in Controller::ALL {
            let directory = v1_directory(&own, &mounts, controller.name()).map(|own| own.join(&name));
            if let Some(directory) = directory.filter(|directory| make(directory).is_ok()) {
                found.v1.push((controller, directory));
            }
        }
        found.v2 = v2_directory(&own, &mounts).and_then(|own| delegate(&own, &name).ok());
        found
    }

    pub(super) fn has(&self, controller: Controller) -> bool {
        self.v1.iter().any(|(at, _)| *at == controller)
            || self.v2.as_ref().is_some_and(|(_, controllers)| controllers.contains(&controller))
    }

    /// Makes the groups of one sandbox and sets their limits.
    pub(super) fn make(&self, name: &str, limits: &SandboxLimits, low_priority: bool) -> io::Result<Group> {
        let mut group = Group { directories: Vec::new() };
        for (controller, parent) in &self.v1 {
            let directory = parent.join(name);
            // Another service of this data directory may have removed the parent as it ended.
            fs::create_dir_all(&directory)?;
            group.directories.push(directory.clone());
            let set = |file: &str, value: u64| fs::write(directory.join(file), value.to_string());
            match controller {
                Controller::Pids => set("pids.max", u64::from(limits.pids))?,
                Controller::Memory => {
                    set("memory.limit_in_bytes", limits.memory_bytes)?;
                    // Where swap is counted it is bounded too; elsewhere there is none to speak of.
                    let _ = set("memory.memsw.limit_in_bytes", limits.memory_bytes);
                    let _ = set("memory.swappiness", 0);
                }
                Controller::Cpu => {
                    set("cpu.cfs_quota_us", quota_us(limits))?;
                    set("cpu.shares", if low_priority { 64 } else { 1024 })?;
                }
            }
        }
        if let Some((parent, controllers)) = &self.v2 {
            if !parent.is_dir() {
                make(parent)?;
                enable(parent, controllers)?;
            }
            let directory = parent.join(name);
            make(&directory)?;
            group.directories.push(directory.clone());
            let set = |file: &str, value: String| fs::write(directory.join(file), value);
            for controller in controllers {
                match controller {
                    Controller::Pids => set("pids.max", limits.pids.to_string())?,
                    Controller::Memory => {
                        set("memory.max", limits.memory_bytes.to_string())?;
                        let _ = set("memory.swap.max", "0".to_owned());
                    }
                    Controller::Cpu => {
                        set("cpu.max", format!("{} {CPU_PERIOD_US}", quota_us(limits)))?;
                        set("cpu.weight", if low_priority { "10" } else { "100" }.to_owned())?;
                    }
                }
            }
        }
        Ok(group)
    }

    /// Removes the service's own groups, those that are empty.
    pub(super) fn remove(&self) {
        for directory in self.v1.iter().map(|(_, at)| at).chain(self.v2.iter().map(|(at, _)| at)) {
            let _ = fs::remove_dir(directory);
        }
    }

    /// Groups of sandboxes that are there and whose name `is_stale`.
    pub(super) fn stale(&self, is_stale: impl Fn(&str) -> bool) -> Vec<Group> {
        let parents = self.v1.iter().map(|(_, parent)| parent).chain(self.v2.iter().map(|(parent, _)| parent));
        let entries = parents.filter_map(|parent| fs::read_dir(parent).ok()).flatten().flatten();
        let directories = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        directories
            .filter(|entry| entry.file_name().to_str().is_some_and(&is_stale))
            .map(|entry| Group { directories: vec![entry.path()] })
            .collect()
    }
}

impl Group {
    /// The files by which a process enters.
    pub(super) fn procs(&self) -> Vec<String> {
        let procs = self.directories.iter().map(|directory| directory.join("cgroup.procs"));
        procs.map(|path| path.to_string_lossy().into_owned()).collect()
    }

    /// Kills who is in it; how many there were.
    pub(super) fn kill(&self) -> u32 {
        let mut killed = 0;
        for directory in &self.directories {
            let procs = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
            for pid in procs.lines().filter_map(|line| line.parse().ok()).filter_map(Pid::from_raw) {
                killed += u32::from(kill_process(pid, Signal::KILL).is_ok());
            }
        }
        killed
    }

    /// Removes it; `false`: somebody is still in it.
    pub(super) fn remove(&self) -> bool {
        let gone = |directory: &PathBuf| match fs::remove_dir(directory) {
            Ok(()) => true,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        self.directories.iter().filter(|directory| !gone(directory)).count() == 0
    }
}

/// For a sandbox whose keeper was cut off, because the runtime ended first: bounded, and nothing
/// to do where it was removed in order.
impl Drop for Group {
    fn drop(&mut self) {
        for _ in 0..50 {
            if self.remove() {
                break;
            }
            self.kill();
            std::thread::sleep(Duration::from_millis(1));
        }
        // The service's own group goes with its last sandbox where the service is gone already.
        for parent in self.directories.iter().filter_map(|directory| directory.parent()) {
            let _ = fs::remove_dir(parent);
        }
    }
}

fn quota_us(limits: &SandboxLimits) -> u64 {
    (u64::from(limits.cpu_percent) * CPU_PERIOD_US / 100).max(1_000)
}

fn make(directory: &Path) -> io::Result<()> {
    match fs::create_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result,
    }
}

/// The directory of our own group in the hierarchy of `controller`.
pub(super) fn v1_directory(own: &str, mounts: &str, controller: &str) -> Option<PathBuf> {
    let path = own.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let controllers = parts.next()?;
        controllers.split(',').any(|name| name == controller).then(|| parts.next()).flatten()
    })?;
    mounted(mounts, path, |kind, options| kind == "cgroup" && options.split(',').any(|option| option == controller))
}

pub(super) fn v2_directory(own: &str, mounts: &str) -> Option<PathBuf> {
    let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    mounted(mounts, path, |kind, _| kind == "cgroup2")
}

/// Where `path` of a hierarchy is seen: the mount that `wanted` (type, options) accepts. A group
/// that the mount does not show is taken for the mount's root.
fn mounted(mounts: &str, path: &str, wanted: impl Fn(&str, &str) -> bool) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let mut before = before.split(' ').skip(3);
        let (root, point) = (before.next()?, before.next()?);
        let mut after = after.split(' ');
        let (kind, options) = (after.next()?, after.nth(1)?);
        if !wanted(kind, options) {
            return None;
        }
        let below = Path::new(path).strip_prefix(root).unwrap_or(Path::new(""));
        let directory = Path::new(point).join(below);
        Some(if directory.is_dir() { directory } else { PathBuf::from(point) })
    })
}

/// Passes the controllers on to `own/name`; which of them came through.
fn delegate(own: &Path, name: &str) -> io::Result<(PathBuf, Vec<Controller>)> {
    let offered = fs::read_to_string(own.join("cgroup.controllers"))?;
    let offered: Vec<Controller> =
        Controller::ALL.into_iter().filter(|at| offered.split_whitespace().any(|name| name == at.name())).collect();
    if offered.is_empty() {
        return Err(io::Error::other("no controllers"));
    }
    let directory = own.join(name);
    make(&directory)?;
    if enable(own, &offered).is_err() {
        // Processes in a group keep it from passing controllers on: ours may move, others' not.
        let procs = fs::read_to_string(own.join("cgroup.procs"))?;
        let this = std::process::id().to_string();
        if procs.lines().any(|pid| pid != this) {
            return Err(io::Error::other("others are in the group"));
        }
        let aside = own.join("journeyman");
        make(&aside)?;
        fs::write(aside.join("cgroup.procs"), this)?;
        enable(own, &offered)?;
    }
    enable(&directory, &offered)?;
    Ok((directory, offered))
}

fn enable(directory: &Path, controllers: &[Controller]) -> io::Result<()> {
    let words: Vec<String> = controllers.iter().map(|at| format!("+{}", at.name())).collect();
    fs::write(directory.join("cgroup.subtree_control"), words.join(" "))
}
