//! The service's data directory: one process at a time, and where that process listens.

use super::PostgresError;
use rustix::fs::{FlockOperation, flock};
use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{Read, Seek, Write},
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

const LOCK: &str = "lock";
const LISTEN: &str = "listen";

/// Held as long as the service uses its data directory. The kernel lets go of it when the process
/// ends, however it ends. Processes that this one starts do not inherit it.
#[derive(Debug)]
pub struct DataDirLock {
    dir: PathBuf,
    _file: File,
}

impl DataDirLock {
    /// Makes the directory if it is missing, and takes its lock.
    ///
    /// # Errors
    /// [`PostgresError::InUse`] with the holder's process id where another process has it.
    pub fn take(dir: &Path) -> Result<Self, PostgresError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(PostgresError::io("cannot make the data directory", dir))?;
        let dir = dir.canonicalize().map_err(PostgresError::io("cannot resolve", dir))?;
        let path = dir.join(LOCK);
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let mut file = opened.map_err(PostgresError::io("cannot open", &path))?;
        if let Err(error) = lock(&file) {
            if error != rustix::io::Errno::WOULDBLOCK {
                return Err(PostgresError::io("cannot lock", &path)(error.into()));
            }
            let mut holder = String::new();
            let read = file.read_to_string(&mut holder);
            let holder = holder.trim();
            let known = read.is_ok() && !holder.is_empty();
            let holder = if known { holder.to_owned() } else { "(unknown)".to_owned() };
            return Err(PostgresError::InUse { dir, holder });
        }
        let written =
            file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
        written.map_err(PostgresError::io("cannot write", &path))?;
        // An address that a killed process left behind is nobody's.
        let _ = fs::remove_file(dir.join(LISTEN));
        Ok(Self { dir, _file: file })
    }

    /// The directory, absolute and without links.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Says to other processes of this machine where this one listens.
    pub fn write_listen(&self, address: SocketAddr) -> Result<(), PostgresError> {
        let path = self.dir.join(LISTEN);
        let new = self.dir.join("listen.new");
        let written = fs::write(&new, format!("{address}\n")).and_then(|()| fs::rename(&new, &path));
        written.map_err(PostgresError::io("cannot write", path))
    }
}

impl Drop for DataDirLock {
    fn drop(&mut self) {
        // Missing where it was never written; whoever finds it stale finds nobody listening.
        let _ = fs::remove_file(self.dir.join(LISTEN));
    }
}

/// Tries for a moment: [`read_listen`] holds the lock for as long as it takes to look, and a process that
/// is being started for as long as it takes to become another program.
fn lock(file: &File) -> rustix::io::Result<()> {
    for _ in 0..30 {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => std::thread::sleep(Duration::from_millis(10)),
            done => return done,
        }
    }
    flock(file, FlockOperation::NonBlockingLockExclusive)
}

/// Where the process that holds the data directory `dir` listens; absent where none does.
pub fn read_listen(dir: &Path) -> Option<SocketAddr> {
    let file = File::open(dir.join(LOCK)).ok()?;
    // A lock that can be shared is held by nobody.
    if flock(&file, FlockOperation::NonBlockingLockShared).is_ok() {
        return None;
    }
    fs::read_to_string(dir.join(LISTEN)).ok()?.trim().parse().ok()
}
