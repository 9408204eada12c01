//! Forking a task: a new one whose log begins as another's and goes its own way from there.
//!
//! A log is cut only where a conversation can go on: every call is answered, no model is being
//! asked, and the working copy of that point is in the log or follows from it.

use super::{
    Answer, Content, Error, Faults, Idempotency, Service, access,
    access::Right,
    create::{REQUEST_CHARS_MAX, check_model_on, note_network},
    idempotency, unreadable,
    views::TaskJson,
};
use crate::{
    agent::Session,
    clock,
    domain::{
        Event, EventData, Principal, Private, Seq, Status, TaskId,
        event::{Record, TreeDelta},
        task::{Control, ForkedFrom, NetworkMode, OnBusy, Source},
    },
    store::{
        StoreError, TeamTx, blobs, forks, jobs,
        log::{self, NewEvent, TaskChange},
        task_views, tasks,
    },
};
use serde::Deserialize;
use utoipa::ToSchema;

/// Rows read at a time.
const PAGE: u32 = 1_000;
/// Events of a log that can be forked.
pub(super) const LOG_EVENTS_MAX: usize = 100_000;
/// Bytes of them as they are stored.
pub(super) const LOG_BYTES_MAX: u64 = 96 << 20;

/// Where to fork a task, and how it goes on.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ForkInput {
    /// The last event that the fork shall have; absent: the last that there is.
    #[schema(minimum = 1)]
    pub from_seq: Option<Seq>,
    /// What is to be done there. Absent: it goes on as it was; what had succeeded begins its last run again.
    #[schema(max_length = 200_000)]
    pub request: Option<String>,
    /// A name from `GET /v1/models`; absent: the task's own.
    pub model: Option<String>,
}

/// A place at which a log can be cut.
struct Cut {
    seq: Seq,
    /// The look at the working copy that the log has only later.
    checkpoint: Option<(EventData, Option<Private>)>,
}

impl Service {
    /// Forks a task: the new one is committed and in the queue when this returns.
    pub async fn fork_task(
        &self,
        principal: &Principal,
        id: TaskId,
        input: ForkInput,
        source: Source,
        key: Option<&Idempotency>,
    ) -> Result<Answer, Error> {
        access::require(principal, Right::WriteTasks)?;
        let mut faults = Faults::default();
        if let Some(request) = &input.request {
            faults.text("/request", request, REQUEST_CHARS_MAX);
        }
        let model = input.model.map(|name| self.model(Some(name), &mut faults));
        faults.finish()?;
        let mut tx = self.store().person(principal).await?;
        if let Some(done) = idempotency::begin(&mut tx, principal, key).await? {
            return Ok(done);
        }
        let row = task_views::get(&mut tx, id).await?.ok_or(Error::NotFound)?;
        let records = read_log(&mut tx, id).await?;
        let last = records.last().map_or(0, |record| record.event.seq);
        let asked = input.from_seq.unwrap_or(last);
        if !(1..=last).contains(&asked) {
            return Err(Error::invalid("/from_seq", format!("must be from 1 to {last}, the task's last event")));
        }
        let new_id: TaskId = clock::new_id();
        let found = aside(move || {
            let cut = cut(&records, asked)?;
            Some(fold(new_id, &records, cut.seq).map(|session| (cut, session)))
        });
        let (cut, mut session) = found.await?.ok_or_else(|| Error::Conflict {
            code: "cannot_fork",
            detail: "the task's log has no place at which a conversation can go on".to_owned(),
            state: Some(row.status),
        })??;
        let model = model.filter(|model| *model != session.spec.model);
        let forked = EventData::TaskForked {
            from: ForkedFrom { task: id, seq: cut.seq },
            model,
            author: principal.user_name.clone(),
        };
        let wake = wake(&session, input.request, principal);
        let queued = EventData::TaskStatus { status: Status::Queued, waiting_for: None, error: None };
        let (run, turn) = (session.run, session.turn);
        let event = |run, data, private| NewEvent { run, turn, data, private };
        let mut events: Vec<NewEvent> =
            cut.checkpoint.into_iter().map(|(data, private)| event(run, data, private)).collect();
        events.extend([event(run, forked, None), event(run + 1, wake, None), event(run + 1, queued, None)]);
        apply(&mut session, &events);

        // Its words are the other's.
        let Source { outsider, untrusted, .. } = session.spec.source;
        session.spec.source = Source { outsider, untrusted, ..source };
        // That of an environment was opened by an admin.
        let by_environment = session.spec.pinned.as_ref().is_some_and(|pinned| pinned.network == session.spec.network);
        if session.spec.network.mode == NetworkMode::Open && !by_environment {
            access::require(principal, Right::OpenNetwork)?;
        }
        self.can_be_capped(&session.spec.model, &session.spec.limits)?;
        let new = tasks::NewTask {
            team: principal.team,
            id: new_id,
            created_by: principal.user,
            author: &principal.user_name,
            spec: &session.spec,
        };
        self.room_in_queue(&mut tx, principal.user).await?;
        if !forks::create(&mut tx, &new, id, cut.seq).await? {
            return Err(Error::NotFound);
        }
        check_model_on(&mut tx, &session.spec.model).await?;
        note_network(&mut tx, principal, new_id, &session.spec).await?;
        self.hold_tree(&mut tx, principal, new_id, &session).await?;
        let change = TaskChange {
            status: Some((Status::Queued, None)),
            phase: Some(session.phase),
            detail: Some(&session.detail()),
            run: Some(session.run),
            ..TaskChange::default()
        };
        let last_seq = log::append_locked(&mut tx, principal.team, new_id, &events, &change).await?;
        jobs::put(&mut tx, &tasks::run_task(principal.team, new_id, principal.user, session.spec.priority)).await?;
        let answer = self.made(&mut tx, principal, new_id).await?;
        let answer = idempotency::commit(tx, principal, key, answer).await?;
        self.committed(principal.team, new_id, last_seq);
        Ok(answer)
    }

    /// The fork holds the contents of the working copy that it begins with.
    async fn hold_tree(
        &self,
        tx: &mut TeamTx,
        principal: &Principal,
        id: TaskId,
        session: &Session,
    ) -> Result<(), Error> {
        let gone = || Error::Conflict {
            code: "no_longer_kept",
            detail: "the files of that turn are no longer kept: fork the task where it stands now".to_owned(),
            state: None,
        };
        let Some(checkpoint) = &session.checkpoint else { return Ok(()) };
        let delta = match self.blob(tx, principal.team, &checkpoint.delta).await {
            Ok(Content::Bytes(bytes)) => bytes,
            Ok(Content::Object(object)) => object.bytes().await.map_err(unreadable)?.into(),
            Err(Error::NotFound) => return Err(gone()),
            Err(error) => return Err(error),
        };
        let delta: TreeDelta =
            serde_json::from_slice(&delta).map_err(|_| StoreError::corrupt("blobs", "content", &checkpoint.delta.0))?;
        let mut hashes: Vec<&str> = delta.changed.iter().map(|entry| entry.content.as_str()).collect();
        hashes.push(checkpoint.delta.as_str());
        hashes.sort_unstable();
        hashes.dedup();
        let held = blobs::hold_all(tx, id, &hashes).await?;
        if held == hashes.len() as u64 { Ok(()) } else { Err(gone()) }
    }

    /// 201 with a task that was just made.
    pub(super) async fn made(&self, tx: &mut TeamTx, principal: &Principal, id: TaskId) -> Result<Answer, Error> {
        let row = task_views::get(tx, id).await?.ok_or(Error::NotFound)?;
        let creator = self.user(tx, principal, row.created_by).await?;
        let body = TaskJson::of(principal, creator, &row)?.body;
        Ok(Answer { status: 201, location: Some(format!("/v1/tasks/{id}")), body, replayed: false })
    }
}

/// The whole log of a task, at most [`LOG_EVENTS_MAX`] events of [`LOG_BYTES_MAX`] bytes.
pub(super) async fn read_log(tx: &mut TeamTx, id: TaskId) -> Result<Vec<Record>, Error> {
    let too_long = |what| Error::Conflict {
        code: "log_too_long",
        detail: format!("the task's log has more than {what}, and no more can be copied"),
        state: None,
    };
    if forks::log_bytes(tx, id).await? > LOG_BYTES_MAX {
        return Err(too_long(format!("{LOG_BYTES_MAX} bytes")));
    }
    let mut records: Vec<Record> = Vec::new();
    loop {
        let after = records.last().map_or(0, |record| record.event.seq);
        let page = forks::records(tx, id, after, PAGE).await?;
        let whole = page.len() < PAGE as usize;
        records.extend(page);
        if records.len() > LOG_EVENTS_MAX {
            return Err(too_long(format!("{LOG_EVENTS_MAX} events")));
        }
        if whole {
            return Ok(records);
        }
    }
}

/// Does what takes long without waiting for anything on a thread of its own: other requests are not held up.
pub(super) async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(Error::internal)
}

/// The session of a log's events up to `last`, as those of the task `id`.
pub(super) fn fold(id: TaskId, records: &[Record], last: Seq) -> Result<Session, Error> {
    let corrupt = || Error::from(StoreError::corrupt("task_events", "kind", id));
    let (first, rest) = records.split_first().ok_or_else(corrupt)?;
    let mut session = Session::start(&first.event).ok_or_else(corrupt)?;
    session.task = id;
    for record in rest.iter().take_while(|record| record.event.seq <= last) {
        session.apply(&record.event, record.private.as_ref());
    }
    Ok(session)
}

/// Folds events that are about to be appended.
pub(super) fn apply(session: &mut Session, events: &[NewEvent]) {
    for new in events {
        let seq = session.last_seq + 1;
        let (run, turn, at) = (new.run, new.turn, clock::now());
        let event = Event { seq, task: session.task, run, turn, at, data: new.data.clone() };
        session.apply(&event, new.private.as_ref());
    }
}

/// What begins the fork's own run.
fn wake(session: &Session, request: Option<String>, principal: &Principal) -> EventData {
    let author = principal.user_name.clone();
    match request {
        Some(text) => EventData::MessageUser { text, author, user: Some(principal.user), on_busy: OnBusy::Steer },
        // What has succeeded has nothing to go on with.
        None if session.status == Status::Succeeded => EventData::TaskControl { action: Control::Retry, author },
        None => EventData::TaskControl { action: Control::Resume, author },
    }
}

/// The last place at or before `asked` at which the log can be cut.
fn cut(records: &[Record], asked: Seq) -> Option<Cut> {
    let (first, rest) = records.split_first()?;
    let mut session = Session::start(&first.event)?;
    // Places, with the turn whose look at the working copy is still to be found.
    let mut places: Vec<(usize, Option<u32>)> = vec![(0, None)];
    for (index, record) in (1..).zip(rest.iter().take_while(|record| record.event.seq <= asked)) {
        session.apply(&record.event, record.private.as_ref());
        let answered = session.calls.iter().all(|call| call.completed);
        if answered && (!session.calling || session.status.is_rest()) {
            // A run that ended has looked.
            let unseen = session.dirty && !session.status.is_end();
            places.push((index, unseen.then_some(session.turn)));
        }
    }
    places.into_iter().rev().find_map(|(index, unseen)| {
        let checkpoint = match unseen {
            None => None,
            Some(turn) => look(&records[index + 1..], turn)?,
        };
        Some(Cut { seq: records[index].event.seq, checkpoint })
    })
}

/// The look at the working copy after `turn`, in what follows in the log: none inside where nothing had
/// changed, none at all where nobody has looked.
#[expect(clippy::option_option, reason = "nobody has looked, nothing had changed, this is how it was")]
fn look(later: &[Record], turn: u32) -> Option<Option<(EventData, Option<Private>)>> {
    for Record { event, private } in later {
        match &event.data {
            EventData::Checkpoint { turn: of, restored: false, .. } if *of == turn => {
                return Some(Some((event.data.clone(), private.clone())));
            }
            // Each of these comes after a look.
            EventData::Checkpoint { .. }
            | EventData::ModelCompleted { .. }
            | EventData::ToolStarted { .. }
            | EventData::ChecksStarted { .. } => return Some(None),
            EventData::TaskStatus { status, .. } if status.is_end() => return Some(None),
            _ => {}
        }
    }
    None
}
