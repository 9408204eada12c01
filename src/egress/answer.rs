//! What goes back to a workspace: words of the proxy's own, and answers of hosts with what must not be in them
//! taken out.

use super::{Refusal, Scrubber, Target, exchange};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty, Full, combinators::UnsyncBoxBody};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio_util::task::AbortOnDropHandle;

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;
pub(super) type Body = UnsyncBoxBody<Bytes, BoxError>;

pub(super) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Empty::new().map_err(Into::into).boxed_unsync());
    *response.status_mut() = status;
    response
}

pub(super) fn text(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(text)).map_err(Into::into).boxed_unsync());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert("x-journeyman-network", HeaderValue::from_static("proxy"));
    response
}

pub(super) fn refused(refusal: &Refusal, target: &Target, asks: bool) -> Response<Body> {
    let mut response = text(refusal.status(), refusal.text(target, asks));
    response.headers_mut().insert("x-journeyman-network", HeaderValue::from_static("refused"));
    response
}

/// A host's answer on its way in. `driving` ends with the body.
pub(super) fn passed(
    response: Response<Incoming>,
    scrubber: &Scrubber,
    driving: Option<AbortOnDropHandle<()>>,
) -> Response<Body> {
    let (parts, body) = response.into_parts();
    let mut headers = parts.headers;
    exchange::strip(&mut headers);
    if !scrubber.is_idle() {
        headers = scrubbed(&headers, scrubber);
    }
    let body = Passing { body, scrubber: scrubber.fresh(), ended: false, _driving: driving };
    // The reason phrase and other extensions stay out.
    let mut response = Response::new(body.boxed_unsync());
    *response.status_mut() = parts.status;
    *response.headers_mut() = headers;
    response
}

fn scrubbed(headers: &HeaderMap, scrubber: &Scrubber) -> HeaderMap {
    let mut clean = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        // A name that holds a value is of no use to anybody.
        if scrubber.whole(name.as_str().as_bytes()) != name.as_str().as_bytes() {
            continue;
        }
        if let Ok(value) = HeaderValue::from_bytes(&scrubber.whole(value.as_bytes())) {
            clean.append(name, value);
        }
    }
    clean
}

/// A body that passes, without trailers.
struct Passing {
    body: Incoming,
    scrubber: Scrubber,
    ended: bool,
    _driving: Option<AbortOnDropHandle<()>>,
}

impl HttpBody for Passing {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        while !self.ended {
            let piece = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if self.scrubber.is_idle() => return Poll::Ready(Some(Ok(Frame::data(data)))),
                    Ok(data) => self.scrubber.push(&data),
                    Err(_trailers) => Vec::new(),
                },
                Some(Err(error)) => {
                    self.ended = true;
                    return Poll::Ready(Some(Err(error.into())));
                }
                None => {
                    self.ended = true;
                    self.scrubber.finish()
                }
            };
            if !piece.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(Bytes::from(piece)))));
            }
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.ended || (self.scrubber.is_idle() && self.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
