//! One request to a host and its answer, in HTTP/1.1 (RFC 9110, RFC 9112).

use super::{
    Refusal, Target,
    answer::{Body, BoxError},
};
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Response, Uri, Version,
    header::{self, Entry},
    request,
};
use http_body_util::BodyExt;
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::task::AbortOnDropHandle;

/// Headers that are between two neighbours and not passed on (RFC 9110, 7.6.1).
const BETWEEN_NEIGHBOURS: [HeaderName; 7] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Takes out what is not passed on, with what the connection's own header names.
pub(super) fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&BETWEEN_NEIGHBOURS) {
        headers.remove(name);
    }
    headers.remove("keep-alive");
    headers.remove("proxy-connection");
}

/// Makes a request that came in one that goes out: to `target` and no other host, whatever its headers said.
pub(super) fn prepare(parts: &mut request::Parts, target: &Target, default_port: u16) -> Result<(), Refusal> {
    strip(&mut parts.headers);
    // The answer to it comes from here, when the body is first read.
    parts.headers.remove(header::EXPECT);
    let host = if target.port == default_port { target.host.clone() } else { target.to_string() };
    let host = HeaderValue::from_str(&host).map_err(|_| Refusal::OtherHost)?;
    match parts.headers.entry(header::HOST) {
        Entry::Occupied(mut entry) => drop(entry.insert_mult(host)),
        Entry::Vacant(entry) => drop(entry.insert(host)),
    }
    parts.version = Version::HTTP_11;
    parts.extensions.clear();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    parts.uri = path.parse::<Uri>().map_err(|_| Refusal::OtherHost)?;
    Ok(())
}

/// A connection to a host over which requests are made.
pub(super) struct Upstream {
    pub(super) sender: SendRequest<Body>,
    pub(super) driving: AbortOnDropHandle<()>,
}

pub(super) async fn open(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    headers_max: usize,
    head_bytes_max: usize,
) -> Result<Upstream, Refusal> {
    let mut builder = http1::Builder::new();
    builder.max_headers(headers_max).max_header_size(head_bytes_max).max_buf_size(head_bytes_max.max(8 << 10));
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(|error| unreached(&error))?;
    // It ends with what holds the handle; what ends it is told to whoever waits for the answer.
    let driving = AbortOnDropHandle::new(tokio::spawn(async move { drop(connection.await) }));
    Ok(Upstream { sender, driving })
}

/// Sends a request; gives it back where the connection was closed before any of it was sent.
pub(super) async fn send(
    upstream: &mut Upstream,
    request: Request<Body>,
) -> Result<Response<Incoming>, (Refusal, Option<Request<Body>>)> {
    upstream.sender.try_send_request(request).await.map_err(|mut error| {
        let unsent = error.take_message();
        (unreached(error.error()), unsent)
    })
}

pub(super) fn body(incoming: Incoming) -> Body {
    incoming.map_err(|error| -> BoxError { error.into() }).boxed_unsync()
}

fn unreached(error: &hyper::Error) -> Refusal {
    let why = if error.is_incomplete_message() {
        "it closed the connection before it answered"
    } else if error.is_parse() {
        "its answer is no HTTP, or larger than allowed"
    } else {
        "the connection broke off"
    };
    Refusal::Unreached(why.to_owned())
}
