//! `execd install`: what runs before a workspace in a Pod. It copies itself to where the workspace finds it, and makes
//! the directories and files that are mounted there, as the user that the workspace will have.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
};

/// Nobody can read it, not even its owner: a process that runs it cannot be looked into from its first moment on
/// (execve(2): it is not dumpable).
const MODE: u32 = 0o111;

/// `others` that end with a slash are directories, the rest empty files.
pub(crate) fn install(to: &str, others: &[&str]) -> Result<(), String> {
    copy(to).map_err(|error| format!("{to}: {error}"))?;
    for path in others {
        let made = match path.strip_suffix('/') {
            Some(directory) => fs::create_dir(directory),
            None => File::create_new(path).map(drop),
        };
        made.map_err(|error| format!("{path}: {error}"))?;
    }
    Ok(())
}

fn copy(to: &str) -> io::Result<()> {
    let mut own = File::open("/proc/self/exe")?;
    let mut copy = OpenOptions::new().write(true).create_new(true).mode(0o700).open(to)?;
    io::copy(&mut own, &mut copy)?;
    copy.set_permissions(Permissions::from_mode(MODE))
}
