//! Skills that a task is told of: the operator's from a directory of this machine, the repository's from its base.
//!
//! No link is followed, in neither of them. What the operator's directory holds is read when it is asked for; only
//! the list is pinned.

use super::{analyse::files_of, drive::Driver, journal::Halt};
use crate::{
    analysis::skills::{self, Found, SKILL_FILE, SKILL_FILE_BYTES_MAX, SKILLS_MAX},
    domain::skill::SkillRef,
    tools::ToolAnswer,
    workspace::repository::Base,
};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, fstat, openat2, statat};
use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

/// Files of one skill that are told of, and how deep they are looked for.
const FILES_TOLD_MAX: usize = 100;
const DEPTH_MAX: usize = 4;
/// Entries of a directory that are looked at.
const ENTRIES_MAX: usize = 2_000;

/// The operator's directory of skills.
#[derive(Clone, Debug)]
pub struct OperatorSkills {
    root: PathBuf,
}

impl OperatorSkills {
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// All skills there are; a directory that cannot be read has none, which the log says.
    fn found(&self) -> Found {
        let mut found = Found::default();
        let names = open_root(&self.root).and_then(|root| Ok((names(&root)?, root)));
        let (names, root) = match names {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(path = %self.root.display(), error = %error, "the operator's skills cannot be read");
                return found;
            }
        };
        let folders = names.into_iter().filter(|(_, kind)| *kind == FileType::Directory);
        for (name, _) in folders.take(SKILLS_MAX) {
            match read(&root, &format!("{name}/{SKILL_FILE}")) {
                Ok(content) => found.add(&name, "", Ok(&content)),
                Err(Fault::Absent) => {}
                Err(Fault::Told(fault)) => found.add(&name, "", Err(&fault)),
            }
        }
        found
    }

    /// The answer to `read_skill`.
    fn answer(&self, name: &str, path: Option<&str>) -> ToolAnswer {
        let nothing = || {
            let names: Vec<String> = self.found().skills.into_iter().map(|skill| format!("`{}`", skill.name)).collect();
            ToolAnswer::refused(format!("there is no skill of that name; there are {}", names.join(", ")))
        };
        if !skills::is_name(name) {
            return nothing();
        }
        let Ok(root) = open_root(&self.root) else { return nothing() };
        let file = path.unwrap_or(SKILL_FILE);
        match (read(&root, &format!("{name}/{file}")), path) {
            (Ok(content), Some(_)) => answer(content),
            (Ok(mut content), None) => {
                let others = files(&root, name);
                if !others.is_empty() {
                    let list = format!("\n\n[files of this skill, to be read with `path`: {}]\n", others.join(", "));
                    content.extend_from_slice(list.as_bytes());
                }
                answer(content)
            }
            (Err(Fault::Absent), None) => nothing(),
            (Err(Fault::Absent), Some(_)) => {
                let others = files(&root, name);
                ToolAnswer::refused(format!("this skill has no such file; it has {SKILL_FILE} {}", others.join(", ")))
            }
            (Err(Fault::Told(fault)), _) => ToolAnswer::refused(format!("the file cannot be read: {fault}")),
        }
    }
}

/// Why a file of a skill was not read.
#[derive(Debug, PartialEq, Eq)]
enum Fault {
    Absent,
    Told(String),
}

impl Driver {
    /// The operator's skills and whether there are some, for which a tool is offered; then the list of all for the
    /// prompt.
    pub(super) async fn skills(&self, base: &Base) -> Result<(bool, String, Vec<SkillRef>), Halt> {
        let operator = match self.deps.skills.clone() {
            Some(skills) => blocking(move || skills.found()).await?,
            None => Found::default(),
        };
        let repository = self.repository_skills(base).await?;
        let (text, told) = skills::listing(&operator, &repository, self.facts().window_tokens);
        Ok((!operator.skills.is_empty(), text, told))
    }

    async fn repository_skills(&self, base: &Base) -> Result<Found, Halt> {
        let entries = base.entries();
        let candidates = skills::candidates(&files_of(&entries));
        let fault = |path: &str| {
            let entry = entries.binary_search_by(|entry| (*entry.path).cmp(path)).map(|at| &entries[at]);
            match entry {
                Ok(entry) if entry.mode & 0o170_000 != 0o100_000 => Some("a link, which is not followed".to_owned()),
                Ok(entry) if entry.size > SKILL_FILE_BYTES_MAX => {
                    Some(format!("larger than {} KiB", SKILL_FILE_BYTES_MAX >> 10))
                }
                _ => None,
            }
        };
        let faults: Vec<Option<String>> = candidates.iter().map(|(_, path)| fault(path)).collect();
        let wanted = candidates.iter().zip(&faults).filter(|(_, fault)| fault.is_none());
        let wanted: Vec<String> = wanted.map(|((_, path), _)| (*path).to_owned()).collect();
        let read = self.deps.repositories.read_many(base, wanted.clone()).await?;
        let contents: BTreeMap<String, _> = wanted.into_iter().zip(read).collect();
        let mut found = Found::default();
        for ((folder, path), fault) in candidates.iter().zip(&faults) {
            let content = contents.get(*path).and_then(Option::as_deref);
            let content = fault.as_deref().map_or(content.ok_or("gone"), Err);
            found.add(folder, path, content);
        }
        Ok(found)
    }

    /// Performs `read_skill`.
    pub(super) async fn read_skill(&self, name: &str, path: Option<&str>) -> ToolAnswer {
        let Some(skills) = self.deps.skills.clone() else {
            return ToolAnswer::refused("there are no skills of the operator's here");
        };
        let (name, path) = (name.to_owned(), path.map(str::to_owned));
        match blocking(move || skills.answer(&name, path.as_deref())).await {
            Ok(answer) => answer,
            Err(error) => ToolAnswer::refused(error.to_string()),
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Halt> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Halt::Disk(io::Error::other(error)))
}

fn answer(content: Vec<u8>) -> ToolAnswer {
    ToolAnswer { output: content, ..ToolAnswer::said("") }
}

/// The operator named it, so links on the way to it are his own.
fn open_root(root: &Path) -> io::Result<OwnedFd> {
    Ok(openat2(CWD, root, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::empty())?)
}

/// Opens what lies below, without following a link and without leaving.
fn open(root: &OwnedFd, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
    let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    Ok(openat2(root, path, flags, Mode::empty(), ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS)?)
}

fn read(root: &OwnedFd, path: &str) -> Result<Vec<u8>, Fault> {
    let told = |error: io::Error| match error.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
        Some(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => Fault::Absent,
        Some(rustix::io::Errno::LOOP) => Fault::Told("a link, which is not followed".to_owned()),
        Some(rustix::io::Errno::XDEV) => Fault::Told("it leads out of the skill's folder".to_owned()),
        _ => Fault::Told(error.to_string()),
    };
    if path.split('/').any(|part| part.is_empty() || part == ".." || part == ".") {
        return Err(Fault::Told("it leads out of the skill's folder".to_owned()));
    }
    let file = open(root, path, OFlags::empty()).map_err(told)?;
    let stat = fstat(&file).map_err(|error| told(error.into()))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Fault::Told("not a file".to_owned()));
    }
    let mut content = Vec::new();
    File::from(file).take(SKILL_FILE_BYTES_MAX + 1).read_to_end(&mut content).map_err(told)?;
    if content.len() as u64 > SKILL_FILE_BYTES_MAX {
        return Err(Fault::Told(format!("larger than {} KiB", SKILL_FILE_BYTES_MAX >> 10)));
    }
    Ok(content)
}

/// Entries with UTF-8 names, sorted.
fn names(directory: &OwnedFd) -> io::Result<Vec<(String, FileType)>> {
    let mut found = Vec::new();
    for entry in Dir::read_from(directory)?.take(ENTRIES_MAX) {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        if matches!(name, "." | "..") {
            continue;
        }
        // Not every file system says it in the entry.
        let kind = match entry.file_type() {
            FileType::Unknown => {
                let stat = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
                FileType::from_raw_mode(stat.st_mode)
            }
            known => known,
        };
        found.push((name.to_owned(), kind));
    }
    found.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    Ok(found)
}

/// The files of a skill's folder but its `SKILL.md`, by their paths in it.
fn files(root: &OwnedFd, name: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open_yet = vec![(String::new(), 0)];
    while let Some((below, depth)) = open_yet.pop() {
        let place = format!("{name}/{below}");
        let directory = open(root, place.trim_end_matches('/'), OFlags::DIRECTORY);
        let Ok(entries) = directory.and_then(|directory| names(&directory)) else { continue };
        for (entry, kind) in entries {
            let path = format!("{below}{entry}");
            match kind {
                FileType::Directory if depth < DEPTH_MAX => open_yet.push((format!("{path}/"), depth + 1)),
                FileType::RegularFile if path != SKILL_FILE && found.len() < FILES_TOLD_MAX => found.push(path),
                _ => {}
            }
        }
    }
    found.sort_unstable();
    found
}
