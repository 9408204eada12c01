//! Where `initdb` and `postgres` are.

use super::{OLDEST_MAJOR, PostgresError};
use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

/// A directory that holds both programs, of one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Binaries {
    pub(super) dir: PathBuf,
    pub(super) major: u32,
}

/// Directories under which distributions keep one directory for each version.
const VERSIONED: [(&str, &str); 4] = [
    ("/usr/lib/postgresql", ""),
    ("/usr/lib64/postgresql", ""),
    ("/usr", "pgsql-"),
    ("/opt/homebrew/opt", "postgresql@"),
];

/// The binaries to use: those of `wanted` if there are any (the version that made the cluster),
/// else the newest. With `setting` no other directory is looked at.
pub(super) async fn find(
    setting: Option<&Path>,
    search_path: &[PathBuf],
    wanted: Option<u32>,
) -> Result<Binaries, PostgresError> {
    if let Some(dir) = setting {
        let major = version(dir).await;
        let major = major.ok_or_else(|| PostgresError::NoBinariesIn { dir: dir.to_owned() })?;
        return Ok(Binaries { dir: dir.to_owned(), major });
    }
    let mut found = Vec::new();
    for dir in candidates(search_path) {
        if let Some(major) = version(&dir).await {
            found.push(Binaries { dir, major });
        }
    }
    let (good, old): (Vec<_>, Vec<_>) = found.into_iter().partition(|binaries| binaries.major >= OLDEST_MAJOR);
    let exact = good.iter().find(|binaries| Some(binaries.major) == wanted);
    // `max_by_key` takes the last of equals: the order is the search path's, from the back.
    let newest = good.iter().rev().max_by_key(|binaries| binaries.major);
    exact.or(newest).cloned().ok_or_else(|| PostgresError::NoBinaries {
        too_old: old.into_iter().map(|binaries| (binaries.dir, binaries.major)).collect(),
    })
}

/// Directories with both programs, links resolved, each once.
fn candidates(search_path: &[PathBuf]) -> Vec<PathBuf> {
    let mut dirs: Vec<PathBuf> = search_path.to_vec();
    for (parent, prefix) in VERSIONED {
        let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
        let named = entries.filter(|entry| entry.file_name().to_str().is_some_and(|name| name.starts_with(prefix)));
        dirs.extend(named.map(|entry| entry.path().join("bin")));
    }
    dirs.push(PathBuf::from("/usr/local/pgsql/bin"));
    let mut real: Vec<PathBuf> = Vec::new();
    for dir in dirs {
        // Links such as /usr/local/bin/postgres lead to where both programs are.
        let Ok(program) = dir.join("postgres").canonicalize() else { continue };
        let Some(dir) = program.parent() else { continue };
        if dir.join("initdb").is_file() && !real.iter().any(|known| known == dir) {
            real.push(dir.to_owned());
        }
    }
    real
}

/// The major version of the programs in `dir`; absent where they do not run.
#[expect(clippy::disallowed_methods, reason = "postgres starts its own programs")]
async fn version(dir: &Path) -> Option<u32> {
    if !dir.join("initdb").is_file() {
        return None;
    }
    let mut command = tokio::process::Command::new(dir.join("postgres"));
    let output = command.arg("--version").stdin(Stdio::null()).kill_on_drop(true).output().await.ok()?;
    // "postgres (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)", "… 16beta1"
    let text = String::from_utf8(output.stdout).ok()?;
    let number = text.split("(PostgreSQL)").nth(1)?.trim_start();
    let digits = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
    number[..digits].parse().ok()
}
