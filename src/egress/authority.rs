//! The certificate authority of one workspace: it vouches for the hosts whose TLS is read, to that workspace alone.
//!
//! Its key is made in memory and goes nowhere.

use super::EgressError;
use crate::clock;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::{
    ServerConfig,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};
use time::Duration;

/// Longer than any workspace is open, with room for clocks that differ.
const VALID: Duration = Duration::days(30);
const SKEW: Duration = Duration::days(1);
/// Hosts whose certificates are kept.
const KEPT_MAX: usize = 64;

pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Of all hosts' certificates.
    key: KeyPair,
    certificate: CertificateDer<'static>,
    pem: String,
    provider: Arc<CryptoProvider>,
    made: Mutex<HashMap<String, Arc<ServerConfig>>>,
}

impl Authority {
    pub(super) fn new(provider: Arc<CryptoProvider>) -> Result<Self, EgressError> {
        let mut params = CertificateParams::new(Vec::<String>::new()).map_err(failed)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.distinguished_name.push(DnType::CommonName, "Journeyman workspace proxy");
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        dated(&mut params);
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = params.self_signed(&key).map_err(failed)?;
        Ok(Self {
            pem: certificate.pem(),
            certificate: certificate.der().clone(),
            issuer: Issuer::new(params, key),
            key: KeyPair::generate().map_err(failed)?,
            provider,
            made: Mutex::default(),
        })
    }

    /// The authority's own certificate.
    pub(super) fn pem(&self) -> &str {
        &self.pem
    }

    /// How to speak TLS as `host`.
    pub(super) fn server(&self, host: &str) -> Result<Arc<ServerConfig>, EgressError> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = made.get(host) {
            return Ok(Arc::clone(config));
        }
        let name = host.trim_start_matches('[').trim_end_matches(']');
        let mut params = CertificateParams::new(vec![name.to_owned()]).map_err(failed)?;
        // A common name has room for 64 characters; nobody looks at it.
        params.distinguished_name.push(DnType::CommonName, "Journeyman workspace proxy, host");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        dated(&mut params);
        let leaf = params.signed_by(&self.key, &self.issuer).map_err(failed)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let chain = vec![leaf.der().clone(), self.certificate.clone()];
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(failed)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let config = Arc::new(config);
        if made.len() >= KEPT_MAX {
            made.clear();
        }
        made.insert(host.to_owned(), Arc::clone(&config));
        Ok(config)
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

fn dated(params: &mut CertificateParams) {
    let now = clock::now().0;
    params.not_before = now - SKEW;
    params.not_after = now + VALID;
}

fn failed(error: impl std::fmt::Display) -> EgressError {
    EgressError::Certificates { reason: error.to_string() }
}
