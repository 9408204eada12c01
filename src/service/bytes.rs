//! What a task has made, as bytes: its patch, files, whole outputs and logs.

use super::{Error, Service, Tree, TreeQuestion, access, access::Right};
use crate::{
    domain::{
        BlobHash, CallId, EventData, Oid, Principal, Private, Status, TaskId, TaskSpec, TeamId, check::CheckResult,
        event::TreeDelta,
    },
    objects::{ObjectError, Objects, StoredObject},
    store::{
        StoreError, TeamTx, blobs,
        task_views::{self, TaskRow},
    },
};
use serde::Deserialize;

/// Events of one turn that are looked through for a call.
const CALLS_OF_TURN_MAX: u32 = 200;

/// Which bytes of a task are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BytesOf {
    /// The difference between the working copies after two turns: 0 or absent is the base, absent
    /// the last.
    Patch { from_turn: Option<u32>, to_turn: Option<u32> },
    /// A file as of the last checkpoint, or as of that of a turn.
    File { path: String, turn: Option<u32> },
    /// The whole output of a call.
    Output(CallId),
    /// The whole log of a check, by its place in `result.checks`, from 0.
    CheckLog(usize),
}

/// Bytes, here or in the object store.
#[derive(Clone, Debug)]
pub enum Content {
    Bytes(Vec<u8>),
    Object(StoredObject),
}

/// The parts of a stored detail that lead to bytes.
#[derive(Default, Deserialize)]
struct DetailParts {
    commit: Option<Oid>,
    patch: Option<BlobHash>,
    result: Option<ResultParts>,
}

#[derive(Default, Deserialize)]
struct ResultParts {
    #[serde(default)]
    checks: Vec<CheckResult>,
}

impl Service {
    /// Bytes of a task.
    pub async fn bytes(&self, principal: &Principal, id: TaskId, of: BytesOf) -> Result<Content, Error> {
        access::require(principal, Right::ReadTasks)?;
        let mut tx = self.store().team(principal.team).await?;
        let row = task_views::get(&mut tx, id).await?.ok_or(Error::NotFound)?;
        let detail: DetailParts =
            serde_json::from_str(&row.detail).map_err(|_| StoreError::corrupt("tasks", "detail", id))?;
        match of {
            BytesOf::Output(call) => self.output(&mut tx, principal, id, &call).await,
            BytesOf::CheckLog(index) => self.check_log(&mut tx, principal, id, detail, index).await,
            // Where no worker wrote the end, the patch follows from the last checkpoint.
            BytesOf::Patch { from_turn: None, to_turn: None }
                if is_end(&row) && (detail.patch.is_some() || row.status != Status::Cancelled.as_str()) =>
            {
                match detail.patch {
                    Some(hash) => self.blob(&mut tx, principal.team, &hash).await,
                    None => Ok(Content::Bytes(Vec::new())),
                }
            }
            BytesOf::Patch { from_turn, to_turn } => {
                let from = match from_turn.unwrap_or(0) {
                    0 => None,
                    turn => self.delta(&mut tx, principal.team, id, Some(turn)).await?,
                };
                let to = self.delta(&mut tx, principal.team, id, to_turn).await?;
                tx.commit().await?;
                if from.is_none() && to.is_none() {
                    // Nothing has been changed yet, and perhaps nothing fetched.
                    return Ok(Content::Bytes(Vec::new()));
                }
                let to = to.unwrap_or_default();
                let from = tree(principal.team, &row, detail.commit, from)?;
                self.ask_tree(TreeQuestion::Patch { from, to }).await
            }
            BytesOf::File { path, turn } => {
                check_path(&path)?;
                let delta = self.delta(&mut tx, principal.team, id, turn).await?.unwrap_or_default();
                if delta.deleted.binary_search(&path).is_ok() {
                    return Err(Error::NotFound);
                }
                if let Some(entry) = delta.changed.iter().find(|entry| entry.path == path) {
                    return self.blob(&mut tx, principal.team, &entry.content).await.map_err(no_longer_kept);
                }
                tx.commit().await?;
                let tree = tree(principal.team, &row, detail.commit, None)?;
                self.ask_tree(TreeQuestion::BaseFile { tree, path }).await
            }
        }
    }

    async fn output(
        &self,
        tx: &mut TeamTx,
        principal: &Principal,
        id: TaskId,
        call: &CallId,
    ) -> Result<Content, Error> {
        let turn = call.as_str().split('_').nth(1).and_then(|turn| turn.parse().ok());
        let rows = task_views::events_of_turn(tx, id, "tool.completed", turn, None, CALLS_OF_TURN_MAX).await?;
        for (data, private) in rows {
            let Some(EventData::ToolCompleted { call: found, output, .. }) = event("tool.completed", &data) else {
                continue;
            };
            if found != *call {
                continue;
            }
            let (blob, head) = match private.as_deref().and_then(private_part) {
                Some(Private::Output { blob, head_bytes, .. }) => (blob, head_bytes as usize),
                _ => (None, 0),
            };
            let whole = match blob {
                Some(hash) => self.blob(tx, principal.team, &hash).await.map_err(no_longer_kept)?,
                None => Content::Bytes(output.into_bytes()),
            };
            // An output is at most about 1 MiB: it lies in the database.
            return Ok(match whole {
                Content::Bytes(mut bytes) => {
                    bytes.drain(..head.min(bytes.len()));
                    Content::Bytes(bytes)
                }
                object @ Content::Object(_) => object,
            });
        }
        Err(Error::NotFound)
    }

    async fn check_log(
        &self,
        tx: &mut TeamTx,
        principal: &Principal,
        id: TaskId,
        detail: DetailParts,
        index: usize,
    ) -> Result<Content, Error> {
        let mut checks = detail.result.unwrap_or_default().checks;
        if checks.is_empty() {
            let rows = task_views::events_of_turn(tx, id, "checks.completed", None, None, 1).await?;
            if let Some(EventData::ChecksCompleted { checks: last, .. }) =
                rows.first().and_then(|(data, _)| event("checks.completed", data))
            {
                checks = last;
            }
        }
        let check = checks.into_iter().nth(index).ok_or(Error::NotFound)?;
        match check.final_run.and_then(|run| run.log_blob) {
            Some(hash) => self.blob(tx, principal.team, &hash).await,
            None => Ok(Content::Bytes(check.log.into_bytes())),
        }
    }

    /// What had changed after a turn, or at last; `None` where nothing was written down.
    async fn delta(
        &self,
        tx: &mut TeamTx,
        team: TeamId,
        id: TaskId,
        until_turn: Option<u32>,
    ) -> Result<Option<TreeDelta>, Error> {
        let rows = task_views::events_of_turn(tx, id, "checkpoint", None, until_turn, 1).await?;
        let private = rows.first().and_then(|(_, private)| private.as_deref()).and_then(private_part);
        let Some(Private::Checkpoint { delta, .. }) = private else { return Ok(None) };
        let bytes = match self.blob(tx, team, &delta).await.map_err(no_longer_kept)? {
            Content::Bytes(bytes) => bytes,
            Content::Object(object) => object.bytes().await.map_err(unreadable)?.into(),
        };
        let delta = serde_json::from_slice(&bytes).map_err(|_| StoreError::corrupt("blobs", "content", &delta.0))?;
        Ok(Some(delta))
    }

    pub(super) async fn blob(&self, tx: &mut TeamTx, team: TeamId, hash: &BlobHash) -> Result<Content, Error> {
        let stored = blobs::read(tx, hash).await?.ok_or(Error::NotFound)?;
        Ok(match stored.content {
            Some(bytes) => Content::Bytes(bytes),
            None => Content::Object(StoredObject {
                objects: self.settings().objects.clone(),
                key: stored.object.unwrap_or_else(|| Objects::first_key(team, hash)),
                hash: hash.clone(),
                size: stored.size,
            }),
        })
    }

    async fn ask_tree(&self, question: TreeQuestion) -> Result<Content, Error> {
        let Some(ask) = &self.hooks().tree else {
            return Err(Error::NotAvailable("this process has no copies of repositories".into()));
        };
        match ask(question).await {
            Ok(Some(bytes)) => Ok(Content::Bytes(bytes)),
            Ok(None) => Err(Error::NotFound),
            Err(why) => Err(Error::NotAvailable(why)),
        }
    }
}

/// What the log names and the retention has let go.
fn no_longer_kept(error: Error) -> Error {
    match error {
        Error::NotFound => Error::Expired("this part of the task's history is no longer kept".to_owned()),
        other => other,
    }
}

/// An object that its row names.
#[expect(clippy::needless_pass_by_value, reason = "stands as a function in map_err")]
pub fn unreadable(error: ObjectError) -> Error {
    match error {
        ObjectError::Missing | ObjectError::Wrong => Error::Internal(error.to_string()),
        ObjectError::Unusable { .. } | ObjectError::Settings(_) => Error::Unavailable(error.to_string()),
    }
}

fn is_end(row: &TaskRow) -> bool {
    row.status.parse::<Status>().is_ok_and(Status::is_end)
}

fn tree(team: TeamId, row: &TaskRow, commit: Option<Oid>, delta: Option<TreeDelta>) -> Result<Tree, Error> {
    let spec: TaskSpec = serde_json::from_str(&row.spec).map_err(|_| StoreError::corrupt("tasks", "spec", row.id))?;
    if spec.repository.is_some() && commit.is_none() {
        // Nothing has been fetched yet: there is no working copy.
        return Err(Error::NotFound);
    }
    Ok(Tree { team, repository: spec.repository, commit, delta })
}

/// A path of a tree names a file below its root and nothing else.
fn check_path(path: &str) -> Result<(), Error> {
    let ok = !path.is_empty()
        && !path.contains('\0')
        && path.split('/').all(|part| !matches!(part, "" | "." | ".." | ".git"));
    if ok { Ok(()) } else { Err(Error::NotFound) }
}

fn event(kind: &str, data: &str) -> Option<EventData> {
    serde_json::from_str(&format!(r#"{{"kind":"{kind}","data":{data}}}"#)).ok()
}

fn private_part(text: &str) -> Option<Private> {
    serde_json::from_str(text).ok()
}
