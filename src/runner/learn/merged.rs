//! What reviewers made of a task's work: its last tree against what was merged, file by file.

use super::{Stop, gather::Gathered, write::file};
use crate::{
    domain::{
        Oid,
        event::{DeltaEntry, TreeDelta},
        learning::{LearningOutcome, LearningTrigger},
        memory::MemoryFile,
    },
    memory::learning::{
        answer::Candidate,
        sources::{self, SOURCE_CHARS_MAX, Source},
    },
    runner::{
        deps::Deps,
        journal::{Halt, fold, patiently},
    },
    store::{StoreError, jobs::ClaimedJob, learnings::Due, merges},
    workspace::repository::{Base, Origin, RepositoryError},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Files of a patch that are compared, and bytes of each.
const FILES_MAX: usize = 50;
const FILE_BYTES_MAX: u64 = 256 << 10;
/// Files whose difference is shown.
const SHOWN_MAX: usize = 15;

/// What a reviewer wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Comment {
    text: String,
    #[serde(default)]
    author: Option<String>,
    #[serde(default)]
    path: Option<String>,
    #[serde(default)]
    line: Option<u32>,
}

/// What was merged in place of the task's work, and what was said of it.
pub(super) async fn sources(
    deps: &Deps,
    job: &ClaimedJob,
    due: &Due,
    gathered: &Gathered,
) -> Result<Vec<Source>, Stop> {
    let row = patiently(&deps.cut, || merges::get(&deps.store, job.team, due.subject)).await?;
    let Some(row) = row else { return Ok(Vec::new()) };
    let comments: Vec<Comment> =
        serde_json::from_str(&row.comments).map_err(|_| StoreError::corrupt("merges", "comments", due.subject))?;
    let mut found: Vec<Source> = comments
        .iter()
        .enumerate()
        .map(|(number, comment)| sources::of_comment(number + 1, due.subject, told(comment)))
        .collect();
    if let Some(reference) = &row.reference {
        let diffs = diffs(deps, job, due, gathered, reference).await?;
        found.extend(
            diffs.into_iter().enumerate().map(|(number, diff)| sources::of_merge(number + 1, due.subject, diff)),
        );
        if found.is_empty() {
            return Err(Stop::nothing("what was merged is the task's work as it was"));
        }
    }
    Ok(sources::bounded(found))
}

fn told(comment: &Comment) -> String {
    let place = match (&comment.path, comment.line) {
        (Some(path), Some(line)) => format!(" on {path}:{line}"),
        (Some(path), None) => format!(" on {path}"),
        _ => String::new(),
    };
    let author = comment.author.as_deref().unwrap_or("a reviewer");
    format!("{author}{place}: {}", comment.text)
}

/// The patch's files as the task left them against what was merged: a diff of each that differs.
async fn diffs(
    deps: &Deps,
    job: &ClaimedJob,
    due: &Due,
    gathered: &Gathered,
    reference: &str,
) -> Result<Vec<String>, Stop> {
    let ends = |why: &str| Stop::Ends(LearningOutcome::Nothing, why.to_owned());
    let Some(url) = gathered.repository() else { return Err(ends("the task has no repository")) };
    let Some(delta) = last_delta(deps, job, due).await? else { return Err(ends("the task changed nothing")) };
    let merged =
        deps.repositories.resolve(job.team, url, Some(reference)).await.map_err(|error| unreachable(&error))?;
    let ours = within(deps, job, delta, &merged).await?;
    if let Some(commit) = &gathered.detail.commit {
        let base = deps
            .repositories
            .reopen(job.team, Origin::Url(url), commit, None)
            .await
            .map_err(|error| unreachable(&error))?;
        if paths(&ours).all(|path| oid_at(&base, path) == oid_at(&merged, path)) {
            return Err(ends("nothing of the task's work is in what was merged"));
        }
    }
    let contents = deps.blobs.of_team(job.team);
    let patch = deps
        .repositories
        .patch(&merged, &ours, &TreeDelta::default(), contents)
        .await
        .map_err(|error| unreachable(&error))?;
    let text = String::from_utf8_lossy(&patch.text).into_owned();
    Ok(split(&text).into_iter().filter(|diff| !diff.contains("\nGIT binary patch")).take(SHOWN_MAX).collect())
}

/// A patch by its files, without what git says before each.
fn split(patch: &str) -> Vec<String> {
    let mut files: Vec<String> = Vec::new();
    for line in patch.lines() {
        if line.starts_with("diff --git ") {
            files.push(String::new());
        }
        let Some(file) = files.last_mut() else { continue };
        let said_before = ["diff --git ", "index ", "old mode ", "new mode "];
        if !said_before.iter().any(|mark| line.starts_with(mark)) && file.chars().count() < SOURCE_CHARS_MAX {
            file.push_str(line);
            file.push('\n');
        }
    }
    files.retain(|file| !file.is_empty());
    files
}

/// Of a task's difference what is compared: so many files, none of them large on either side.
async fn within(deps: &Deps, job: &ClaimedJob, delta: TreeDelta, merged: &Base) -> Result<TreeDelta, Stop> {
    let entries = merged.entries();
    let at = |path: &str| entries.binary_search_by(|entry| (*entry.path).cmp(path)).ok().map(|at| &entries[at]);
    let small = |path: &str| at(path).is_none_or(|entry| entry.size <= FILE_BYTES_MAX);
    let mut changed: Vec<DeltaEntry> = Vec::new();
    for entry in delta.changed.into_iter().filter(|entry| small(&entry.path)).take(FILES_MAX) {
        let size = deps.kept(job.team, &entry.content).await?.len() as u64;
        if size <= FILE_BYTES_MAX {
            changed.push(entry);
        }
    }
    let room = FILES_MAX - changed.len();
    let deleted = delta.deleted.into_iter().filter(|path| at(path).is_some() && small(path)).take(room).collect();
    Ok(TreeDelta { changed, deleted })
}

fn paths(delta: &TreeDelta) -> impl Iterator<Item = &str> {
    delta.changed.iter().map(|entry| entry.path.as_str()).chain(delta.deleted.iter().map(String::as_str))
}

fn oid_at(base: &Base, path: &str) -> Option<Oid> {
    let entries = base.entries();
    let at = entries.binary_search_by(|entry| (*entry.path).cmp(path)).ok()?;
    Some(entries[at].oid.to_oid())
}

/// The difference of the task's last tree from its base; absent where it changed nothing.
async fn last_delta(deps: &Deps, job: &ClaimedJob, due: &Due) -> Result<Option<TreeDelta>, Stop> {
    let (session, _) = patiently(&deps.cut, || fold(&deps.store, due.task)).await?;
    let Some(checkpoint) = session.checkpoint else { return Ok(None) };
    let content = match deps.kept(job.team, &checkpoint.delta).await {
        Ok(content) => content,
        Err(Halt::Disk(error)) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Stop::nothing("the task's files are no longer kept"));
        }
        Err(other) => return Err(other.into()),
    };
    let delta: TreeDelta =
        serde_json::from_slice(&content).map_err(|_| StoreError::corrupt("blobs", "content", &checkpoint.delta.0))?;
    Ok((delta != TreeDelta::default()).then_some(delta))
}

fn unreachable(error: &RepositoryError) -> Stop {
    match error {
        RepositoryError::NoSuchRef { .. } | RepositoryError::Source(_) => {
            Stop::Ends(LearningOutcome::Failed, error.public_message())
        }
        _ => Stop::Fails(error.public_message()),
    }
}

/// The files that candidates name, as they are in what was merged, or else in the task's last tree. What cannot be looked at
/// is left out: a memory without them holds whatever becomes of the files.
pub(super) async fn files(
    deps: &Deps,
    job: &ClaimedJob,
    due: &Due,
    gathered: &Gathered,
    candidates: &[&Candidate],
) -> Vec<MemoryFile> {
    let wanted: BTreeSet<&str> =
        candidates.iter().flat_map(|candidate| candidate.files.iter().map(String::as_str)).collect();
    if wanted.is_empty() {
        return Vec::new();
    }
    let (base, delta) = match tree(deps, job, due, gathered).await {
        Ok(Some(tree)) => tree,
        Ok(None) => return Vec::new(),
        Err(stop) => {
            tracing::warn!(learning.id = %job.id, ?stop, "files of a memory could not be looked at");
            return Vec::new();
        }
    };
    let oid = |path: &str| {
        if delta.deleted.iter().any(|deleted| deleted == path) {
            return None;
        }
        let changed = delta.changed.iter().find(|entry| entry.path == path);
        changed.map(|entry| entry.oid.clone()).or_else(|| oid_at(&base, path))
    };
    wanted.into_iter().filter_map(|path| Some(file(path, oid(path)?))).collect()
}

/// A base and what differs from it; absent where the task has no repository.
async fn tree(
    deps: &Deps,
    job: &ClaimedJob,
    due: &Due,
    gathered: &Gathered,
) -> Result<Option<(Base, TreeDelta)>, Stop> {
    let Some(url) = gathered.repository() else { return Ok(None) };
    if due.trigger == LearningTrigger::Merge {
        let row = patiently(&deps.cut, || merges::get(&deps.store, job.team, due.subject)).await?;
        if let Some(reference) = row.and_then(|row| row.reference) {
            let merged = deps
                .repositories
                .resolve(job.team, url, Some(&reference))
                .await
                .map_err(|error| unreachable(&error))?;
            return Ok(Some((merged, TreeDelta::default())));
        }
    }
    let Some(commit) = &gathered.detail.commit else { return Ok(None) };
    let base = deps
        .repositories
        .reopen(job.team, Origin::Url(url), commit, None)
        .await
        .map_err(|error| unreachable(&error))?;
    let delta = last_delta(deps, job, due).await.ok().flatten().unwrap_or_default();
    Ok(Some((base, delta)))
}
