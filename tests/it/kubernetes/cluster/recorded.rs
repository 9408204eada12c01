//! Records the conversation that `make test` replays: a service's start, as it is with the real API server.

use crate::{
    kubernetes::{
        recording::{self, Exchange, POD, Piece, body, field, head},
        stand_in,
    },
    support::{
        cluster::{self, BUSYBOX, Cluster},
        engine::data_dir,
    },
};
use journeyman::workspace::{BackendSettings, Sandboxes};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use std::sync::{Arc, Mutex};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

type Tape = Arc<Mutex<Vec<Exchange>>>;

/// Passes one connection's requests on, one connection to the real server for each.
async fn pass(mut client: TcpStream, cluster: &'static Cluster, tape: Tape) {
    while let Some((asked, begun)) = head(&mut client).await {
        let sent = body(&asked, begun, &mut client).await;
        let mut server = connect(cluster).await;
        let upgrade = field(&asked, "upgrade").is_some();
        let first = asked.lines().next().unwrap();
        let mut to_server = format!("{first}\r\nHost: {}\r\n", cluster.address());
        for line in asked.lines().skip(1).filter(|line| !line.is_empty()) {
            let lower = line.to_ascii_lowercase();
            let ours = lower.starts_with("host:") || (!upgrade && lower.starts_with("connection:"));
            if !ours && !lower.starts_with("accept-encoding:") {
                to_server.push_str(&format!("{line}\r\n"));
            }
        }
        to_server.push_str(if upgrade { "\r\n" } else { "Connection: close\r\n\r\n" });
        server.write_all(to_server.as_bytes()).await.unwrap();
        server.write_all(&sent).await.unwrap();
        let (answered, begun) = head(&mut server).await.unwrap();
        let mut words = first.split_whitespace();
        let mut exchange = Exchange {
            method: words.next().unwrap().to_owned(),
            path: words.next().unwrap().to_owned(),
            status: answered.split_whitespace().nth(1).unwrap().parse().unwrap(),
            content_type: field(&answered, "content-type"),
            protocol: field(&answered, "sec-websocket-protocol"),
            body: String::new(),
            bytes: Vec::new(),
        };
        if exchange.status == 101 {
            client.write_all(answered.as_bytes()).await.unwrap();
            client.write_all(&begun).await.unwrap();
            exchange.bytes.extend((!begun.is_empty()).then(|| Piece::server(&begun)));
            let at = {
                let mut tape = tape.lock().unwrap();
                tape.push(exchange);
                tape.len() - 1
            };
            carry(client, server, at, tape).await;
            return;
        }
        let content = body(&answered, begun, &mut server).await;
        let status = answered.lines().next().unwrap();
        let kind = exchange.content_type.clone().unwrap_or_default();
        let head = format!("{status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n", content.len());
        client.write_all(head.as_bytes()).await.unwrap();
        client.write_all(&content).await.unwrap();
        exchange.body = String::from_utf8(content).unwrap();
        tape.lock().unwrap().push(exchange);
    }
}

async fn carry(client: TcpStream, server: impl AsyncRead + AsyncWrite + Unpin, at: usize, tape: Tape) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = tokio::io::split(server);
    let (mut up, mut down) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        tokio::select! {
            count = from_client.read(&mut up) => {
                let Ok(count @ 1..) = count else { return };
                tape.lock().unwrap()[at].bytes.push(Piece::Client(count));
                if to_server.write_all(&up[..count]).await.is_err() { return }
            }
            count = from_server.read(&mut down) => {
                let Ok(count @ 1..) = count else { return };
                tape.lock().unwrap()[at].bytes.push(Piece::server(&down[..count]));
                if to_client.write_all(&down[..count]).await.is_err() { return }
            }
        }
    }
}

async fn connect(cluster: &Cluster) -> impl AsyncRead + AsyncWrite + Unpin + use<> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(cluster.authority()).unwrap()).unwrap();
    let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(cluster.address().replace("localhost", "127.0.0.1")).await.unwrap();
    connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_s_start_is_recorded() {
    let cluster = cluster::shared().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let tape = Tape::default();
    let kept = Arc::clone(&tape);
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            tokio::spawn(pass(client, cluster, Arc::clone(&kept)));
        }
    });
    let data_dir = data_dir();
    let mut settings = cluster.settings(data_dir.path(), BUSYBOX);
    settings.uid_base = stand_in::RECORDED_UID_BASE;
    if let BackendSettings::Kubernetes(kubernetes) = &mut settings.backend {
        let token = cluster.token();
        let text = std::fs::read_to_string(stand_in::kubeconfig(data_dir.path(), &url)).unwrap();
        let path = data_dir.path().join("recorded");
        std::fs::write(&path, text.replace(stand_in::TOKEN, &token)).unwrap();
        kubernetes.kubeconfig = Some(path);
    }
    Sandboxes::new(settings).await.unwrap();
    let tape = tape.lock().unwrap();
    let made = tape.iter().find(|exchange| exchange.method == "POST").unwrap();
    let made: serde_json::Value = serde_json::from_str(&made.body).unwrap();
    let name = made["metadata"]["name"].as_str().unwrap();
    let lines: Vec<String> =
        tape.iter().map(|exchange| serde_json::to_string(exchange).unwrap().replace(name, POD)).collect();
    std::fs::create_dir_all(recording::path().parent().unwrap()).unwrap();
    std::fs::write(recording::path(), lines.join("\n") + "\n").unwrap();
    assert!(
        tape.iter().any(|exchange| exchange.status == 101) && tape.iter().any(|exchange| exchange.method == "DELETE")
    );
}
