//! `apply_patch` and `edit`: reads what they are about, computes, and writes all of it or nothing.

use super::{
    ToolAnswer, nearest,
    patch::{self, Change, Edits, Entry, Patch},
};
use crate::{
    analysis::symbols::Edited,
    domain::Oid,
    workspace::{Expect, FILE_LIMIT_BYTES, FileChange, ListQuery, Workspace, WorkspaceError},
};
use std::{collections::BTreeMap, fmt::Write};

/// How often a change is computed anew when its files have changed in between.
const ATTEMPTS_MAX: u32 = 3;
/// Contents up to this size are worked on where they are; more goes to a thread of its own.
const SHORT_WORK_BYTES: usize = 256 * 1024;
/// All files that one patch names, as they are before it.
const PATCHED_BYTES_MAX: u64 = 2 * FILE_LIMIT_BYTES;
const NAMES_LISTED_MAX: usize = 10_000;
const NAMES_SHOWN_MAX: usize = 3;

pub(super) async fn apply_patch(workspace: &Workspace, patch: &Patch) -> Result<ToolAnswer, WorkspaceError> {
    for _ in 0..ATTEMPTS_MAX {
        let before = match Before::read(workspace, patch::paths(patch)).await? {
            Ok(before) => before,
            Err(problem) => return refused(workspace, patch::Refusal { problems: vec![problem] }).await,
        };
        let patch = patch.clone();
        let (before, computed) = before.compute(move |files| patch::apply(files, &patch)).await?;
        let changes = match computed {
            Ok(changes) => changes,
            Err(refusal) => return refused(workspace, refusal).await,
        };
        if write(workspace, changes.iter().flat_map(|change| before.file_changes(change)).collect()).await? {
            return Ok(applied(&changes, &before));
        }
    }
    Ok(busy())
}

pub(super) async fn edit(
    workspace: &Workspace,
    path: &str,
    old: &str,
    new: &str,
    all: bool,
) -> Result<ToolAnswer, WorkspaceError> {
    for _ in 0..ATTEMPTS_MAX {
        let before = match Before::read(workspace, [path].into_iter()).await? {
            Ok(before) => before,
            Err(problem) => return refused(workspace, patch::Refusal { problems: vec![problem] }).await,
        };
        let [own_path, old, new] = [path, old, new].map(str::to_owned);
        let (before, computed) = before.compute(move |files| edited(files, &own_path, &old, &new, all)).await?;
        let change = match computed {
            Ok(change) => change,
            Err(problem) => return refused(workspace, patch::Refusal { problems: vec![problem] }).await,
        };
        if write(workspace, before.file_changes(&change)).await? {
            return Ok(applied(&[change], &before));
        }
    }
    Ok(busy())
}

/// The change that an edit makes. An empty `old` makes a file that is not there, or fills an
/// empty one.
fn edited(
    files: &BTreeMap<String, Entry>,
    path: &str,
    old: &str,
    new: &str,
    all: bool,
) -> Result<Change, patch::Problem> {
    let empty = files.get(path).is_none_or(|entry| matches!(entry, Entry::File(bytes) if bytes.is_empty()));
    if old.is_empty() && !files.contains_key(path) {
        return Ok(Change::Add { path: path.to_owned(), content: new.to_owned(), executable: false });
    }
    let content = patch::text_of(files, path)?;
    let replaced = if old.is_empty() && empty {
        patch::Replaced { content: new.to_owned(), times: 1, line: 1, note: None }
    } else {
        let problem = |why| patch::Problem { path: path.to_owned(), hunk: None, why, missing: false };
        patch::replace(content, old, new, all).map_err(problem)?
    };
    let lines = |text: &str| text.lines().count().max(1);
    let edits = Edits {
        added: if new.is_empty() { 0 } else { lines(new) * replaced.times },
        removed: if old.is_empty() { 0 } else { lines(old) * replaced.times },
        lines: vec![(replaced.line, replaced.line + lines(new) - 1)],
        notes: replaced.note.into_iter().collect(),
    };
    let (path, content) = (path.to_owned(), replaced.content);
    Ok(Change::Update { path, move_to: None, content, executable: None, edits })
}

/// The files of a change as they were when it was computed.
struct Before {
    entries: BTreeMap<String, Entry>,
    oids: BTreeMap<String, Oid>,
}

impl Before {
    /// Reads the files of a change; a problem where they are too large together.
    async fn read(
        workspace: &Workspace,
        paths: impl Iterator<Item = &str>,
    ) -> Result<Result<Self, patch::Problem>, WorkspaceError> {
        let mut before = Self { entries: BTreeMap::new(), oids: BTreeMap::new() };
        let mut left = PATCHED_BYTES_MAX;
        for path in paths {
            if before.entries.contains_key(path) {
                continue;
            }
            let entry = match workspace.read(path, FILE_LIMIT_BYTES).await {
                Ok(file) if file.truncated => Entry::Other(format!("a file of {} bytes, too large", file.size)),
                Ok(file) => {
                    let Some(rest) = left.checked_sub(file.bytes.len() as u64) else {
                        let why = format!(
                            "the files of this patch have more than {PATCHED_BYTES_MAX} bytes together: split it into \
                             patches of fewer files"
                        );
                        return Ok(Err(patch::Problem { path: path.to_owned(), hunk: None, why, missing: false }));
                    };
                    left = rest;
                    before.oids.extend(file.oid.map(|oid| (path.to_owned(), oid)));
                    Entry::File(file.bytes)
                }
                Err(WorkspaceError::NotFound { .. }) => continue,
                Err(WorkspaceError::Refused { why }) => Entry::Other(format!("something else than a file ({why})")),
                Err(error) => return Err(error),
            };
            before.entries.insert(path.to_owned(), entry);
        }
        Ok(Ok(before))
    }

    /// Computes from the files; what may take long does not hold up other tasks.
    async fn compute<T: Send + 'static>(
        self,
        compute: impl FnOnce(&BTreeMap<String, Entry>) -> T + Send + 'static,
    ) -> Result<(Self, T), WorkspaceError> {
        let size = |entry: &Entry| if let Entry::File(bytes) = entry { bytes.len() } else { 0 };
        let total_bytes: usize = self.entries.values().map(size).sum();
        let run = move || {
            let computed = compute(&self.entries);
            (self, computed)
        };
        if total_bytes <= SHORT_WORK_BYTES {
            return Ok(run());
        }
        tokio::task::spawn_blocking(run).await.map_err(|error| WorkspaceError::Io {
            what: "the change could not be computed".to_owned(),
            why: error.to_string(),
        })
    }

    /// What a change makes of its file; nothing where it takes it away.
    fn edited(&self, change: &Change) -> Option<Edited> {
        let (from, to, content) = match change {
            Change::Add { path, content, .. } => (path, path, content),
            Change::Update { path, move_to, content, .. } => (path, move_to.as_ref().unwrap_or(path), content),
            Change::Delete { .. } => return None,
        };
        let before = match self.entries.get(from) {
            Some(Entry::File(bytes)) => Some(bytes.clone()),
            Some(Entry::Other(_)) | None => None,
        };
        Some(Edited { path: to.clone(), content: content.clone().into_bytes(), before })
    }

    /// That the file is still what the change was computed from.
    fn expect(&self, path: &str) -> Expect {
        self.oids.get(path).map_or(Expect::Absent, |oid| Expect::Content(oid.clone()))
    }

    fn file_changes(&self, change: &Change) -> Vec<FileChange> {
        let expect = |path: &String| self.expect(path);
        let write = |path: &String, content: &String, executable| FileChange::Write {
            path: path.clone(),
            content: content.clone().into_bytes(),
            executable,
            expect: expect(path),
        };
        let delete = |path: &String| FileChange::Delete { path: path.clone(), expect: expect(path) };
        match change {
            Change::Add { path, content, executable } => vec![write(path, content, executable.then_some(true))],
            Change::Delete { path } => vec![delete(path)],
            Change::Update { path, move_to: None, content, executable, .. } => vec![write(path, content, *executable)],
            Change::Update { path, move_to: Some(to), content, executable: None, .. } => vec![FileChange::Rename {
                from: path.clone(),
                to: to.clone(),
                content: Some(content.clone().into_bytes()),
                expect: expect(path),
            }],
            Change::Update { path, move_to: Some(to), content, executable, .. } => {
                vec![write(to, content, *executable), delete(path)]
            }
        }
    }
}

/// Whether the changes were made; false where a file is no longer what they were computed from.
async fn write(workspace: &Workspace, changes: Vec<FileChange>) -> Result<bool, WorkspaceError> {
    match workspace.apply(changes).await {
        Ok(()) => Ok(true),
        Err(WorkspaceError::Conflict { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

fn busy() -> ToolAnswer {
    ToolAnswer::refused(
        "nothing was changed: the files change all the time under other hands; end what writes them, or try again",
    )
}

async fn refused(workspace: &Workspace, mut refusal: patch::Refusal) -> Result<ToolAnswer, WorkspaceError> {
    for problem in refusal.problems.iter_mut().filter(|problem| problem.missing) {
        problem.why.push_str(&names_like(workspace, &problem.path).await?);
    }
    Ok(ToolAnswer::refused(format!("nothing was changed.\n{refusal}")))
}

/// Names of files near to one that is not there, as the end of a sentence.
pub(super) async fn names_like(workspace: &Workspace, path: &str) -> Result<String, WorkspaceError> {
    let query = ListQuery { path: None, depth: usize::MAX, glob: Some("*".to_owned()), limit: NAMES_LISTED_MAX };
    let listing = match workspace.list(query).await {
        Ok(listing) => listing,
        Err(error @ (WorkspaceError::Gone { .. } | WorkspaceError::Setup { .. })) => return Err(error),
        Err(_) => return Ok(String::new()),
    };
    let all = listing.entries.iter().map(|entry| entry.path.as_str());
    Ok(match nearest::paths(path, all, NAMES_SHOWN_MAX).as_slice() {
        [] => "; list_files shows what there is".to_owned(),
        near => format!("; did you mean {}?", near.join(" or ")),
    })
}

/// What was done, a line for each file.
fn applied(changes: &[Change], before: &Before) -> ToolAnswer {
    let mut text = String::from("done:");
    for change in changes {
        match change {
            Change::Add { path, content, .. } => {
                let _ = write!(text, "\nA {path} ({} lines)", content.lines().count());
            }
            Change::Delete { path } => {
                let _ = write!(text, "\nD {path}");
            }
            Change::Update { path, move_to, edits, .. } => {
                match move_to {
                    Some(to) => {
                        let _ = write!(text, "\nR {path} -> {to}");
                    }
                    None => {
                        let _ = write!(text, "\nM {path}");
                    }
                }
                describe(&mut text, edits);
            }
        }
    }
    let edited = changes.iter().filter_map(|change| before.edited(change)).collect();
    ToolAnswer { changed_files: true, edited, ..ToolAnswer::said(text) }
}

fn describe(text: &mut String, edits: &Edits) {
    if edits.added + edits.removed == 0 {
        return;
    }
    let range = |(first, last): &(usize, usize)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    let lines: Vec<String> = edits.lines.iter().take(10).map(range).collect();
    let more = if edits.lines.len() > 10 { "…" } else { "" };
    let word = if matches!(edits.lines.as_slice(), [(first, last)] if first == last) { "line" } else { "lines" };
    let _ = write!(text, " (+{} -{}, now {word} {}{more})", edits.added, edits.removed, lines.join(", "));
    for note in &edits.notes {
        let _ = write!(text, "\n  note: {note}");
    }
}
