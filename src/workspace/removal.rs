//! Removes trees that others made: of any depth, with names and modes of any kind, without following a
//! link, in bounded memory.

use rustix::{
    fs::{
        AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags, chmodat, fchmod, fstat, openat, renameat_with, statat,
        unlinkat,
    },
    io::Errno,
};
use std::{
    ffi::CString,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

/// What is deeper is first moved to the top: each level costs a file descriptor and some of the stack.
const DEPTH_MAX: usize = 64;
/// Names that are read at once.
const NAMES_MAX: usize = 4096;

/// Removes `path` with everything below it; nothing to do where it is not there. What cannot be
/// entered is opened up first, where it is this user's. It blocks.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    match open(CWD, path) {
        Err(Errno::NOENT) => return Ok(()),
        // A link or a file: itself, not what it leads to.
        Err(Errno::NOTDIR | Errno::LOOP) => return std::fs::remove_file(path),
        Err(error) => return Err(error.into()),
        Ok(top) => clear(top.as_fd(), top.as_fd(), 0, &mut 0)?,
    }
    std::fs::remove_dir(path)
}

fn clear(top: BorrowedFd<'_>, directory: BorrowedFd<'_>, depth: usize, moved: &mut u64) -> io::Result<()> {
    loop {
        let names = names(directory)?;
        if names.is_empty() {
            return Ok(());
        }
        for name in names {
            let kind = FileType::from_raw_mode(statat(directory, &name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode);
            if kind != FileType::Directory {
                unlinkat(directory, &name, AtFlags::empty())?;
                continue;
            }
            let child = open(directory, &name)?;
            if depth < DEPTH_MAX {
                clear(top, child.as_fd(), depth + 1, moved)?;
                unlinkat(directory, &name, AtFlags::REMOVEDIR)?;
            } else {
                to_top(top, directory, &name, moved)?;
            }
        }
    }
}

/// Some of what is in a directory.
fn names(directory: BorrowedFd<'_>) -> io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
            if names.len() == NAMES_MAX {
                break;
            }
        }
    }
    Ok(names)
}

/// Opens a directory, with all rights on it for its owner.
fn open(directory: BorrowedFd<'_>, name: impl rustix::path::Arg + Copy) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = match openat(directory, name, flags, Mode::empty()) {
        Err(Errno::ACCESS) => {
            chmodat(directory, name, Mode::RWXU, AtFlags::empty())?;
            openat(directory, name, flags, Mode::empty())?
        }
        other => other?,
    };
    if !Mode::from_raw_mode(fstat(&opened)?.st_mode).contains(Mode::RWXU) {
        fchmod(&opened, Mode::RWXU)?;
    }
    Ok(opened)
}

/// Moves what is too deep to where it is looked at again.
fn to_top(top: BorrowedFd<'_>, directory: BorrowedFd<'_>, name: &CString, moved: &mut u64) -> io::Result<()> {
    loop {
        *moved += 1;
        match renameat_with(directory, name, top, format!("moved-{moved}"), RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) => {}
            result => return Ok(result?),
        }
    }
}
