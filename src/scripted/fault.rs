//! What can go wrong on request.

use serde::Deserialize;
use std::str::FromStr;

/// A fault of a line, of a rule, or of one request (header `x-scripted-fault`, query `fault`).
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Form")]
pub struct Fault {
    pub kind: FaultKind,
    /// Only so many times for one conversation, then the line plays: the server's one piece of
    /// state. Conversations are told apart by cache key, else by their first text.
    pub times: Option<u32>,
    /// Of [`FaultKind::Status`].
    pub status: u16,
    /// Sent as `Retry-After`.
    pub retry_after_seconds: Option<f64>,
    /// In place of the fault's own words.
    pub message: Option<String>,
    /// In place of the fault's own code.
    pub code: Option<String>,
    /// Events that come before a stream breaks or stands still.
    pub after_events: usize,
    /// Between the bytes of a slow reply.
    pub drip_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// An HTTP error.
    Status,
    /// Accepts the request and never answers.
    HangBefore,
    /// Some events, then nothing more.
    HangMidstream,
    /// Some events, then the connection breaks.
    Cut,
    /// The stream ends in order but without its completion mark.
    NoMark,
    /// Events whose data is no JSON.
    InvalidJson,
    /// An HTML page with status 200.
    Html,
    /// A few bytes at a time.
    Slow,
    /// The right body as `text/plain`.
    WrongContentType,
    /// All calls carry the same id.
    DuplicateCallIds,
    /// Calls a tool that was not offered.
    UnknownTool,
    /// Neither text nor calls.
    Empty,
    /// Half the reply, cut at its maximal length.
    Length,
    ContextLengthExceeded,
    /// Some events, then an error as an event.
    ErrorEvent,
    /// No token counts.
    NoUsage,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Form {
    Text(String),
    Full(Full),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Full {
    kind: FaultKind,
    times: Option<u32>,
    status: Option<u16>,
    retry_after_seconds: Option<f64>,
    message: Option<String>,
    code: Option<String>,
    after_events: Option<usize>,
    drip_ms: Option<u64>,
}

impl Fault {
    fn of(kind: FaultKind) -> Self {
        Self {
            kind,
            times: None,
            status: 500,
            retry_after_seconds: None,
            message: None,
            code: None,
            after_events: 3,
            drip_ms: 5,
        }
    }
}

impl TryFrom<Form> for Fault {
    type Error = UnknownFault;

    fn try_from(form: Form) -> Result<Self, UnknownFault> {
        match form {
            Form::Text(text) => text.parse(),
            Form::Full(full) => {
                let plain = Self::of(full.kind);
                Ok(Self {
                    times: full.times,
                    status: full.status.unwrap_or(plain.status),
                    retry_after_seconds: full.retry_after_seconds,
                    message: full.message,
                    code: full.code,
                    after_events: full.after_events.unwrap_or(plain.after_events),
                    drip_ms: full.drip_ms.unwrap_or(plain.drip_ms),
                    ..plain
                })
            }
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no fault reads like {0:?} (such as `cut`, `429`, `status=503; retry_after_seconds=1; times=2`)")]
pub struct UnknownFault(String);

impl FromStr for Fault {
    type Err = UnknownFault;

    /// `KIND`, or an HTTP status, or `status=N`; then `; name=value` for the other fields.
    fn from_str(text: &str) -> Result<Self, UnknownFault> {
        let unknown = || UnknownFault(text.to_owned());
        let mut parts = text.split(';').map(str::trim).filter(|part| !part.is_empty());
        let first = parts.next().ok_or_else(unknown)?;
        let mut fault = if let Ok(status) = first.strip_prefix("status=").unwrap_or(first).parse::<u16>() {
            Self { status, ..Self::of(FaultKind::Status) }
        } else {
            let word = serde_json::Value::String(first.to_owned());
            Self::of(serde_json::from_value(word).map_err(|_| unknown())?)
        };
        for part in parts {
            let (name, value) = part.split_once('=').ok_or_else(unknown)?;
            match name.trim() {
                "times" => fault.times = Some(value.parse().map_err(|_| unknown())?),
                "retry_after_seconds" => fault.retry_after_seconds = Some(value.parse().map_err(|_| unknown())?),
                "message" => fault.message = Some(value.to_owned()),
                "code" => fault.code = Some(value.to_owned()),
                "after_events" => fault.after_events = value.parse().map_err(|_| unknown())?,
                "drip_ms" => fault.drip_ms = value.parse().map_err(|_| unknown())?,
                _ => return Err(unknown()),
            }
        }
        Ok(fault)
    }
}
