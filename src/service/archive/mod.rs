//! A task as one file: gzip of JSON lines, first a header, then every event with its private part,
//! then the contents that they name.
//!
//! Pure: no store, no clock. What a file says is not believed: [`unpack`] checks form, order, sizes
//! and hashes.

mod redact;
pub mod tar;

pub use redact::redact;

use crate::domain::{
    BlobHash, Event, EventData, Private, Seq, TaskId, Timestamp, check::CheckResult, event::Record, task::LOG_VERSION,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use flate2::{Compression, bufread::GzDecoder, write::GzEncoder};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
};

const FORMAT: &str = "journeyman-task";
const VERSION: u32 = 1;
/// Bytes of a file, packed and unpacked.
pub const FILE_BYTES_MAX: usize = 64 << 20;
const UNPACKED_BYTES_MAX: u64 = 192 << 20;
/// Bytes of all contents in a file.
pub(super) const CONTENTS_BYTES_MAX: usize = 32 << 20;
const EVENTS_MAX: usize = super::fork::LOG_EVENTS_MAX;
pub(super) const BLOBS_MAX: usize = 20_000;
/// Sums over any log stay far below what their types hold.
const NUMBER_MAX: f64 = 1e13;
/// Fields that hold what a model or a person wrote: nothing is reckoned with their numbers.
const FREE: [&str; 4] = ["arguments", "raw", "output_schema", "structured"];

/// A content that events name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blob {
    Content(Vec<u8>),
    /// Why it is not here.
    LeftOut(String),
}

#[derive(Debug)]
pub struct Archive {
    pub task: TaskId,
    pub redacted: bool,
    pub records: Vec<Record>,
    pub blobs: BTreeMap<BlobHash, Blob>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: String,
    version: u32,
    log_version: i32,
    task: TaskId,
    events: usize,
    redacted: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Event(EventLine),
    Blob(BlobLine),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EventLine {
    seq: Seq,
    run: u32,
    turn: u32,
    at: Timestamp,
    kind: String,
    data: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    private: Option<Value>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BlobLine {
    hash: BlobHash,
    /// Base64 (RFC 4648, section 4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    left_out: Option<String>,
}

/// The contents that an event names, those of its checkpoint's files not included.
pub(super) fn named(record: &Record) -> Vec<BlobHash> {
    let mut hashes: Vec<BlobHash> = match &record.private {
        Some(Private::Brief { head, .. }) => vec![head.instructions.clone(), head.tools.clone()],
        Some(Private::Output { blob, .. }) => blob.iter().cloned().collect(),
        Some(Private::Checkpoint { delta, .. }) => vec![delta.clone()],
        Some(Private::Patch { blob, .. } | Private::Rest { blob, .. }) => vec![blob.clone()],
        Some(
            Private::Memory { .. }
            | Private::Reply(_)
            | Private::Compaction { .. }
            | Private::Reserved { .. }
            | Private::Told { .. }
            | Private::Prepared { .. },
        )
        | None => Vec::new(),
    };
    let checks: &[CheckResult] = match &record.event.data {
        EventData::ChecksCompleted { checks, .. } => checks,
        EventData::TaskResult { result } => &result.checks,
        _ => &[],
    };
    let runs = checks.iter().flat_map(|check| [&check.baseline, &check.final_run]).flatten();
    hashes.extend(runs.filter_map(|run| run.log_blob.clone()));
    hashes
}

/// Writes the file.
pub(super) fn pack(archive: &Archive) -> std::io::Result<Vec<u8>> {
    let mut file = GzEncoder::new(Vec::new(), Compression::default());
    let mut line = |value: &Value| -> std::io::Result<()> {
        serde_json::to_writer(&mut file, value)?;
        file.write_all(b"\n")
    };
    let header = Header {
        format: FORMAT.to_owned(),
        version: VERSION,
        log_version: LOG_VERSION,
        task: archive.task,
        events: archive.records.len(),
        redacted: archive.redacted,
    };
    line(&serde_json::to_value(header)?)?;
    for Record { event, private } in &archive.records {
        let private = private.as_ref().map(serde_json::to_value).transpose()?;
        let data = serde_json::to_value(&event.data)?["data"].take();
        let kind = event.data.kind().to_owned();
        let Event { seq, run, turn, at, .. } = *event;
        line(&serde_json::to_value(Line::Event(EventLine { seq, run, turn, at, kind, data, private }))?)?;
    }
    for (hash, blob) in &archive.blobs {
        let (content, left_out) = match blob {
            Blob::Content(bytes) => (Some(STANDARD.encode(bytes)), None),
            Blob::LeftOut(why) => (None, Some(why.clone())),
        };
        line(&serde_json::to_value(Line::Blob(BlobLine { hash: hash.clone(), content, left_out }))?)?;
    }
    file.finish()
}

/// Reads a file. The events are those of the task that the header names.
///
/// # Errors
/// What is wrong with it, with its line.
pub fn unpack(file: &[u8]) -> Result<Archive, String> {
    let mut lines = BufReader::new(GzDecoder::new(file).take(UNPACKED_BYTES_MAX)).lines();
    let mut number = 0;
    let mut next = || {
        number += 1;
        lines.next().map(|line| line.map(|text| (number, text)).map_err(|error| format!("line {number}: {error}")))
    };
    let (_, first) = next().ok_or("the file is empty")??;
    let header: Header = serde_json::from_str(&first).map_err(|error| format!("line 1 is no header: {error}"))?;
    if header.format != FORMAT || header.version != VERSION || !(1..=LOG_VERSION).contains(&header.log_version) {
        return Err(format!("this build reads {FORMAT} version {VERSION} with logs up to version {LOG_VERSION}"));
    }
    let mut archive =
        Archive { task: header.task, redacted: header.redacted, records: Vec::new(), blobs: BTreeMap::new() };
    while let Some(line) = next() {
        let (number, text) = line?;
        let at = |why: String| format!("line {number}: {why}");
        match serde_json::from_str(&text).map_err(|error| at(error.to_string()))? {
            Line::Event(event) => {
                let record = record(archive.task, &archive.records, event).map_err(at)?;
                archive.records.push(record);
            }
            Line::Blob(blob) => {
                let (hash, blob) = content(blob).map_err(at)?;
                archive.blobs.insert(hash, blob);
            }
        }
        if archive.records.len() > EVENTS_MAX || archive.blobs.len() > BLOBS_MAX {
            return Err(format!("there are more than {EVENTS_MAX} events or {BLOBS_MAX} contents"));
        }
    }
    if archive.records.len() != header.events {
        return Err(format!("the header says {} events, there are {}", header.events, archive.records.len()));
    }
    Ok(archive)
}

fn record(task: TaskId, before: &[Record], line: EventLine) -> Result<Record, String> {
    let EventLine { seq, run, turn, at, kind, data, private } = line;
    if seq != before.len() as Seq + 1 {
        return Err(format!("the event's seq is {seq} and should be {}", before.len() + 1));
    }
    let least = before.last().map_or(1, |record| record.event.run);
    if !(least..=least + 1).contains(&run) || turn > EVENTS_MAX as u32 {
        return Err("the event's run or turn is out of order".to_owned());
    }
    if !moderate(&data) || !private.as_ref().is_none_or(moderate) {
        return Err(format!("a number is larger than {NUMBER_MAX}"));
    }
    let data: EventData = serde_json::from_value(serde_json::json!({ "kind": kind, "data": data }))
        .map_err(|error| format!("{kind}: {error}"))?;
    if matches!(data, EventData::TaskCreated { .. }) != before.is_empty() {
        return Err("task.created must be the first event and no other".to_owned());
    }
    let private = private.map(serde_json::from_value).transpose().map_err(|error| format!("{kind}: {error}"))?;
    Ok(Record { event: Event { seq, task, run, turn, at, data }, private })
}

fn moderate(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_f64().is_some_and(|number| number.abs() <= NUMBER_MAX),
        Value::Array(values) => values.iter().all(moderate),
        Value::Object(fields) => fields.iter().all(|(name, value)| FREE.contains(&name.as_str()) || moderate(value)),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

fn content(line: BlobLine) -> Result<(BlobHash, Blob), String> {
    let blob = match (line.content, line.left_out) {
        (Some(text), None) => {
            let bytes = STANDARD.decode(text).map_err(|error| error.to_string())?;
            if BlobHash::of(&bytes) != line.hash {
                return Err("the content has another hash than it says".to_owned());
            }
            Blob::Content(bytes)
        }
        (None, Some(why)) => Blob::LeftOut(why),
        _ => return Err("a blob has either content or left_out".to_owned()),
    };
    Ok((line.hash, blob))
}
