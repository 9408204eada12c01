//! An engine behind TCP, which knows whom it speaks to by certificates of a private authority.

use crate::support::{
    engine::{self, BUSYBOX, Engine},
    sandbox::{Copy, output},
};
use journeyman::workspace::{BackendSettings, SandboxSettings, Sandboxes};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use std::path::Path;
use tempfile::TempDir;

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "an authority of engines");
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A directory as Docker's clients have it, trusting `trusted`.
    fn certify(&self, purpose: ExtendedKeyUsagePurpose, trusted: &Self) -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.extended_key_usages = vec![purpose];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let files =
            [("ca.pem", trusted.pem.clone()), ("cert.pem", certificate.pem()), ("key.pem", key.serialize_pem())];
        for (name, content) in files {
            std::fs::write(dir.path().join(name), content).unwrap();
        }
        dir
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_behind_tls_is_spoken_to_with_certificates_and_by_nobody_else() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let server = authority.certify(ExtendedKeyUsagePurpose::ServerAuth, &authority);
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let file = |name: &str| server.path().join(name).display().to_string();
    let words = [
        "--host",
        &format!("tcp://127.0.0.1:{port}"),
        "--tlsverify",
        "--tlscacert",
        &file("ca.pem"),
        "--tlscert",
        &file("cert.pem"),
        "--tlskey",
        &file("key.pem"),
    ];
    let engine = Engine::with(words.map(str::to_owned).to_vec()).await;
    let settings = |data_dir: &Path, certificates: &Path| -> SandboxSettings {
        let mut settings = engine.settings(data_dir, BUSYBOX);
        if let BackendSettings::Docker(docker) = &mut settings.backend {
            docker.address = format!("tcp://127.0.0.1:{port}").parse().unwrap();
            docker.cert_dir = Some(certificates.to_owned());
        }
        settings
    };
    let client = authority.certify(ExtendedKeyUsagePurpose::ClientAuth, &authority);
    let copy = Copy::with(|data_dir| settings(data_dir, client.path())).await;
    let workspace = copy.open().await;
    assert_eq!(output(&workspace, "seq 100000 | tail -n 1; echo inside > file").await, "100000\n");
    assert_eq!(std::fs::read_to_string(copy.path.join("file")).unwrap(), "inside\n");
    workspace.close().await;
    assert_eq!(engine.containers(&copy.task.to_string()).await, [""; 0]);

    let unknown = stranger.certify(ExtendedKeyUsagePurpose::ClientAuth, &authority);
    let untrusting = authority.certify(ExtendedKeyUsagePurpose::ClientAuth, &stranger);
    for (name, certificates) in [("a client of another authority", &unknown), ("an engine of another", &untrusting)] {
        let data_dir = engine::data_dir();
        let error = Sandboxes::new(settings(data_dir.path(), certificates.path())).await.unwrap_err().to_string();
        assert!(error.contains(&format!("tcp://127.0.0.1:{port} is not reached")), "{name}: {error}");
        assert!(error.contains("ertificate"), "{name}: {error}");
    }
}
