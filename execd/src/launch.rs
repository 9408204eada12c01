//! The step before a sandbox: a process of the host enters the sandbox's cgroups and becomes
//! bubblewrap. It is apart from the server so that the server forks nothing of its own size.

use execd::plan::Plan;
use rustix::{
    fs::{MemfdFlags, memfd_create},
    process::{Resource, Rlimit, setrlimit},
};
use std::{
    fs::File,
    io::{Seek, Write},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::Command,
};

/// Does not return unless it fails; says why.
pub(crate) fn launch(plan: &str) -> String {
    let plan: Plan = match serde_json::from_str(plan) {
        Ok(plan) => plan,
        Err(error) => return format!("the plan cannot be read: {error}"),
    };
    match prepare(&plan) {
        Ok((mut bwrap, _kept_open)) => format!("{}: {}", plan.bwrap, bwrap.exec()),
        Err(why) => why,
    }
}

fn prepare(plan: &Plan) -> Result<(Command, Vec<OwnedFd>), String> {
    for procs in &plan.cgroup_procs {
        std::fs::write(procs, "0").map_err(|error| format!("entering {procs}: {error}"))?;
    }
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, none).map_err(|error| format!("core limit: {error}"))?;
    if let Some(nice) = plan.nice {
        rustix::process::setpriority_process(None, nice).map_err(|error| format!("priority: {error}"))?;
    }
    let mut open = Vec::new();
    let mut arguments = Vec::new();
    for (inside, content) in &plan.files {
        let fd = in_memory(content.as_bytes())?;
        arguments.extend(["--perms", "0444", "--ro-bind-data"].map(str::to_owned));
        arguments.extend([fd.as_raw_fd().to_string(), inside.clone()]);
        open.push(fd);
    }
    let filter = in_memory(&crate::seccomp::program())?;
    arguments.extend(["--seccomp".to_owned(), filter.as_raw_fd().to_string()]);
    open.push(filter);
    let mut bwrap = Command::new(&plan.bwrap);
    bwrap.env_clear().args(&plan.mounts).args(&arguments).args(&plan.then);
    Ok((bwrap, open))
}

/// A file without a name that bubblewrap inherits.
fn in_memory(content: &[u8]) -> Result<OwnedFd, String> {
    let failed = |error: std::io::Error| format!("memory file: {error}");
    let mut file = File::from(memfd_create("execd", MemfdFlags::empty()).map_err(|error| failed(error.into()))?);
    file.write_all(content).map_err(failed)?;
    file.rewind().map_err(failed)?;
    Ok(file.into())
}
