//! TLS that is read: for hosts that a secret is bound to, and where only some methods may be used.

use super::{
    Access, Refusal, Target,
    activity::{Activity, Watched},
    answer::{self, Body},
    exchange::{self, Upstream},
    meter::Metered,
    secret::Bound,
};
use http::{HeaderValue, Request, Response, StatusCode, Uri, header};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{convert::Infallible, sync::Arc};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Mutex,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

const HTTPS_PORT: u16 = 443;

struct Intercepted<'a> {
    access: &'a Access,
    target: Target,
    bound: Bound,
    activity: &'a Activity,
    /// One at a time, as requests of one connection come.
    upstream: Mutex<Option<Upstream>>,
}

/// Speaks TLS with the workspace as the host, and with the host as a client, until either has had enough.
pub(super) async fn intercept<S>(access: &Access, target: Target, client: S, activity: &Activity)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let Some(config) = access.authority().and_then(|authority| authority.server(&target.host).ok()) else {
        tracing::warn!(host = target.host, "no certificate could be made for a host");
        return;
    };
    let limits = access.limits();
    let Ok(Ok(client)) = timeout(limits.connect, TlsAcceptor::from(config).accept(client)).await else {
        access.refused(&target, &Refusal::Unreached("the workspace does not trust the proxy's certificate".to_owned()));
        return;
    };
    let bound = Bound::of(access.secrets(), &target);
    let intercepted = Arc::new(Intercepted { access, target, bound, activity, upstream: Mutex::default() });
    let service = service_fn(|request| {
        let intercepted = Arc::clone(&intercepted);
        async move { Ok::<_, Infallible>(intercepted.answer(request).await) }
    });
    // A client that goes is nobody to tell.
    let _ = access.server().serve_connection(TokioIo::new(client), service).await;
}

impl Intercepted<'_> {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        match self.exchange(request).await {
            Ok(response) => response,
            Err(refusal) => {
                self.access.refused(&self.target, &refusal);
                answer::refused(&refusal, &self.target, self.access.asks())
            }
        }
    }

    async fn exchange(&self, request: Request<Incoming>) -> Result<Response<Body>, Refusal> {
        let access = self.access;
        access.check(&self.target)?;
        access.check_method(request.method().as_str())?;
        let (mut parts, body) = request.into_parts();
        if !self.is_named(parts.headers.get(header::HOST), &parts.uri) {
            return Err(Refusal::OtherHost);
        }
        exchange::prepare(&mut parts, &self.target, HTTPS_PORT)?;
        self.bound.fill(&mut parts.headers)?;
        if let Some(filled) = parts.uri.path_and_query().and_then(|path| self.bound.fill_path(path.as_str())) {
            parts.uri = filled.parse::<Uri>().map_err(|_| Refusal::Secret("in the address".to_owned()))?;
        }
        let scrubber = self.bound.scrubber();
        if !scrubber.is_idle() {
            parts.headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        let response = self.send(Request::from_parts(parts, exchange::body(body))).await?;
        let encoded = response.headers().get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity");
        if encoded && !scrubber.is_idle() {
            return Err(Refusal::Encoded);
        }
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Refusal::Unreached("it speaks another protocol".to_owned()));
        }
        Ok(answer::passed(response, &scrubber, None))
    }

    /// The request is for the host that was connected to: a server may hold many.
    fn is_named(&self, host: Option<&HeaderValue>, uri: &Uri) -> bool {
        let bare = |text: &str| {
            let text = text.to_ascii_lowercase();
            let port = format!(":{}", self.target.port);
            text.strip_suffix(&port).unwrap_or(&text).trim_end_matches('.').to_owned()
        };
        let of_header = host.and_then(|host| host.to_str().ok()).map(bare);
        let of_uri = uri.authority().map(|authority| bare(authority.as_str()));
        of_header.as_ref().or(of_uri.as_ref()) == Some(&self.target.host)
            && of_uri.is_none_or(|named| named == self.target.host)
    }

    async fn send(&self, request: Request<Body>) -> Result<Response<Incoming>, Refusal> {
        let mut kept = self.upstream.lock().await;
        let mut request = request;
        if let Some(mut upstream) = kept.take()
            && upstream.sender.ready().await.is_ok()
        {
            match exchange::send(&mut upstream, request).await {
                Ok(response) => {
                    self.access.passed(&self.target);
                    *kept = Some(upstream);
                    return Ok(response);
                }
                Err((_, Some(unsent))) => request = unsent,
                Err((refusal, None)) => return Err(refusal),
            }
        }
        let access = self.access;
        let stream = access.dialer().tls(&self.target).await?;
        let stream = Metered::new(Watched::new(stream, self.activity.clone()), access.meter(&self.target));
        let limits = access.limits();
        let mut upstream = exchange::open(stream, limits.headers, limits.head_bytes).await?;
        let response = exchange::send(&mut upstream, request).await.map_err(|(refusal, _)| refusal)?;
        *kept = Some(upstream);
        Ok(response)
    }
}
