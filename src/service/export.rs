//! A task as one file, out and in again.
//!
//! What comes in is somebody else's word: a file makes a task that rests, with no network, whose
//! repository is one that this service would fetch, or none that can be had.

use super::{
    Answer, Error, Faults, Idempotency, Service, access,
    access::Right,
    archive::{self, Archive, BLOBS_MAX, Blob, CONTENTS_BYTES_MAX, FILE_BYTES_MAX},
    audit::{self, Action, Subject},
    bytes::Content,
    create::{REQUEST_CHARS_MAX, TITLE_CHARS_MAX, check_labels, check_priority},
    fork::{apply, aside, fold, read_log},
    given::limits,
    idempotency,
};
use crate::{
    agent::{self, Session},
    clock,
    domain::{
        ApprovalId, BlobHash, EventData, Principal, Private, Status, TaskId, TaskSpec, UploadId, WaitingFor,
        approval::Decision,
        event::{Record, RecoveredAfter, TreeDelta},
        task::{ForkedFrom, NetworkPolicy, RepositorySource, Source},
        tool::ToolOutcome,
    },
    store::{
        StoreError, TeamTx, blobs, forks,
        log::{self, NewEvent, TaskChange},
        task_views::{self, TaskRow},
        tasks,
    },
};
use ::bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;

/// Forks of forks that are followed back to whose they are.
const ANCESTORS_MAX: usize = 64;

impl Service {
    /// A task with its whole log and the contents that it names, as one file.
    pub async fn export_task(&self, principal: &Principal, id: TaskId, redacted: bool) -> Result<Content, Error> {
        access::require(principal, Right::ReadTasks)?;
        let mut tx = self.store().person(principal).await?;
        let row = task_views::get(&mut tx, id).await?.ok_or(Error::NotFound)?;
        let created_by = row.created_by;
        if !is_own(&mut tx, principal, row).await? {
            access::require(principal, Right::ExportOthersTasks)?;
        }
        let mut records = read_log(&mut tx, id).await?;
        let blobs = self.contents(&mut tx, principal, &records, redacted).await?;
        let detail = json!({ "created_by": created_by, "redacted": redacted });
        audit::record(&mut tx, principal, Action::TaskExported, Subject::new("task", id), detail).await?;
        tx.commit().await?;
        let packed = aside(move || {
            if redacted {
                records = records.iter().map(archive::redact).collect::<Result<_, _>>().map_err(Error::internal)?;
            }
            archive::pack(&Archive { task: id, redacted, records, blobs }).map_err(Error::internal)
        });
        let file = packed.await??;
        if file.len() > FILE_BYTES_MAX {
            return Err(Error::Conflict {
                code: "log_too_long",
                detail: format!(
                    "the task as a file has more than {FILE_BYTES_MAX} bytes, and nobody takes that in: leave the words \
                     out with `redact=true`"
                ),
                state: None,
            });
        }
        Ok(Content::Bytes(file))
    }

    async fn contents(
        &self,
        tx: &mut TeamTx,
        principal: &Principal,
        records: &[Record],
        redacted: bool,
    ) -> Result<BTreeMap<BlobHash, Blob>, Error> {
        let mut found = BTreeMap::new();
        let mut left = CONTENTS_BYTES_MAX;
        let mut wanted: Vec<BlobHash> = records.iter().flat_map(archive::named).collect();
        let deltas: Vec<&BlobHash> = records.iter().filter_map(delta_of).collect();
        wanted.reverse();
        // A checkpoint's own content names those of its files, which go behind it.
        while let Some(hash) = wanted.pop() {
            if found.contains_key(&hash) {
                continue;
            }
            if found.len() >= BLOBS_MAX {
                break;
            }
            let blob = if redacted {
                Blob::LeftOut("redacted".to_owned())
            } else {
                match self.blob(tx, principal.team, &hash).await {
                    Ok(Content::Bytes(bytes)) if bytes.len() <= left => Blob::Content(bytes),
                    Ok(_) => Blob::LeftOut("too large".to_owned()),
                    Err(Error::NotFound) => Blob::LeftOut("no longer kept".to_owned()),
                    Err(error) => return Err(error),
                }
            };
            if let Blob::Content(bytes) = &blob {
                left -= bytes.len();
                if deltas.contains(&&hash)
                    && let Ok(delta) = serde_json::from_slice::<TreeDelta>(bytes)
                {
                    wanted.extend(delta.changed.into_iter().map(|entry| entry.content));
                }
            }
            found.insert(hash, blob);
        }
        Ok(found)
    }

    /// Makes a task of a file: it rests, and its log is the file's.
    pub async fn import_task(
        &self,
        principal: &Principal,
        file: Bytes,
        source: Source,
        key: Option<&Idempotency>,
    ) -> Result<Answer, Error> {
        access::require(principal, Right::WriteTasks)?;
        let unpacked = aside(move || archive::unpack(&file).map_err(|why| Error::invalid("", why)));
        let mut archive = unpacked.await??;
        self.disarm(&mut archive)?;
        let id: TaskId = clock::new_id();
        let last = archive.records.len() as i64;
        let folded = aside(move || (fold(id, &archive.records, last), archive));
        let (session, archive) = folded.await?;
        let mut session = session.map_err(|_| Error::invalid("", "the log is empty"))?;
        let closing = closing(&session, principal);
        apply(&mut session, &closing);
        check(&session.spec)?;
        self.can_be_capped(&session.spec.model, &session.spec.limits)?;

        let mut tx = self.store().person(principal).await?;
        if let Some(done) = idempotency::begin(&mut tx, principal, key).await? {
            return Ok(done);
        }
        for (hash, blob) in &archive.blobs {
            if let Blob::Content(bytes) = blob {
                blobs::keep(&mut tx, principal.team, id, hash, bytes).await?;
            }
        }
        session.spec.source = source;
        let new = tasks::NewTask {
            team: principal.team,
            id,
            created_by: principal.user,
            author: &principal.user_name,
            spec: &session.spec,
        };
        forks::import(&mut tx, &new, &archive.records).await?;
        let change = TaskChange {
            status: Some((session.status, session.waiting_for)),
            phase: Some(session.phase),
            detail: Some(&session.detail()),
            run: Some(session.run),
            ..TaskChange::default()
        };
        let last_seq = log::append_locked(&mut tx, principal.team, id, &closing, &change).await?;
        let detail = json!({ "from": archive.task, "events": archive.records.len() });
        audit::record(&mut tx, principal, Action::TaskImported, Subject::new("task", id), detail).await?;
        let answer = self.made(&mut tx, principal, id).await?;
        let answer = idempotency::commit(tx, principal, key, answer).await?;
        self.committed(principal.team, id, last_seq);
        Ok(answer)
    }

    /// Takes from a log what this service would not have granted.
    fn disarm(&self, archive: &mut Archive) -> Result<(), Error> {
        for record in &mut archive.records {
            // Who said what elsewhere nobody here knows.
            if let EventData::MessageUser { user, .. } = &mut record.event.data {
                *user = None;
            }
        }
        let Some(EventData::TaskCreated { spec, .. }) = archive.records.first_mut().map(|first| &mut first.event.data)
        else {
            return Err(Error::invalid("", "the log is empty"));
        };
        spec.network = NetworkPolicy::default();
        (spec.environment, spec.pinned) = (None, None);
        if let Some(RepositorySource::Git { url, reference }) = &spec.repository {
            let refused = (self.hooks().repository_url)(url).is_err()
                || reference.as_ref().is_some_and(|name| (self.hooks().repository_ref)(name).is_err());
            if refused {
                // One that nobody has: the history can be read, and no run can go on with it.
                let upload = UploadId(uuid::Uuid::nil());
                spec.repository = Some(RepositorySource::Upload { upload, reference: None });
            }
        }
        check(spec)
    }
}

/// Of a task's detail: where its log begins.
#[derive(Deserialize)]
struct Origin {
    #[serde(default)]
    forked_from: Option<ForkedFrom>,
}

/// Whether all of a task's log is the principal's own: a fork's begins as another task's, with what only that
/// one's worker reads. Of a task that is gone nobody knows whose it was.
async fn is_own(tx: &mut TeamTx, principal: &Principal, mut row: TaskRow) -> Result<bool, Error> {
    for _ in 0..ANCESTORS_MAX {
        if row.created_by != principal.user {
            return Ok(false);
        }
        let origin: Origin =
            serde_json::from_str(&row.detail).map_err(|_| StoreError::corrupt("tasks", "detail", row.id))?;
        let Some(from) = origin.forked_from else { return Ok(true) };
        match task_views::get(tx, from.task).await? {
            Some(before) => row = before,
            None => return Ok(false),
        }
    }
    Ok(false)
}

fn delta_of(record: &Record) -> Option<&BlobHash> {
    match &record.private {
        Some(Private::Checkpoint { delta, .. }) => Some(delta),
        _ => None,
    }
}

/// What an imported task asks for has the same bounds as what is asked for here.
fn check(spec: &TaskSpec) -> Result<(), Error> {
    let mut faults = Faults::default();
    faults.text("/spec/request", &spec.request, REQUEST_CHARS_MAX);
    faults.line("/spec/title", &spec.title, TITLE_CHARS_MAX);
    limits(&spec.limits.as_patch(), &mut faults);
    check_priority(spec.priority.into(), &mut faults);
    check_labels(&spec.labels, &mut faults);
    faults.finish()
}

/// A log that was exported in the midst of a run comes to rest, as after the loss of its host. What it asked
/// people elsewhere nobody here can decide: it is denied, and the task waits for a message or a resume instead.
fn closing(session: &Session, principal: &Principal) -> Vec<NewEvent> {
    let mut events: Vec<EventData> = undecided(session).map(|approval| imported(approval, principal)).collect();
    if session.status.is_rest() && events.is_empty() {
        return Vec::new();
    }
    if session.status == Status::Running {
        let (after, cut) = (RecoveredAfter::HostLoss, session.in_doubt());
        events.push(EventData::Recovered { after, interrupted: cut.iter().map(|call| call.call.clone()).collect() });
        events.extend(cut.into_iter().map(|call| EventData::ToolCompleted {
            call: call.call,
            tool: call.tool,
            outcome: ToolOutcome::Interrupted,
            output: agent::prompt::crash_text(after),
            exit_code: None,
            duration_ms: 0,
        }));
    }
    // The last event of a run that has ended is its status.
    let (status, waiting_for, error) = if session.status.is_end() {
        (session.status, None, session.error.clone())
    } else {
        (Status::Waiting, Some(WaitingFor::Paused), None)
    };
    events.push(EventData::TaskStatus { status, waiting_for, error });
    let (run, turn) = (session.run, session.turn);
    events.into_iter().map(|data| NewEvent { run, turn, data, private: None }).collect()
}

/// What was put to people and nobody has decided.
fn undecided(session: &Session) -> impl Iterator<Item = ApprovalId> {
    let plan = session.plan_approval.iter().filter(|approval| approval.decision.is_none()).map(|approval| approval.id);
    let tests = session.used.weakening.last.iter().filter(|asked| asked.decided.is_none()).map(|asked| asked.id);
    plan.chain(tests).chain(session.asked.iter().filter(|asked| asked.decided.is_none()).map(|asked| asked.id))
}

fn imported(approval: ApprovalId, principal: &Principal) -> EventData {
    EventData::ApprovalResolved {
        approval,
        decision: Decision::Deny,
        author: principal.user_name.clone(),
        plan: Vec::new(),
        note: Some("imported".to_owned()),
        answers: Vec::new(),
        remember: None,
    }
}
