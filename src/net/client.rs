//! The HTTP client for URLs that others chose: webhooks, key sets, trackers.
//!
//! It connects to checked addresses only, follows no redirect (a redirect's target was checked by
//! nobody) and takes a proxy and certificates from settings, never from the environment.

use super::{
    address::{AddressPolicy, NetError},
    waits::retry_after,
};
use http::HeaderMap;
use reqwest::{
    Certificate, Method, NoProxy, Proxy, RequestBuilder,
    dns::{Addrs, Name, Resolve, Resolving},
};
use std::{path::PathBuf, sync::Arc, time::Duration};
use url::Url;

/// How connections leave the house: for everything that goes out, from settings.
#[derive(Clone, Debug, Default)]
pub struct Outgoing {
    /// `http://[user:password@]host:port`; the operator's own, so it may be private.
    pub proxy: Option<Url>,
    /// Hosts that are reached without it, as in `NO_PROXY`: comma-separated.
    pub no_proxy: String,
    /// Certificates (PEM) to trust beside the machine's.
    pub ca_file: Option<PathBuf>,
}

impl Outgoing {
    /// Whether a request to `host` goes through the proxy.
    pub fn uses_proxy(&self, host: &str) -> bool {
        self.proxy.is_some() && !self.bypasses_proxy(host)
    }

    fn bypasses_proxy(&self, host: &str) -> bool {
        let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        self.no_proxy.split(',').map(|entry| entry.trim().trim_start_matches('.').to_ascii_lowercase()).any(|entry| {
            if let (Ok(network), Ok(address)) = (entry.parse::<ipnet::IpNet>(), host.parse::<std::net::IpAddr>()) {
                return network.contains(&address);
            }
            entry == "*"
                || (!entry.is_empty()
                    && (host == entry || host.strip_suffix(&entry).is_some_and(|rest| rest.ends_with('.'))))
        })
    }
}

/// Limits on one request's waits.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    pub connect: Duration,
    /// Between two reads of the answer.
    pub read: Duration,
    /// The whole request; absent for streams, whose owner sets his own.
    pub total: Option<Duration>,
}

/// A client whose every request has its address checked. Cheap to clone.
#[derive(Clone, Debug)]
pub struct CheckedClient {
    client: reqwest::Client,
    policy: AddressPolicy,
    outgoing: Arc<Outgoing>,
}

impl CheckedClient {
    pub fn new(policy: AddressPolicy, outgoing: &Outgoing, timeouts: Timeouts) -> Result<Self, NetError> {
        let failed = |reason: String| NetError::Client { reason };
        let proxy_host = outgoing.proxy.as_ref().and_then(|url| url.host_str()).map(str::to_owned);
        let resolver = CheckedResolver { policy: policy.clone(), proxy_host };
        #[expect(clippy::disallowed_methods, reason = "this is the client that checks addresses")]
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .dns_resolver(Arc::new(resolver))
            .connect_timeout(timeouts.connect)
            .read_timeout(timeouts.read);
        if let Some(total) = timeouts.total {
            builder = builder.timeout(total);
        }
        if let Some(proxy) = &outgoing.proxy {
            let proxy = Proxy::all(proxy.as_str()).map_err(|error| failed(error.without_url().to_string()))?;
            builder = builder.proxy(proxy.no_proxy(NoProxy::from_string(&outgoing.no_proxy)));
        }
        if let Some(path) = &outgoing.ca_file {
            let pem = std::fs::read(path).map_err(|error| failed(format!("certificate file: {error}")))?;
            let certificates =
                Certificate::from_pem_bundle(&pem).map_err(|error| failed(format!("certificate file: {error}")))?;
            builder = builder.tls_certs_merge(certificates);
        }
        let client = builder.build().map_err(|error| failed(error.to_string()))?;
        Ok(Self { client, policy, outgoing: Arc::new(outgoing.clone()) })
    }

    /// Starts a request to `url` (http or https, no credentials in it), whose host is checked now where it is an address
    /// and when it is resolved where it is a name.
    pub fn request(&self, method: Method, url: &Url) -> Result<RequestBuilder, NetError> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(NetError::InvalidUrl { reason: "only http and https are spoken here" });
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(NetError::InvalidUrl { reason: "it must not hold credentials" });
        }
        self.policy.check_url(url)?;
        Ok(self.client.request(method, url.clone()))
    }

    /// Refuses what [`Self::request`] cannot see: plain http to a host that has a public address, where anybody on the way could
    /// answer in its stead; and a host that goes through the proxy and means, as far as this machine can tell, an address that
    /// may not be reached: the proxy resolves it for itself.
    pub async fn vet(&self, url: &Url) -> Result<(), NetError> {
        self.policy.refuse_plain(url).await?;
        let host = url.host_str().ok_or(NetError::InvalidUrl { reason: "it has no host" })?;
        if !self.outgoing.uses_proxy(host) {
            return Ok(());
        }
        match self.policy.resolve(host, url.port_or_known_default().unwrap_or(443)).await {
            Ok(_) | Err(NetError::Unresolved { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// What keeps a small answer from being had.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error(transparent)]
    Address(#[from] NetError),
    /// It could not be reached, or was silent for too long.
    #[error("{0}")]
    Failed(String),
    #[error("it answered with more than {limit_bytes} bytes")]
    TooLarge { limit_bytes: usize },
}

/// An answer, read whole.
#[derive(Clone, Debug)]
pub struct Fetched {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

/// Sends a request and reads its answer, of which no more than `limit_bytes` is ever held.
pub async fn fetch(request: RequestBuilder, limit_bytes: usize) -> Result<Fetched, FetchError> {
    let failed = |error: reqwest::Error| FetchError::Failed(chain(&error.without_url()));
    let mut answer = request.send().await.map_err(failed)?;
    let (status, headers) = (answer.status().as_u16(), std::mem::take(answer.headers_mut()));
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(failed)? {
        if body.len() + piece.len() > limit_bytes {
            return Err(FetchError::TooLarge { limit_bytes });
        }
        body.extend_from_slice(&piece);
    }
    Ok(Fetched { status, headers, body })
}

/// What an answer begins with.
#[derive(Clone, Debug)]
pub struct Beginning {
    pub status: u16,
    /// What `Retry-After` asks for.
    pub retry_after: Option<Duration>,
    pub body: Vec<u8>,
}

/// Sends a request and reads what its answer begins with, at most `limit_bytes`; what follows, and what breaks it off, is of no
/// interest.
pub async fn fetch_beginning(request: RequestBuilder, limit_bytes: usize) -> Result<Beginning, FetchError> {
    let sent = request.send().await;
    let mut answer = sent.map_err(|error| FetchError::Failed(chain(&error.without_url())))?;
    let retry_after = retry_after(answer.headers());
    let (status, mut body) = (answer.status().as_u16(), Vec::new());
    while body.len() < limit_bytes
        && let Ok(Some(piece)) = answer.chunk().await
    {
        body.extend_from_slice(&piece[..piece.len().min(limit_bytes - body.len())]);
    }
    Ok(Beginning { status, retry_after, body })
}

/// An error with what caused it: the outer text alone says too little.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

/// Resolves through the policy; what it gives is what is connected to.
struct CheckedResolver {
    policy: AddressPolicy,
    /// The operator's own proxy, which is not checked.
    proxy_host: Option<String>,
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = self.policy.clone();
        let trusted = self.proxy_host.as_deref() == Some(name.as_str());
        Box::pin(async move {
            let host = name.as_str();
            // the port is filled in by the connector
            let addresses = if trusted {
                tokio::net::lookup_host((host, 0)).await?.collect()
            } else {
                policy.resolve(host, 0).await?
            };
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}
