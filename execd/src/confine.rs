//! `execd confine`: the last step into a throwaway sandbox. It gives up what rights are left, takes
//! on its limits, and becomes the one program that is to run there.

use crate::entry;
use execd::plan::Confined;
use rustix::process::{DumpableBehavior, Resource, Rlimit, Signal, setrlimit};
use std::{os::unix::process::CommandExt, process::Command};

/// Does not return unless it fails; says why.
pub(crate) fn confine(plan: &str) -> String {
    let plan: Confined = match serde_json::from_str(plan) {
        Ok(plan) => plan,
        Err(error) => return format!("the plan cannot be read: {error}"),
    };
    match prepare(&plan) {
        Ok(()) => {
            let mut program = Command::new(&plan.program);
            format!("{}: {}", plan.program, program.args(&plan.arguments).env_clear().exec())
        }
        Err(error) => error.to_string(),
    }
}

fn prepare(plan: &Confined) -> std::io::Result<()> {
    if let Some((uid, gid)) = plan.owner {
        entry::become_user(uid, gid)?;
    }
    rustix::thread::set_no_new_privs(true)?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    // After the change of user, which takes it back.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    let limits = [
        (Resource::Core, 0),
        (Resource::Fsize, 0),
        (Resource::Data, plan.data_bytes),
        (Resource::Cpu, plan.cpu_seconds),
        (Resource::Nproc, plan.processes),
        (Resource::Nofile, plan.open_files),
    ];
    for (resource, limit) in limits {
        setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) })?;
    }
    Ok(())
}
