//! What goes out for a request: status, headers, and a body in pieces with their delays and end.

use super::{
    fault::{Fault, FaultKind},
    log::Ending,
    play::Spoken,
    request::Request,
    wire::{self, Said, SaidCall},
};
use crate::domain::{item::Wire, usage::TokenUsage};
use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderValue, Response, StatusCode, header},
};
use std::{io, time::Duration};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// How long a connection that is about to break is given to send what stands before.
const FLUSH: Duration = Duration::from_millis(20);
/// Bytes of a slow reply that go out together.
const DRIP_BYTES: usize = 8;

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    InOrder,
    Hang,
    Break,
}

/// An answer before it is sent.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    headers: HeaderMap,
    first_byte: Duration,
    between: Duration,
    pieces: Vec<Bytes>,
    end: End,
}

impl Answer {
    fn json(status: StatusCode, body: String) -> Self {
        let mut answer = Self::of("application/json", vec![body.into()], End::InOrder);
        answer.status = status;
        answer
    }

    fn of(content_type: &'static str, pieces: Vec<Bytes>, end: End) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        let (first_byte, between) = (Duration::ZERO, Duration::ZERO);
        Self { status: StatusCode::OK, headers, first_byte, between, pieces, end }
    }

    /// An error as the wire shapes it.
    pub(super) fn error(wire: Wire, status: StatusCode, code: Option<&str>, message: &str) -> Self {
        let (kind, usual) = kind(wire, status);
        Self::json(status, wire::error(wire, kind, code.unwrap_or(usual), message).to_string())
    }

    /// The answer that says `spoken`, spoilt by `fault`.
    pub(super) fn saying(
        request: &Request,
        mut spoken: Spoken,
        usage: TokenUsage,
        id: &str,
        fault: Option<&Fault>,
    ) -> Self {
        if let Some(answer) = fault.and_then(|fault| Self::instead(request, fault)) {
            return answer;
        }
        let kind = fault.map(|fault| fault.kind);
        spoil(&mut spoken, kind);
        let same = kind == Some(FaultKind::DuplicateCallIds);
        let calls = spoken.calls.into_iter().enumerate().map(|(at, (tool, arguments))| {
            let id = if same { "call_same".to_owned() } else { format!("call_{id}_{at}") };
            SaidCall { id, tool, arguments }
        });
        let said = Said {
            id: id.to_owned(),
            model: request.model.clone(),
            calls: calls.collect(),
            text: spoken.text,
            reasoning: spoken.reasoning,
            cut: spoken.cut,
            usage: (kind != Some(FaultKind::NoUsage)).then_some(usage),
            piece_chars: spoken.pace.piece_chars,
        };
        let mut answer = if request.stream {
            Self::streaming(request, &said, fault, spoken.pace.between_ms)
        } else {
            Self::at_once(request, &said, fault)
        };
        answer.first_byte = Duration::from_millis(spoken.pace.first_byte_ms);
        answer
    }

    /// Faults that leave nothing of the reply.
    fn instead(request: &Request, fault: &Fault) -> Option<Self> {
        let message = |usual: &str| fault.message.clone().unwrap_or_else(|| usual.to_owned());
        match fault.kind {
            FaultKind::Status => {
                let status = StatusCode::from_u16(fault.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                let text = message(&format!("scripted {status}"));
                let mut answer = Self::error(request.wire, status, fault.code.as_deref(), &text);
                if let Some(seconds) = fault.retry_after_seconds {
                    let (name, value) = if seconds.fract() == 0.0 {
                        ("retry-after", format!("{seconds}"))
                    } else {
                        ("retry-after-ms", format!("{:.0}", seconds * 1_000.0))
                    };
                    let value = HeaderValue::from_str(&value).unwrap_or(HeaderValue::from_static("1"));
                    answer.headers.insert(name, value);
                }
                Some(answer)
            }
            FaultKind::HangBefore => {
                let mut answer = Self::of("text/event-stream", Vec::new(), End::Hang);
                answer.first_byte = Duration::MAX;
                Some(answer)
            }
            FaultKind::Html => {
                let page = message("<!doctype html><html><body><h1>Bad gateway</h1></body></html>");
                Some(Self::of("text/html; charset=utf-8", vec![page.into()], End::InOrder))
            }
            FaultKind::ContextLengthExceeded => {
                let usual = match request.wire {
                    Wire::Messages => "prompt is too long: 250000 tokens > 200000 maximum",
                    _ => "This model's maximum context length is 128000 tokens.",
                };
                let code = fault.code.as_deref().unwrap_or("context_length_exceeded");
                Some(Self::error(request.wire, StatusCode::BAD_REQUEST, Some(code), &message(usual)))
            }
            _ => None,
        }
    }

    fn streaming(request: &Request, said: &Said, fault: Option<&Fault>, between_ms: u64) -> Self {
        let mut frames = wire::stream(said, request);
        let mut end = End::InOrder;
        let mut content_type = "text/event-stream";
        let mut drip = None;
        if let Some(fault) = fault {
            let before_mark = frames.len() - wire::mark_events(said, request).min(frames.len());
            let keep = fault.after_events.min(before_mark);
            match fault.kind {
                FaultKind::HangMidstream => {
                    frames.truncate(keep);
                    end = End::Hang;
                }
                FaultKind::Cut => {
                    frames.truncate(keep);
                    // The break falls into the middle of an event.
                    frames.push("data: {\"type\":\"resp".to_owned());
                    end = End::Break;
                }
                FaultKind::NoMark => frames.truncate(before_mark),
                FaultKind::InvalidJson => {
                    frames.truncate(keep);
                    frames.push("data: {\"type\": this is no JSON}\n\n".to_owned());
                }
                FaultKind::ErrorEvent => {
                    frames.truncate(keep);
                    let (kind, code) = match request.wire {
                        Wire::Messages => ("overloaded_error", "overloaded_error"),
                        _ => ("server_error", "server_error"),
                    };
                    let code = fault.code.as_deref().unwrap_or(code);
                    let kind = if fault.code.is_some() { code } else { kind };
                    let message = fault.message.as_deref().unwrap_or("scripted error in the stream");
                    frames.push(wire::error_event(request.wire, kind, code, message));
                }
                FaultKind::WrongContentType => content_type = "text/plain",
                FaultKind::Slow => drip = Some(fault.drip_ms),
                _ => {}
            }
        }
        let mut answer = Self::of(content_type, Vec::new(), end);
        if let Some(drip_ms) = drip {
            answer.between = Duration::from_millis(drip_ms);
            answer.pieces = frames.concat().as_bytes().chunks(DRIP_BYTES).map(Bytes::copy_from_slice).collect();
        } else if between_ms > 0 {
            answer.between = Duration::from_millis(between_ms);
            answer.pieces = frames.into_iter().map(Bytes::from).collect();
        } else {
            answer.pieces = vec![frames.concat().into()];
        }
        answer
    }

    fn at_once(request: &Request, said: &Said, fault: Option<&Fault>) -> Self {
        let body = wire::whole(said, request);
        let half = body[..body.floor_char_boundary(body.len() / 2)].to_owned();
        match fault.map(|fault| (fault.kind, fault)) {
            Some((FaultKind::Cut, _)) => Self::of("application/json", vec![half.into()], End::Break),
            Some((FaultKind::NoMark, _)) => Self::json(StatusCode::OK, half),
            Some((FaultKind::HangMidstream, _)) => Self::of("application/json", vec![half.into()], End::Hang),
            Some((FaultKind::InvalidJson, _)) => Self::json(StatusCode::OK, "{\"this\" is no JSON}".to_owned()),
            Some((FaultKind::WrongContentType, _)) => Self::of("text/plain", vec![body.into()], End::InOrder),
            Some((FaultKind::ErrorEvent, fault)) => {
                let message = fault.message.as_deref().unwrap_or("scripted error");
                Self::error(request.wire, StatusCode::INTERNAL_SERVER_ERROR, fault.code.as_deref(), message)
            }
            Some((FaultKind::Slow, fault)) => {
                let pieces = body.as_bytes().chunks(DRIP_BYTES).map(Bytes::copy_from_slice).collect();
                let mut answer = Self::of("application/json", pieces, End::InOrder);
                answer.between = Duration::from_millis(fault.drip_ms);
                answer
            }
            _ => Self::json(StatusCode::OK, body),
        }
    }

    /// Sends it. What hangs ends with `shutdown`.
    pub(super) async fn send(self, place: &str, mut ending: Ending, shutdown: CancellationToken) -> Response<Body> {
        if self.first_byte > Duration::ZERO {
            tokio::select! {
                () = sleep(self.first_byte) => {}
                () = shutdown.cancelled() => {}
            }
        }
        let (status, mut headers) = (self.status, self.headers);
        headers.insert("x-scripted-line", HeaderValue::from_str(place).unwrap_or(HeaderValue::from_static("-")));
        let mut body = if let ([piece], End::InOrder) = (self.pieces.as_slice(), self.end) {
            // One piece needs no task of its own: it is on its way when this returns.
            let body = Body::from(piece.clone());
            ending.done();
            Response::new(body)
        } else {
            let sending = Sending {
                pieces: self.pieces.into_iter(),
                between: self.between,
                end: self.end,
                ending,
                shutdown,
                begun: false,
            };
            Response::new(Body::from_stream(futures::stream::unfold(sending, Sending::next)))
        };
        *body.status_mut() = status;
        *body.headers_mut() = headers;
        body
    }
}

/// A body on its way.
struct Sending {
    pieces: std::vec::IntoIter<Bytes>,
    between: Duration,
    end: End,
    ending: Ending,
    shutdown: CancellationToken,
    begun: bool,
}

impl Sending {
    async fn next(mut self) -> Option<(Result<Bytes, io::Error>, Self)> {
        if let Some(piece) = self.pieces.next() {
            if std::mem::replace(&mut self.begun, true) && self.between > Duration::ZERO {
                sleep(self.between).await;
            }
            return Some((Ok(piece), self));
        }
        match self.end {
            End::InOrder => {
                self.ending.done();
                None
            }
            End::Hang => {
                self.shutdown.cancelled().await;
                self.ending.done();
                None
            }
            End::Break => {
                sleep(FLUSH).await;
                self.ending.done();
                self.end = End::InOrder;
                Some((Err(io::Error::other("scripted break")), self))
            }
        }
    }
}

/// Faults that change what is said.
fn spoil(spoken: &mut Spoken, kind: Option<FaultKind>) {
    match kind {
        Some(FaultKind::Empty) => {
            spoken.text.clear();
            spoken.reasoning.clear();
            spoken.calls.clear();
        }
        Some(FaultKind::UnknownTool) => spoken.calls.push(("no_such_tool".to_owned(), "{}".to_owned())),
        Some(FaultKind::Length) => {
            let half = |text: &mut String| text.truncate(text.floor_char_boundary(text.len() / 2));
            match spoken.calls.last_mut() {
                Some((_, arguments)) => half(arguments),
                None => half(&mut spoken.text),
            }
            spoken.cut = true;
        }
        _ => {}
    }
}

/// The type and code that providers send with a status.
fn kind(wire: Wire, status: StatusCode) -> (&'static str, &'static str) {
    match (status.as_u16(), wire) {
        (401, _) => ("authentication_error", "invalid_api_key"),
        (403, _) => ("permission_error", "permission_denied"),
        (404, _) => ("not_found_error", "model_not_found"),
        (429, Wire::Messages) => ("rate_limit_error", "rate_limit_error"),
        (429, _) => ("requests", "rate_limit_exceeded"),
        (529, _) => ("overloaded_error", "overloaded_error"),
        (400..=499, _) => ("invalid_request_error", "invalid_request_error"),
        (_, Wire::Messages) => ("api_error", "api_error"),
        _ => ("server_error", "server_error"),
    }
}
