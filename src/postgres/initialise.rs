//! Makes a cluster: beside its place first, so that what stands there is always whole.

use super::{
    PostgresError,
    account::{self, Account},
    binaries::Binaries,
};
use std::{
    fs::{self, DirBuilder, File},
    os::unix::fs::DirBuilderExt,
    path::Path,
    process::Stdio,
};

/// The cluster's superuser, who owns the service's tables.
pub(super) const SUPERUSER: &str = "journeyman";

/// The major version that made the cluster, as its own file says; absent where there is none.
pub(super) fn made_by(data: &Path) -> Option<String> {
    if !data.join("global/pg_control").is_file() {
        return None;
    }
    fs::read_to_string(data.join("PG_VERSION")).ok().map(|text| text.trim().to_owned())
}

/// Makes the cluster at `data`. What an `initdb` that was cut off left behind is taken away; what
/// else is in the way is set aside.
pub(super) async fn initialise(
    binaries: &Binaries,
    data: &Path,
    account: Option<Account>,
) -> Result<(), PostgresError> {
    let new = data.with_extension("new");
    if new.exists() {
        tracing::warn!("initdb was cut off before: doing it again");
        fs::remove_dir_all(&new).map_err(PostgresError::io("cannot take away", &new))?;
    }
    set_aside(data)?;
    DirBuilder::new().mode(0o700).create(&new).map_err(PostgresError::io("cannot make", &new))?;
    if let Some(account) = account {
        account::give(&new, account)?;
    }
    if let Err(error) = run(binaries, &new, account).await {
        // Half a cluster is of no use, and on a full disk it is in the way.
        let _ = fs::remove_dir_all(&new);
        return Err(error);
    }
    // One sync of the file system instead of initdb's own of each of a thousand files.
    let synced = File::open(&new).and_then(|dir| Ok(rustix::fs::syncfs(&dir)?));
    synced.map_err(PostgresError::io("cannot sync", &new))?;
    fs::rename(&new, data).map_err(PostgresError::io("cannot rename", &new))?;
    let parent = data.parent().unwrap_or(data);
    File::open(parent).and_then(|dir| dir.sync_all()).map_err(PostgresError::io("cannot sync", parent))
}

/// An empty directory is removed; one without a cluster in it is renamed, since it may be anything.
fn set_aside(data: &Path) -> Result<(), PostgresError> {
    if !data.exists() || fs::remove_dir(data).is_ok() {
        return Ok(());
    }
    let id: uuid::Uuid = crate::clock::new_id();
    let aside = data.with_extension(format!("broken-{id}"));
    tracing::warn!(path = %aside.display(), "what was in the cluster's place is no cluster: set aside");
    fs::rename(data, &aside).map_err(PostgresError::io("cannot set aside", data))
}

#[expect(clippy::disallowed_methods, reason = "postgres starts its own programs")]
async fn run(binaries: &Binaries, new: &Path, account: Option<Account>) -> Result<(), PostgresError> {
    let reach = account::reach(new, account)?;
    let mut command = tokio::process::Command::new(binaries.dir.join("initdb"));
    command.arg("--pgdata").arg(&reach.path);
    command.args(["--username", SUPERUSER, "--auth=trust", "--encoding=UTF8", "--no-sync", "--no-instructions"]);
    // Order by bytes, letters by Unicode: the same on every machine.
    command.args(["--locale=C", "--lc-ctype=C.UTF-8"]);
    command.env_clear().env("LC_ALL", "C").env("PATH", "/usr/bin:/bin");
    command.current_dir("/").stdin(Stdio::null()).kill_on_drop(true);
    if let Some(account) = account {
        command.uid(account.uid).gid(account.gid);
    }
    let output = command.output().await.map_err(|source| spawn_error(source, &binaries.dir, account))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("No space left on device") || said.contains("Disk quota exceeded") {
        return Err(PostgresError::DiskFull { path: new.to_owned() });
    }
    let lines: Vec<&str> =
        said.lines().map(str::trim).filter(|line| line.contains("error:") || line.contains("FATAL")).collect();
    let message = if lines.is_empty() { said.trim().to_owned() } else { lines.join("; ") };
    Err(PostgresError::Initdb { message })
}

/// What a failed start of a program says: most often that the account cannot be switched to.
pub(super) fn spawn_error(source: std::io::Error, bin_dir: &Path, account: Option<Account>) -> PostgresError {
    match (account, source.kind()) {
        (Some(account), std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::InvalidInput) => {
            PostgresError::CannotSwitch { uid: account.uid, source }
        }
        _ => PostgresError::io("cannot run the programs in", bin_dir)(source),
    }
}
