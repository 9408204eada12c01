//! Servers on the loopback under names of their own, with certificates of a private authority, and a proxy before them.

use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use journeyman::{
    domain::task::{NetworkMode, NetworkPolicy},
    egress::{Access, BrokerSecret, Egress, EgressSettings, Limits, NewAccess, Taken, Used},
    net::{AddressPolicy, Outgoing},
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::IpAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    process::Command,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// Names that lead to the loopback.
pub(super) const NAMES: [&str; 5] = ["a.test", "b.test", "registry.test", "git.test", "sub.registry.test"];

/// A private authority.
pub(super) struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pub(super) file: PathBuf,
    _dir: TempDir,
}

impl Ca {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Another name than its hosts have, or they count as self-signed.
        params.distinguished_name.push(DnType::CommonName, "an authority");
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ca.pem");
        std::fs::write(&file, certificate.pem()).unwrap();
        Self { issuer: Issuer::new(params, key), file, _dir: dir }
    }

    pub(super) fn server(&self, names: &[&str]) -> Arc<ServerConfig> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(names).unwrap().signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key);
        Arc::new(config.unwrap())
    }
}

/// A request as a server saw it.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) line: String,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: String,
}

pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;
pub(super) type Answer = http::Response<Body>;

pub(super) fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
    let mut response = http::Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(Full::new(body.into()).boxed_unsync()).unwrap()
}

/// A server on the loopback that notes what it is asked.
pub(super) struct Site {
    pub(super) port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<Mutex<u32>>,
    task: JoinHandle<()>,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Site {
    pub(super) async fn http(handler: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Self {
        Self::start(None, handler).await
    }

    pub(super) async fn https(
        tls: Arc<ServerConfig>,
        handler: impl Fn(&Seen) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::start(Some(tls), handler).await
    }

    async fn start(tls: Option<Arc<ServerConfig>>, handler: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Self {
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let (noted, handler) = (Arc::clone(&seen), Arc::new(handler));
        let mut site = Self::raw(move |stream| {
            let (tls, noted, handler) = (tls.clone(), Arc::clone(&noted), Arc::clone(&handler));
            async move {
                match tls {
                    None => converse(stream, noted, handler).await,
                    Some(tls) => {
                        if let Ok(stream) = TlsAcceptor::from(tls).accept(stream).await {
                            converse(stream, noted, handler).await;
                        }
                    }
                }
            }
        })
        .await;
        site.seen = seen;
        site
    }

    /// A server that does with each connection what it likes.
    pub(super) async fn raw<F: Future<Output = ()> + Send + 'static>(
        serve: impl Fn(TcpStream) -> F + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections: Arc<Mutex<u32>> = Arc::default();
        let counted = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                *counted.lock().unwrap() += 1;
                tokio::spawn(serve(stream));
            }
        });
        Self { port, seen: Arc::default(), connections, task }
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(super) fn connections(&self) -> u32 {
        *self.connections.lock().unwrap()
    }
}

async fn converse<S>(
    stream: S,
    noted: Arc<Mutex<Vec<Seen>>>,
    handler: Arc<impl Fn(&Seen) -> Answer + Send + Sync + 'static>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request: http::Request<Incoming>| {
        let (noted, handler) = (Arc::clone(&noted), Arc::clone(&handler));
        async move {
            let line = format!("{} {}", request.method(), request.uri());
            let headers = request
                .headers()
                .iter()
                .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
                .collect();
            let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            let seen = Seen { line, headers, body: String::from_utf8_lossy(&body).into_owned() };
            noted.lock().unwrap().push(seen.clone());
            Ok::<_, Infallible>(handler(&seen))
        }
    });
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

pub(super) fn addresses() -> AddressPolicy {
    let names = NAMES.iter().map(|name| ((*name).to_owned(), vec![IpAddr::from([127, 0, 0, 1])])).collect();
    AddressPolicy::new(&["127.0.0.0/8"]).unwrap().with_names(names)
}

pub(super) fn egress(ca: &Ca, limits: Limits) -> Egress {
    let outgoing = Outgoing { ca_file: Some(ca.file.clone()), ..Outgoing::default() };
    Egress::new(EgressSettings { addresses: addresses(), outgoing, limits, ..EgressSettings::default() }).unwrap()
}

pub(super) fn allowlist(hosts: &[String]) -> NetworkPolicy {
    NetworkPolicy { mode: NetworkMode::Allowlist, hosts: hosts.to_vec(), ..NetworkPolicy::default() }
}

pub(super) fn open(egress: &Egress, hosts: &[String]) -> (Access, Used) {
    with_secrets(egress, hosts, Vec::new())
}

pub(super) fn with_secrets(egress: &Egress, hosts: &[String], secrets: Vec<BrokerSecret>) -> (Access, Used) {
    let used = Used::default();
    let new = NewAccess { policy: allowlist(hosts), secrets, asks: false, used: used.clone() };
    (egress.access(new).unwrap().unwrap(), used)
}

/// Says these bytes to the proxy and hears all that it answers.
pub(super) async fn say(access: &Access, bytes: &[u8]) -> Vec<u8> {
    let (near, far) = tokio::io::duplex(1 << 20);
    let serving = access.serve(near);
    let (mut read, mut write) = tokio::io::split(far);
    let talking = async {
        let _ = write.write_all(bytes).await;
        let _ = write.shutdown().await;
        let mut heard = Vec::new();
        let _ = read.read_to_end(&mut heard).await;
        heard
    };
    let both = async { tokio::join!(serving, talking).1 };
    tokio::time::timeout(PATIENCE, both).await.expect("the proxy ends what it cannot pass on")
}

pub(super) async fn say_text(access: &Access, text: &str) -> String {
    String::from_utf8_lossy(&say(access, text.as_bytes()).await).into_owned()
}

/// The proxy on a port of the loopback, for programs.
pub(super) struct Served {
    pub(super) url: String,
    task: JoinHandle<()>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(super) async fn serve(access: &Access) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let access = access.clone();
    let task = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let access = access.clone();
            tokio::spawn(async move { access.serve(stream).await });
        }
    });
    Served { url, task }
}

/// What curl says through the proxy: exit code, and output and errors together. `ca`: whom it trusts.
pub(super) async fn curl(proxy: &Served, ca: &std::path::Path, arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "15", "--proxy", &proxy.url, "--cacert"]).arg(ca);
    let output = command.args(arguments).output().await.unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8_lossy(&text).into_owned())
}

/// What was used, as lines.
pub(super) fn lines(used: &Used) -> Vec<String> {
    let Taken { hosts, others, .. } = used.take();
    assert_eq!(others, 0);
    let line = |used: &journeyman::domain::network::NetworkUse| {
        let reason = used.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
        format!("{} {:?} {}{reason}", used.host, used.outcome, used.requests)
    };
    let mut lines: Vec<String> = hosts.iter().map(line).collect();
    lines.sort();
    lines
}
