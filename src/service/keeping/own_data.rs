//! A person's own data in a team, taken out as one archive that is written as it is read: no more than a page, or a piece
//! of a content, is held at a time.

use crate::{
    clock,
    domain::{Principal, Seq, TaskId, UploadId},
    objects::ObjectError,
    service::{
        BytesOf, Content, Error, Service, access,
        access::Right,
        archive::tar,
        audit::{self, Action, Subject},
        unreadable,
    },
    store::{
        log,
        own_data::{self, OwnRows},
    },
};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use futures::{Stream, StreamExt, stream, stream::BoxStream};
use serde_json::{Value, json};
use std::{collections::VecDeque, io::Write, sync::Arc};
use uuid::Uuid;

/// Rows, and events of a task, read at a time; each page is an entry of the archive.
const PAGE: u32 = 500;
const EVENTS_PAGE: u32 = 100;
/// Packed bytes that are worth handing over.
const PIECE_BYTES: usize = 64 << 10;

/// What comes next.
#[derive(Debug)]
enum Step {
    Profile,
    /// A list of rows after an id, and the number of the entry.
    Rows(OwnRows, Option<Uuid>, u32),
    Usage(Option<(String, Uuid, String)>, u32),
    Said(Option<(TaskId, Seq)>, u32),
    /// The content of an upload.
    Upload(UploadId),
    Tasks(Option<TaskId>),
    Task(TaskId),
    Events(TaskId, Seq, u32),
    Patch(TaskId),
    End,
}

struct Export {
    service: Service,
    principal: Arc<Principal>,
    steps: VecDeque<Step>,
    out: GzEncoder<Vec<u8>>,
    now: u64,
    /// The content of the entry that was begun last, and the zeros after it.
    content: Option<(BoxStream<'static, Result<Bytes, ObjectError>>, usize)>,
}

impl Service {
    /// All that the principal's team keeps of him, as a tar packed by gzip.
    pub async fn export_own_data(
        &self,
        principal: &Arc<Principal>,
    ) -> Result<impl Stream<Item = Result<Bytes, Error>> + Send + use<>, Error> {
        access::require(principal, Right::ReadTasks)?;
        access::require(principal, Right::ReadMemories)?;
        let mut tx = self.store().team(principal.team).await?;
        let subject = Subject::new("user", principal.user);
        audit::record(&mut tx, principal, Action::UserDataExported, subject, Value::Null).await?;
        tx.commit().await?;
        let lists = [
            OwnRows::ApiKeys,
            OwnRows::Memories,
            OwnRows::Feedback,
            OwnRows::Approvals,
            OwnRows::AuditLog,
            OwnRows::Publishings,
            OwnRows::Uploads,
            OwnRows::Deliveries,
        ];
        let mut steps = VecDeque::from([Step::Profile]);
        steps.extend(lists.map(|list| Step::Rows(list, None, 1)));
        steps.extend([Step::Usage(None, 1), Step::Said(None, 1), Step::Tasks(None), Step::End]);
        let export = Export {
            service: self.clone(),
            principal: Arc::clone(principal),
            steps,
            out: GzEncoder::new(Vec::new(), Compression::default()),
            now: clock::now().0.unix_timestamp().unsigned_abs(),
            content: None,
        };
        Ok(stream::try_unfold(Some(export), |export| async move {
            let Some(mut export) = export else { return Ok(None) };
            match export.piece().await {
                Ok(Some(piece)) => Ok(Some((piece, Some(export)))),
                Ok(None) => Ok(Some((export.out.finish().map_err(Error::internal)?.into(), None))),
                Err(error) => {
                    tracing::warn!(%error, "an export of a person's data broke off");
                    Err(error)
                }
            }
        }))
    }
}

impl Export {
    /// The next packed bytes; none once all is written, but for what the packing still holds.
    async fn piece(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if let Some((mut content, padding)) = self.content.take() {
                match content.next().await {
                    Some(piece) => {
                        self.out.write_all(&piece.map_err(unreadable)?).map_err(Error::internal)?;
                        self.content = Some((content, padding));
                    }
                    None => self.zeros(padding)?,
                }
            } else if let Some(step) = self.steps.pop_front() {
                self.step(step).await?;
            } else {
                return Ok(None);
            }
            if self.out.get_ref().len() >= PIECE_BYTES {
                return Ok(Some(std::mem::take(self.out.get_mut()).into()));
            }
        }
    }

    async fn step(&mut self, step: Step) -> Result<(), Error> {
        let (store, user) = (self.service.store().clone(), self.principal.user);
        let mut tx = store.team(self.principal.team).await?;
        match step {
            Step::Profile => {
                let me = &self.principal;
                let profile = json!({
                    "user": { "id": me.user, "name": me.user_name, "email": me.email },
                    "team": { "id": me.team, "name": me.team_name }, "role": me.role, "exported_at": clock::now(),
                });
                self.entry("profile.json", format!("{profile:#}\n").as_bytes())?;
            }
            Step::Rows(list, after, number) => {
                let rows = own_data::rows(&mut tx, list, user, after, PAGE).await?;
                self.lines(name(list), number, rows.iter().map(|(_, row)| row.as_str()))?;
                if rows.len() == PAGE as usize {
                    self.steps.push_front(Step::Rows(list, rows.last().map(|(id, _)| *id), number + 1));
                }
                if list == OwnRows::Uploads {
                    for (id, _) in rows.iter().rev() {
                        self.steps.push_front(Step::Upload(UploadId(*id)));
                    }
                }
            }
            Step::Usage(after, number) => {
                let rows = own_data::usage(&mut tx, user, after.as_ref(), PAGE).await?;
                self.lines("usage", number, rows.iter().map(|(_, row)| row.as_str()))?;
                if rows.len() == PAGE as usize {
                    self.steps.push_front(Step::Usage(rows.into_iter().next_back().map(|(key, _)| key), number + 1));
                }
            }
            Step::Said(after, number) => {
                let rows = own_data::said_elsewhere(&mut tx, user, after, PAGE).await?;
                self.lines("said_elsewhere", number, rows.iter().map(|(_, _, row)| row.as_str()))?;
                if rows.len() == PAGE as usize {
                    let last = rows.last().map(|(task, seq, _)| (*task, *seq));
                    self.steps.push_front(Step::Said(last, number + 1));
                }
            }
            Step::Upload(id) => {
                if let Some((hash, ending)) = own_data::upload(&mut tx, user, id).await? {
                    let content = self.service.blob(&mut tx, self.principal.team, &hash).await;
                    self.content(&format!("uploads/{id}.{ending}"), content).await?;
                }
            }
            Step::Tasks(after) => {
                let tasks = own_data::tasks(&mut tx, user, after, PAGE).await?;
                if tasks.len() == PAGE as usize {
                    self.steps.push_front(Step::Tasks(tasks.last().copied()));
                }
                for task in tasks.into_iter().rev() {
                    self.steps.push_front(Step::Task(task));
                }
            }
            Step::Task(id) => {
                drop(tx);
                match self.service.task(&self.principal, id).await {
                    Ok(task) => {
                        self.entry(&format!("tasks/{id}/task.json"), &task.body)?;
                        self.steps.push_front(Step::Patch(id));
                        self.steps.push_front(Step::Events(id, 0, 1));
                    }
                    // Deleted meanwhile.
                    Err(Error::NotFound) => {}
                    Err(error) => return Err(error),
                }
            }
            Step::Events(id, after, number) => {
                let events = log::page(&mut tx, id, after, EVENTS_PAGE).await?;
                let lines: Vec<String> = events.iter().map(|event| event.json(id)).collect();
                self.lines(&format!("tasks/{id}/events"), number, lines.iter().map(String::as_str))?;
                if events.len() == EVENTS_PAGE as usize {
                    let last = events.last().map_or(after, |event| event.seq);
                    self.steps.push_front(Step::Events(id, last, number + 1));
                }
            }
            Step::Patch(id) => {
                drop(tx);
                let of = BytesOf::Patch { from_turn: None, to_turn: None };
                // What is no longer kept, or cannot be made here now, is left out.
                let content = match self.service.bytes(&self.principal, id, of).await {
                    Ok(Content::Bytes(bytes)) if bytes.is_empty() => return Ok(()),
                    Err(error @ (Error::Unavailable(_) | Error::Internal(_))) => return Err(error),
                    Err(_) => Err(Error::NotFound),
                    content => content,
                };
                self.content(&format!("tasks/{id}/task.patch"), content).await?;
            }
            Step::End => {
                self.zeros(2 * tar::BLOCK_BYTES)?;
            }
        }
        Ok(())
    }

    /// A page of rows, a line each; an empty list is no entry.
    fn lines<'a>(&mut self, name: &str, number: u32, rows: impl Iterator<Item = &'a str>) -> Result<(), Error> {
        let mut text = String::new();
        for row in rows {
            text.push_str(row);
            text.push('\n');
        }
        if text.is_empty() {
            return Ok(());
        }
        self.entry(&format!("{name}-{number:04}.jsonl"), text.as_bytes())
    }

    fn entry(&mut self, name: &str, content: &[u8]) -> Result<(), Error> {
        self.begin(name, content.len() as u64)?;
        self.out.write_all(content).map_err(Error::internal)?;
        self.zeros(tar::padding(content.len() as u64))
    }

    /// A content; one that is not there is left out.
    async fn content(&mut self, name: &str, content: Result<Content, Error>) -> Result<(), Error> {
        let (size, pieces) = match content {
            Ok(Content::Bytes(bytes)) => (bytes.len() as u64, stream::iter([Ok(Bytes::from(bytes))]).boxed()),
            Ok(Content::Object(object)) => (object.size, object.stream().await.map_err(unreadable)?.boxed()),
            Err(Error::NotFound) => return Ok(()),
            Err(error) => return Err(error),
        };
        self.begin(name, size)?;
        self.content = Some((pieces, tar::padding(size)));
        Ok(())
    }

    fn begin(&mut self, name: &str, size: u64) -> Result<(), Error> {
        let header = tar::header(name, size, 0o600, self.now).map_err(Error::internal)?;
        self.out.write_all(&header).map_err(Error::internal)
    }

    fn zeros(&mut self, count: usize) -> Result<(), Error> {
        self.out.write_all(&[0; 2 * tar::BLOCK_BYTES][..count]).map_err(Error::internal)
    }
}

fn name(list: OwnRows) -> &'static str {
    match list {
        OwnRows::ApiKeys => "api_keys",
        OwnRows::Memories => "memories",
        OwnRows::Feedback => "feedback",
        OwnRows::Uploads => "uploads",
        OwnRows::Approvals => "approvals",
        OwnRows::AuditLog => "audit_log",
        OwnRows::Publishings => "publishings",
        OwnRows::Deliveries => "tracker_deliveries",
    }
}
