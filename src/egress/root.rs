//! What all workspaces of a process share: the address rules, the way out, whom TLS trusts, limits.

use super::dial::Dialer;
use crate::{
    domain::network::NetworkCap,
    net::{AddressPolicy, Outgoing},
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, pem::PemObject},
};
use std::{sync::Arc, time::Duration};

const MIB: u64 = 1 << 20;

/// Why the proxy cannot be set up.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EgressError {
    #[error("certificates: {reason}")]
    Certificates { reason: String },
}

/// Limits on one workspace's network.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once; further ones wait for [`Limits::head`] and are then refused.
    pub connections: usize,
    /// Bytes of a request's head, and of an answer's; at least 8 KiB.
    pub head_bytes: usize,
    pub headers: usize,
    /// How long a request's head, or a tunnel's first message, may take.
    pub head: Duration,
    /// Resolving, connecting and agreeing on TLS, each.
    pub connect: Duration,
    /// How long nothing may move on a connection.
    pub idle: Duration,
    /// How old a connection may become.
    pub life: Duration,
    /// In and out together.
    pub connection_bytes: u64,
    pub workspace_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 64,
            head_bytes: 32 << 10,
            headers: 100,
            head: Duration::from_secs(30),
            connect: Duration::from_secs(15),
            idle: Duration::from_secs(180),
            life: Duration::from_secs(3600),
            connection_bytes: 2048 * MIB,
            workspace_bytes: 8192 * MIB,
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct EgressSettings {
    pub addresses: AddressPolicy,
    pub outgoing: Outgoing,
    pub cap: NetworkCap,
    pub limits: Limits,
}

/// The way out of workspaces. One per process; cheap to clone.
#[derive(Clone, Debug)]
pub struct Egress {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) addresses: AddressPolicy,
    pub(super) cap: NetworkCap,
    pub(super) limits: Limits,
    pub(super) dialer: Dialer,
    pub(super) provider: Arc<CryptoProvider>,
    /// The machine's certificates and the operator's own, as PEM.
    pub(super) roots: String,
    /// The operator has certificates of his own, which no workspace knows by itself.
    pub(super) own_roots: bool,
}

impl Egress {
    /// Reads the certificates that are trusted.
    pub fn new(settings: EgressSettings) -> Result<Self, EgressError> {
        let EgressSettings { addresses, outgoing, cap, limits } = settings;
        let failed = |reason: String| EgressError::Certificates { reason };
        let mut certificates = rustls_native_certs::load_native_certs().certs;
        let own = match &outgoing.ca_file {
            Some(path) => CertificateDer::pem_file_iter(path)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(|error| failed(format!("JOURNEYMAN_CA_FILE: {error}")))?,
            None => Vec::new(),
        };
        let own_roots = !own.is_empty();
        certificates.extend(own);
        let mut store = RootCertStore::empty();
        let (_, unusable) = store.add_parsable_certificates(certificates.iter().cloned());
        if unusable > 0 {
            tracing::debug!(unusable, "some certificates of the machine cannot be read");
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(error.to_string()))?
            .with_root_certificates(store)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let dialer = Dialer::new(addresses.clone(), outgoing, Arc::new(config), limits.connect);
        let roots = certificates.iter().map(|der| pem(der)).collect();
        Ok(Self { inner: Arc::new(Inner { addresses, cap, limits, dialer, provider, roots, own_roots }) })
    }
}

/// A certificate as programs read it from a file (RFC 7468).
fn pem(der: &[u8]) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let text = STANDARD.encode(der);
    let mut pem = String::with_capacity(text.len() + 100);
    pem.push_str("-----BEGIN CERTIFICATE-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}
