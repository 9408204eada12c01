//! A service's start on the answers of a real API server (1.20.2, its kubelet on Docker), as
//! `make test-kubernetes` has recorded them.

use super::{
    recording::{self, Exchange, POD, Piece, body, field, head},
    stand_in,
};
use crate::support::engine::data_dir;
use base64::{Engine, engine::general_purpose::STANDARD};
use journeyman::workspace::{BackendSettings, Sandboxes};
use sha1::{Digest, Sha1};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// By how much what the client says in its turn may be shorter than it was: it may put two frames into one.
const SLACK_BYTES: usize = 48;
/// A client that says nothing for so long waits for an answer.
const SILENCE: Duration = Duration::from_secs(2);

struct Tape {
    /// What has not been asked for yet.
    left: Vec<Exchange>,
    /// Repeated where it is asked for more often than it was.
    last: Option<Exchange>,
    /// Of the one Pod, as it is called now.
    name: String,
    /// What is not in the recording.
    unknown: Vec<String>,
}

impl Tape {
    fn next(&mut self, method: &str, path: &str) -> Option<Exchange> {
        let path = if self.name.is_empty() { path.to_owned() } else { path.replace(&self.name, POD) };
        let fits = |exchange: &Exchange| exchange.method == method && exchange.path == path;
        if let Some(at) = self.left.iter().position(fits) {
            self.last = Some(self.left.remove(at));
            return self.last.clone();
        }
        let repeated = self.last.clone().filter(|last| fits(last) && method == "GET");
        if repeated.is_none() {
            self.unknown.push(format!("{method} {path}"));
        }
        repeated
    }
}

async fn play(mut client: TcpStream, tape: Arc<Mutex<Tape>>) {
    while let Some((asked, begun)) = head(&mut client).await {
        let sent = body(&asked, begun, &mut client).await;
        let mut words = asked.split_whitespace();
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        let (exchange, name) = {
            let mut tape = tape.lock().unwrap();
            if method == "POST" {
                let made: serde_json::Value = serde_json::from_slice(&sent).unwrap();
                tape.name = made["metadata"]["name"].as_str().unwrap().to_owned();
            }
            (tape.next(method, path), tape.name.clone())
        };
        let Some(exchange) = exchange else { return };
        if exchange.status == 101 {
            return carry(client, &asked, &exchange).await;
        }
        let content = exchange.body.replace(POD, &name);
        let kind = exchange.content_type.unwrap_or_default();
        let length = content.len();
        let answer = format!(
            "HTTP/1.1 {} Recorded\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{content}",
            exchange.status
        );
        client.write_all(answer.as_bytes()).await.unwrap();
    }
}

/// Says what the server said, each piece once the client has said in its turn as much as it had then: an answer that
/// comes before its call is none.
async fn carry(mut client: TcpStream, asked: &str, exchange: &Exchange) {
    let key = field(asked, "sec-websocket-key").unwrap();
    let accept = STANDARD.encode(Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11")));
    let protocol = exchange.protocol.as_deref().unwrap();
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\
         Sec-WebSocket-Protocol: {protocol}\r\n\r\n"
    );
    client.write_all(answer.as_bytes()).await.unwrap();
    let (mut wanted, mut heard): (usize, usize) = (0, 0);
    let mut bytes = vec![0; 65_536];
    for piece in &exchange.bytes {
        if let Piece::Client(count) = piece {
            wanted += count;
            continue;
        }
        while heard < wanted.saturating_sub(SLACK_BYTES).max(wanted / 2) {
            match tokio::time::timeout(SILENCE, client.read(&mut bytes)).await {
                Ok(Ok(count @ 1..)) => heard += count,
                Ok(_) => return,
                Err(_) => break,
            }
        }
        (wanted, heard) = (0, 0);
        if client.write_all(&piece.bytes()).await.is_err() {
            return;
        }
    }
    while client.read(&mut bytes).await.is_ok_and(|count| count > 0) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_starts_on_what_a_real_api_server_answered() {
    let text = std::fs::read_to_string(recording::path()).unwrap();
    let left: Vec<Exchange> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let pods = left.iter().filter(|exchange| exchange.method == "POST").count();
    assert_eq!(pods, 1);
    let tape = Arc::new(Mutex::new(Tape { left, last: None, name: String::new(), unknown: Vec::new() }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let playing = Arc::clone(&tape);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(play(client, Arc::clone(&playing)));
        }
    });
    let data_dir = data_dir();
    let mut settings = stand_in::settings(data_dir.path(), &url);
    settings.uid_base = stand_in::RECORDED_UID_BASE;
    if let BackendSettings::Kubernetes(kubernetes) = &mut settings.backend {
        kubernetes.image = "journeyman-test/busybox:latest".to_owned();
        kubernetes.answer_time = Duration::from_secs(20);
        kubernetes.start_time = Duration::from_secs(60);
    }
    let started = Sandboxes::new(settings).await;
    let tape = tape.lock().unwrap();
    // What the Pod says it has read is of the recorded start, which wrote another mark than this one: up to there all
    // was as it was with the real server.
    let told = started.map(|_| String::new()).unwrap_or_else(|error| error.to_string());
    assert!(told.is_empty() || told.contains("do not come into workspaces as they are"), "{told}");
    assert_eq!(tape.unknown, [""; 0]);
    let left: Vec<_> = tape.left.iter().map(|exchange| (&exchange.method, exchange.status)).collect();
    assert!(left.iter().all(|(method, _)| *method == "GET"), "{left:?}");
}
