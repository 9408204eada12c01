//! Connections to hosts: by name, to an address that was resolved and checked here; or through the operator's own
//! proxy, within the same rules.

use super::{Refusal, Target};
use crate::net::{AddressPolicy, NetError, Outgoing};
use base64::{Engine, engine::general_purpose::STANDARD};
use percent_encoding::percent_decode_str;
use rustls::{ClientConfig, pki_types::ServerName};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use url::Url;

/// The answer of the operator's proxy to a CONNECT.
const PROXY_HEAD_BYTES_MAX: usize = 16 << 10;
/// How long a name that the operator's proxy resolves may take to resolve here.
const LOOK_BEFORE_PROXY: Duration = Duration::from_secs(3);

pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}
pub(super) type BoxStream = Box<dyn Stream>;

/// A connection that plain HTTP can be spoken over.
pub(super) struct Plain {
    pub(super) stream: BoxStream,
    /// It leads to the operator's proxy: requests name the whole URL.
    pub(super) through_proxy: bool,
    /// For that proxy.
    pub(super) credentials: Option<String>,
}

#[derive(Debug)]
pub(super) struct Dialer {
    addresses: AddressPolicy,
    outgoing: Outgoing,
    tls: Arc<ClientConfig>,
    patience: Duration,
}

impl Dialer {
    pub(super) fn new(
        addresses: AddressPolicy,
        outgoing: Outgoing,
        tls: Arc<ClientConfig>,
        patience: Duration,
    ) -> Self {
        Self { addresses, outgoing, tls, patience }
    }

    /// Bytes to and from the target itself.
    pub(super) async fn tunnel(&self, target: &Target) -> Result<BoxStream, Refusal> {
        match self.proxy_for(target) {
            None => Ok(Box::new(self.direct(target).await?)),
            Some(proxy) => self.through(proxy, target).await,
        }
    }

    /// For requests in plain HTTP.
    pub(super) async fn plain(&self, target: &Target) -> Result<Plain, Refusal> {
        match self.proxy_for(target) {
            None => Ok(Plain { stream: Box::new(self.direct(target).await?), through_proxy: false, credentials: None }),
            Some(proxy) => {
                self.look(target).await?;
                let stream = self.to_proxy(proxy).await?;
                Ok(Plain { stream, through_proxy: true, credentials: credentials(proxy) })
            }
        }
    }

    /// TLS with the target, whose certificate must be good.
    pub(super) async fn tls(&self, target: &Target) -> Result<BoxStream, Refusal> {
        let stream = self.tunnel(target).await?;
        Ok(Box::new(self.secured(&target.host, stream).await?))
    }

    async fn secured(&self, host: &str, stream: BoxStream) -> Result<impl Stream + use<>, Refusal> {
        let name = ServerName::try_from(host.trim_start_matches('[').trim_end_matches(']').to_owned())
            .map_err(|_| Refusal::Unreached("no name that TLS can ask for".to_owned()))?;
        let handshake = TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream);
        match timeout(self.patience, handshake).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(Refusal::Unreached(format!("TLS: {error}"))),
            Err(_) => Err(Refusal::Unreached("TLS: timed out".to_owned())),
        }
    }

    fn proxy_for(&self, target: &Target) -> Option<&Url> {
        self.outgoing.proxy.as_ref().filter(|_| self.outgoing.uses_proxy(&target.host))
    }

    async fn direct(&self, target: &Target) -> Result<TcpStream, Refusal> {
        let addresses = self.addresses.resolve(&target.host, target.port).await.map_err(refused)?;
        connect(&addresses, self.patience).await
    }

    /// The operator's proxy resolves for itself. What can be known here is checked here: a name that leads to a
    /// forbidden address from here is refused; one that is not known here is the proxy's to judge.
    async fn look(&self, target: &Target) -> Result<(), Refusal> {
        match timeout(LOOK_BEFORE_PROXY, self.addresses.resolve(&target.host, target.port)).await {
            Ok(Ok(_) | Err(NetError::Unresolved { .. })) | Err(_) => Ok(()),
            Ok(Err(error)) => Err(refused(error)),
        }
    }

    async fn through(&self, proxy: &Url, target: &Target) -> Result<BoxStream, Refusal> {
        self.look(target).await?;
        let mut stream = self.to_proxy(proxy).await?;
        let credentials = credentials(proxy).map(|value| format!("Proxy-Authorization: {value}\r\n"));
        let head = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{}\r\n", credentials.unwrap_or_default());
        let asking = async {
            stream.write_all(head.as_bytes()).await?;
            answer(&mut stream).await
        };
        match timeout(self.patience, asking).await {
            Ok(Ok(200..=299)) => Ok(stream),
            Ok(Ok(status)) => Err(Refusal::Unreached(format!("the operator's proxy answers {status}"))),
            Ok(Err(error)) => Err(Refusal::Unreached(format!("the operator's proxy: {error}"))),
            Err(_) => Err(Refusal::Unreached("the operator's proxy does not answer".to_owned())),
        }
    }

    /// The proxy is the operator's own choice, so its address is not checked.
    async fn to_proxy(&self, proxy: &Url) -> Result<BoxStream, Refusal> {
        let absent = || Refusal::Unreached("the operator's proxy is not there".to_owned());
        let (host, port) = proxy.host_str().zip(proxy.port_or_known_default()).ok_or_else(absent)?;
        let name = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let found = timeout(self.patience, tokio::net::lookup_host((name, port))).await;
        let addresses: Vec<SocketAddr> = found.map_err(|_| absent())?.map_err(|_| absent())?.collect();
        let stream: BoxStream = Box::new(connect(&addresses, self.patience).await.map_err(|_| absent())?);
        if proxy.scheme() == "https" { Ok(Box::new(self.secured(host, stream).await?)) } else { Ok(stream) }
    }
}

async fn connect(addresses: &[SocketAddr], patience: Duration) -> Result<TcpStream, Refusal> {
    match timeout(patience, TcpStream::connect(addresses)).await {
        Ok(Ok(stream)) => {
            // Small requests wait for nobody; where it cannot be set they are only slower.
            let _ = stream.set_nodelay(true);
            Ok(stream)
        }
        Ok(Err(error)) => Err(Refusal::Unreached(error.kind().to_string())),
        Err(_) => Err(Refusal::Unreached("connecting timed out".to_owned())),
    }
}

fn refused(error: NetError) -> Refusal {
    match error {
        NetError::Unresolved { reason, .. } => Refusal::Unreached(format!("the name cannot be resolved: {reason}")),
        other => Refusal::Address(other.to_string()),
    }
}

fn credentials(proxy: &Url) -> Option<String> {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let user = decoded(proxy.username());
    let password = proxy.password().map(decoded);
    (!user.is_empty() || password.is_some())
        .then(|| format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.unwrap_or_default()))))
}

/// The status of an answer's head; nothing behind the head is read.
async fn answer(stream: &mut BoxStream) -> std::io::Result<u16> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= PROXY_HEAD_BYTES_MAX {
            return Err(std::io::Error::other("its answer is too long"));
        }
        head.push(stream.read_u8().await?);
    }
    let text = String::from_utf8_lossy(&head);
    let status = text.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)).and_then(|code| code.parse().ok());
    status.ok_or_else(|| std::io::Error::other("its answer is no HTTP"))
}
