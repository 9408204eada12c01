//! Changes to files: all of them or none.
//!
//! Everything that can be refused is looked at first and every content is written to a temporary
//! file beside its target; then they are put in place one by one, and taken back where one of
//! them fails. (Where execd itself is killed between two of these, some are made: the call is
//! then `interrupted`, which says so.)

use crate::files::{below, blob_id, failure, io_failure, open_regular, outside};
use execd::message::{Change, Expected, FILE_LIMIT_BYTES, Failure, FailureKind};
use rustix::{
    fs::{CWD, RenameFlags, renameat_with},
    io::Errno,
};
use std::{
    collections::HashSet,
    fs, io,
    io::{Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// Names of temporary files begin so; a walk leaves them out.
pub(crate) const TEMPORARY_PREFIX: &str = ".execd-tmp-";
const CHANGES_MAX: usize = 10_000;

/// A change whose preconditions hold.
enum Step {
    /// `replaces`: something is at `target`.
    Write {
        target: PathBuf,
        temporary: PathBuf,
        replaces: bool,
    },
    Delete {
        target: PathBuf,
    },
    Move {
        from: PathBuf,
        to: PathBuf,
    },
}

/// What takes a step back.
enum Undo {
    Remove(PathBuf),
    Rename { from: PathBuf, to: PathBuf },
}

#[derive(Default)]
struct Staged {
    steps: Vec<Step>,
    /// Temporary files and backups, to be removed in the end whatever happens.
    temporary: Vec<PathBuf>,
    directories: Vec<PathBuf>,
    named: HashSet<PathBuf>,
}

/// The call `apply`.
pub(crate) fn apply(root: &Path, changes: &[Change], attached: &[u8]) -> Result<(), Failure> {
    if changes.len() > CHANGES_MAX {
        return Err(failure(FailureKind::Refused, "", "too many changes at once"));
    }
    let mut staged = Staged::default();
    let result = stage_all(root, changes, attached, &mut staged).and_then(|()| commit(root, &mut staged));
    for path in &staged.temporary {
        let _ = fs::remove_file(path);
    }
    if result.is_err() {
        for directory in staged.directories.iter().rev() {
            let _ = fs::remove_dir(directory);
        }
    }
    result
}

fn stage_all(root: &Path, changes: &[Change], mut attached: &[u8], staged: &mut Staged) -> Result<(), Failure> {
    let mut content = |path: &str, size: u64| -> Result<Vec<u8>, Failure> {
        if size > FILE_LIMIT_BYTES {
            return Err(failure(FailureKind::Refused, path, "is larger than a file may be"));
        }
        match attached.split_at_checked(size as usize) {
            Some((content, rest)) => {
                attached = rest;
                Ok(content.to_vec())
            }
            None => Err(failure(FailureKind::Refused, path, "its content is cut off")),
        }
    };
    for change in changes {
        match change {
            Change::Write { path, size, executable, expect } => {
                let content = content(path, *size)?;
                let target = staged.name(root, path)?;
                let existing = check(path, &target, expect)?;
                let target = through_link(root, path, target)?;
                let mode = mode(existing.as_ref(), *executable);
                staged.write(path, &target, &content, mode, existing.is_some())?;
            }
            Change::Delete { path, expect } => {
                let target = staged.name(root, path)?;
                if check(path, &target, expect)?.is_none() {
                    return Err(failure(FailureKind::NotFound, path, "no such file"));
                }
                staged.steps.push(Step::Delete { target });
            }
            Change::Rename { from, to, size, expect } => {
                let content = size.map(|size| content(from, size)).transpose()?;
                let source = staged.name(root, from)?;
                let Some(existing) = check(from, &source, expect)? else {
                    return Err(failure(FailureKind::NotFound, from, "no such file"));
                };
                let target = staged.name(root, to)?;
                check(to, &target, &Expected::Absent)?;
                if let Some(content) = content {
                    staged.write(to, &target, &content, mode(Some(&existing), None), false)?;
                    staged.steps.push(Step::Delete { target: source });
                } else {
                    staged.make_parents(to, &target)?;
                    staged.steps.push(Step::Move { from: source, to: target });
                }
            }
        }
    }
    if attached.is_empty() { Ok(()) } else { Err(failure(FailureKind::Refused, "", "content without a change")) }
}

impl Staged {
    /// The path with its directories' links followed, which must not leave the working copy.
    fn name(&mut self, root: &Path, path: &str) -> Result<PathBuf, Failure> {
        let lexical = below(root, path)?;
        let (Some(parent), Some(name)) = (lexical.parent(), lexical.file_name()) else { return Err(outside(path)) };
        if lexical == root {
            return Err(failure(FailureKind::Refused, path, "is the working copy itself"));
        }
        // The deepest directory that is there decides where the rest will be.
        let mut there = parent;
        let real = loop {
            match there.canonicalize() {
                Ok(real) => break real,
                Err(error) if error.kind() == io::ErrorKind::NotFound && there.symlink_metadata().is_err() => {
                    there = there.parent().ok_or_else(|| outside(path))?;
                }
                Err(error) => return Err(failure(FailureKind::Refused, path, &error.to_string())),
            }
        };
        if !real.starts_with(root) {
            return Err(failure(FailureKind::Refused, path, "leads out of the working copy through a symbolic link"));
        }
        if !real.is_dir() {
            return Err(failure(FailureKind::Refused, path, "a part of the path is a file"));
        }
        let missing = parent.strip_prefix(there).unwrap_or(Path::new(""));
        let target = real.join(missing).join(name);
        if !self.named.insert(target.clone()) {
            return Err(failure(FailureKind::Refused, path, "is named by two changes: make it one"));
        }
        Ok(target)
    }

    fn make_parents(&mut self, path: &str, target: &Path) -> Result<(), Failure> {
        let missing: Vec<&Path> = target.ancestors().skip(1).take_while(|parent| !parent.exists()).collect();
        for directory in missing.into_iter().rev() {
            fs::create_dir(directory).map_err(|error| io_failure(path, &error))?;
            self.directories.push(directory.to_owned());
        }
        Ok(())
    }

    /// A free name beside `target`.
    fn temporary(&mut self, target: &Path) -> PathBuf {
        let name = format!("{TEMPORARY_PREFIX}{}", self.temporary.len());
        let path = target.with_file_name(name);
        self.temporary.push(path.clone());
        path
    }

    fn write(&mut self, path: &str, target: &Path, content: &[u8], mode: u32, replaces: bool) -> Result<(), Failure> {
        self.make_parents(path, target)?;
        let temporary = self.temporary(target);
        write_file(&temporary, content, mode).map_err(|error| io_failure(path, &error))?;
        self.steps.push(Step::Write { target: target.to_owned(), temporary, replaces });
        Ok(())
    }
}

fn write_file(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    // One that an earlier execd left behind is nobody's.
    let _ = fs::remove_file(path);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.set_permissions(fs::Permissions::from_mode(mode))
}

/// What is at `target`, if it is what the change expects.
fn check(path: &str, target: &Path, expect: &Expected) -> Result<Option<fs::Metadata>, Failure> {
    let existing = match fs::symlink_metadata(target) {
        Ok(metadata) => Some(metadata),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(io_failure(path, &error)),
    };
    if existing.as_ref().is_some_and(fs::Metadata::is_dir) {
        return Err(failure(FailureKind::Refused, path, "is a directory"));
    }
    match expect {
        Expected::Absent if existing.is_some() => {
            return Err(failure(FailureKind::Conflict, path, "exists already"));
        }
        Expected::Anything | Expected::Absent => {}
        Expected::Content(oid) => {
            if existing.is_none() {
                return Err(failure(FailureKind::Conflict, path, "does not exist"));
            }
            let real = target.canonicalize().map_err(|error| io_failure(path, &error))?;
            let (file, _) = open_regular(&real).map_err(|error| io_failure(path, &error))?;
            let mut content = Vec::new();
            file.take(FILE_LIMIT_BYTES + 1).read_to_end(&mut content).map_err(|error| io_failure(path, &error))?;
            if blob_id(&content) != *oid {
                return Err(failure(FailureKind::Conflict, path, "has changed since it was read"));
            }
        }
    }
    Ok(existing)
}

/// Where a write to `target` goes: through a link, if that stays in the working copy.
fn through_link(root: &Path, path: &str, target: PathBuf) -> Result<PathBuf, Failure> {
    if !target.is_symlink() {
        return Ok(target);
    }
    let Ok(real) = target.canonicalize() else {
        return Err(failure(FailureKind::Refused, path, "is a symbolic link that leads nowhere: delete it first"));
    };
    if !real.starts_with(root) {
        return Err(failure(FailureKind::Refused, path, "is a symbolic link that leads out of the working copy"));
    }
    if !real.is_file() {
        return Err(failure(FailureKind::Refused, path, "is a symbolic link to something that is not a file"));
    }
    Ok(real)
}

fn mode(existing: Option<&fs::Metadata>, executable: Option<bool>) -> u32 {
    let before = existing.filter(|metadata| metadata.is_file()).map_or(0o644, |metadata| metadata.mode() & 0o777);
    match executable {
        None => before,
        Some(true) => before | 0o111,
        Some(false) => before & !0o111,
    }
}

fn commit(root: &Path, staged: &mut Staged) -> Result<(), Failure> {
    let mut undo = Vec::new();
    for step in std::mem::take(&mut staged.steps) {
        let path = crate::files::shown(root, step.target());
        if let Err(error) = make(step, staged, &mut undo) {
            for undo in undo.into_iter().rev() {
                let _ = match undo {
                    Undo::Remove(path) => fs::remove_file(path),
                    Undo::Rename { from, to } => fs::rename(from, to),
                };
            }
            return Err(match error.kind() {
                io::ErrorKind::AlreadyExists => failure(FailureKind::Conflict, &path, "exists already"),
                _ => io_failure(&path, &error),
            });
        }
    }
    Ok(())
}

fn make(step: Step, staged: &mut Staged, undo: &mut Vec<Undo>) -> io::Result<()> {
    match step {
        Step::Write { target, temporary, replaces: true } => {
            let backup = staged.temporary(&target);
            let _ = fs::remove_file(&backup);
            fs::hard_link(&target, &backup)?;
            fs::rename(&temporary, &target)?;
            undo.push(Undo::Rename { from: backup, to: target });
        }
        Step::Write { target, temporary, replaces: false } => {
            rename_to_nothing(&temporary, &target)?;
            undo.push(Undo::Remove(target));
        }
        Step::Delete { target } => {
            let backup = staged.temporary(&target);
            fs::rename(&target, &backup)?;
            undo.push(Undo::Rename { from: backup, to: target });
        }
        Step::Move { from, to } => {
            rename_to_nothing(&from, &to)?;
            undo.push(Undo::Rename { from: to, to: from });
        }
    }
    Ok(())
}

/// Renames a file or a link, unless something is there.
fn rename_to_nothing(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Some kernels (gVisor's) and file systems do not know of that. A link is not put over anything either.
        Err(Errno::INVAL | Errno::NOSYS) => {
            fs::hard_link(from, to)?;
            fs::remove_file(from)
        }
        result => Ok(result?),
    }
}

impl Step {
    fn target(&self) -> &Path {
        match self {
            Self::Write { target, .. } | Self::Delete { target } => target,
            Self::Move { to, .. } => to,
        }
    }
}
