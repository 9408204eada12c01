//! One workspace's way out: its policy, its secrets, what it has used.

use super::{
    Egress, EgressError, Limits, Policy, Refusal, Target, Used,
    activity::{Activity, Watched},
    answer::{self, Body},
    authority::Authority,
    dial::{Dialer, Plain},
    environment, exchange,
    meter::{Allowance, Meter, Metered},
    secret::{Bound, BrokerSecret},
    tunnel::Tunnel,
};
use crate::domain::{network::NetworkCap, task::NetworkPolicy};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    sync::Semaphore,
    time::timeout,
};

const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;
/// How a request that is meant for a server, and not for a proxy, is answered.
const NOT_A_SERVER: &str = "network: this is the proxy of this workspace: it takes CONNECT host:port, and requests with the \
                            whole http:// URL, as programs send them that heed HTTP_PROXY and HTTPS_PROXY.\n";
const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-type: text/plain\r\n\r\n\
                      network refused: too many connections at once. Close some, or make fewer, and try again.\n";

/// What a workspace's way out is made of.
#[derive(Clone, Debug, Default)]
pub struct NewAccess {
    pub policy: NetworkPolicy,
    /// Each is exchanged at the hosts that it is bound to, where the policy lets the workspace reach them.
    pub secrets: Vec<BrokerSecret>,
    /// People can be asked for more hosts: refusals say so.
    pub asks: bool,
    /// Where its use is summed up, and what was used before under the policy's own limit.
    pub used: Used,
}

/// One workspace's way out. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Access {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    egress: Egress,
    policy: Policy,
    secrets: Vec<BrokerSecret>,
    asks: bool,
    /// There where any TLS is read.
    authority: Option<Authority>,
    used: Used,
    allowance: Arc<Allowance>,
    places: Semaphore,
}

impl Egress {
    /// A workspace's way out; none where it may reach nothing.
    pub fn access(&self, new: NewAccess) -> Result<Option<Access>, EgressError> {
        let NewAccess { policy, secrets, asks, used } = new;
        let limits = self.inner.limits;
        let own = policy.max_mib.map_or(u64::MAX, |mib| u64::from(mib) << 20);
        let policy = Policy::new(&policy, &self.inner.cap);
        if policy.is_off() {
            return Ok(None);
        }
        let reads_tls = policy.has_methods() || !secrets.is_empty();
        let authority = reads_tls.then(|| Authority::new(Arc::clone(&self.inner.provider))).transpose()?;
        let inner = Inner {
            egress: self.clone(),
            policy,
            secrets,
            asks,
            authority,
            allowance: Arc::new(Allowance::new(limits.workspace_bytes, own, used.clone())),
            used,
            places: Semaphore::new(limits.connections),
        };
        Ok(Some(Access { inner: Arc::new(inner) }))
    }

    /// What the operator lets tasks reach.
    pub fn cap(&self) -> &NetworkCap {
        &self.inner.cap
    }
}

impl Access {
    /// Variables for every command of the workspace.
    pub fn environment(&self) -> Vec<(String, String)> {
        environment::environment(&self.inner.secrets, self.bundle().is_some())
    }

    /// The content of [`super::BUNDLE`]; absent where the workspace needs no other certificates than its own.
    pub fn bundle(&self) -> Option<String> {
        let Inner { egress, authority, .. } = &*self.inner;
        let own = authority.as_ref().map(Authority::pem);
        (own.is_some() || egress.inner.own_roots).then(|| format!("{}{}", egress.inner.roots, own.unwrap_or_default()))
    }

    /// Serves one connection to its end. Dropped, the connection and all that it led to is cut.
    pub async fn serve<S>(&self, mut stream: S)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let limits = self.limits();
        let Ok(Ok(_place)) = timeout(limits.head, self.inner.places.acquire()).await else {
            // Whether it hears that or not, it is turned away.
            let _ = timeout(limits.head, stream.write_all(BUSY)).await;
            return;
        };
        let activity = Activity::new();
        tokio::select! {
            () = self.converse(stream, &activity) => {}
            () = activity.over(limits.idle, limits.life) => {}
        }
    }

    async fn converse<S>(&self, stream: S, activity: &Activity)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let tunnel: Mutex<Option<Tunnel>> = Mutex::default();
        let service = service_fn(|request| {
            let tunnel = &tunnel;
            async move { Ok::<_, Infallible>(self.answer(request, activity, tunnel).await) }
        });
        let stream = TokioIo::new(Watched::new(stream, activity.clone()));
        let served = self.server().serve_connection(stream, service).with_upgrades().await;
        let granted = tunnel.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let (Ok(()), Some(granted)) = (served, granted) {
            granted.run(self, activity).await;
        }
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        activity: &Activity,
        tunnel: &Mutex<Option<Tunnel>>,
    ) -> Response<Body> {
        let tunnelled = request.method() == Method::CONNECT;
        let target = match target(request.uri(), tunnelled) {
            Ok(target) => target,
            Err(why) => return answer::text(StatusCode::BAD_REQUEST, why.to_owned()),
        };
        let answered = if tunnelled {
            self.grant(request, &target).await.map(|granted| {
                *tunnel.lock().unwrap_or_else(PoisonError::into_inner) = Some(granted);
                answer::empty(StatusCode::OK)
            })
        } else {
            self.pass(request, &target, activity).await
        };
        answered.unwrap_or_else(|refusal| {
            self.refused(&target, &refusal);
            answer::refused(&refusal, &target, self.asks())
        })
    }

    async fn grant(&self, mut request: Request<Incoming>, target: &Target) -> Result<Tunnel, Refusal> {
        let target = self.check(target)?;
        let read = self.inner.policy.has_methods() || !Bound::of(&self.inner.secrets, &target).is_empty();
        let upstream = if read { None } else { Some(self.dialer().tunnel(&target).await?) };
        Ok(Tunnel { upgrade: hyper::upgrade::on(&mut request), target, upstream })
    }

    async fn pass(
        &self,
        request: Request<Incoming>,
        target: &Target,
        activity: &Activity,
    ) -> Result<Response<Body>, Refusal> {
        let target = self.check(target)?;
        self.check_method(request.method().as_str())?;
        let (mut parts, body) = request.into_parts();
        exchange::prepare(&mut parts, &target, HTTP_PORT)?;
        let Plain { stream, through_proxy, credentials } = self.dialer().plain(&target).await?;
        if through_proxy {
            let host = if target.port == HTTP_PORT { target.host.clone() } else { target.to_string() };
            let whole = format!("http://{host}{}", parts.uri);
            parts.uri = whole.parse::<Uri>().map_err(|_| Refusal::OtherHost)?;
            if let Some(value) = credentials.and_then(|value| HeaderValue::from_str(&value).ok()) {
                parts.headers.insert(header::PROXY_AUTHORIZATION, value);
            }
        }
        let stream = Metered::new(Watched::new(stream, activity.clone()), self.meter(&target));
        let limits = self.limits();
        let mut upstream = exchange::open(stream, limits.headers, limits.head_bytes).await?;
        let request = Request::from_parts(parts, exchange::body(body));
        let response = exchange::send(&mut upstream, request).await.map_err(|(refusal, _)| refusal)?;
        Ok(answer::passed(response, &super::Scrubber::default(), Some(upstream.driving)))
    }

    /// The target in its normal form, if it may be reached now.
    pub(super) fn check(&self, target: &Target) -> Result<Target, Refusal> {
        let target = self.inner.policy.check(target, &self.inner.egress.inner.addresses)?;
        if let Some(most) = self.inner.allowance.reached() {
            return Err(Refusal::Bytes(most >> 20));
        }
        Ok(target)
    }

    pub(super) fn check_method(&self, method: &str) -> Result<(), Refusal> {
        self.inner.policy.check_method(method)
    }

    /// For a new connection that is allowed.
    pub(super) fn meter(&self, target: &Target) -> Meter {
        let most = self.limits().connection_bytes;
        Meter {
            target: target.clone(),
            counts: self.inner.used.allowed(target),
            used: self.inner.used.clone(),
            allowance: Arc::clone(&self.inner.allowance),
            left: most,
            most,
            over: false,
        }
    }

    /// A further request over a connection that is open.
    pub(super) fn passed(&self, target: &Target) {
        self.inner.used.allowed(target);
    }

    pub(super) fn refused(&self, target: &Target, refusal: &Refusal) {
        self.inner.used.refused(target, refusal);
    }

    /// How requests are read, whoever sends them.
    pub(super) fn server(&self) -> http1::Builder {
        let limits = self.limits();
        let mut server = http1::Builder::new();
        server
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head)
            .max_headers(limits.headers)
            .max_header_size(limits.head_bytes)
            .max_buf_size(limits.head_bytes.max(8 << 10))
            .half_close(true);
        server
    }

    pub(super) fn limits(&self) -> Limits {
        self.inner.egress.inner.limits
    }

    pub(super) fn dialer(&self) -> &Dialer {
        &self.inner.egress.inner.dialer
    }

    pub(super) fn authority(&self) -> Option<&Authority> {
        self.inner.authority.as_ref()
    }

    pub(super) fn secrets(&self) -> &[BrokerSecret] {
        &self.inner.secrets
    }

    pub(super) fn asks(&self) -> bool {
        self.inner.asks
    }
}

/// Where a request wants to go; or what is wrong with it.
fn target(uri: &Uri, tunnelled: bool) -> Result<Target, &'static str> {
    let authority = uri.authority().ok_or(NOT_A_SERVER)?;
    if authority.as_str().contains('@') {
        return Err("network: the address must hold no user or password.\n");
    }
    let default_port = match (tunnelled, uri.scheme_str()) {
        (true, None) => HTTPS_PORT,
        (false, Some("http")) => HTTP_PORT,
        _ => return Err("network: only http:// is passed on like this; for https:// use CONNECT host:443.\n"),
    };
    let port = match authority.port_u16() {
        Some(port) if port > 0 => port,
        // What is no port is not taken for none.
        None if authority.as_str() == authority.host() => default_port,
        _ => return Err("network: the port must be a number from 1 to 65535.\n"),
    };
    Ok(Target { host: authority.host().to_ascii_lowercase(), port })
}
