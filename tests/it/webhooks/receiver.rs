//! A receiver: an HTTP server that keeps what it gets and answers as it is told; and a verifier, written from the specification
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>) on SHA-256 alone.

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::{
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// HMAC-SHA256 (RFC 2104) by hand.
pub(crate) fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut block = [0_u8; 64];
    if key.len() > 64 {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let pad = |byte: u8| block.map(|one| one ^ byte);
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().to_vec()
}

/// `v1,…` of a message.
pub(crate) fn signed(secret: &str, id: &str, timestamp: &str, body: &[u8]) -> String {
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    let message = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat();
    format!("v1,{}", STANDARD.encode(hmac(&key, &message)))
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name}: {self:?}")).to_str().unwrap()
    }

    pub(crate) fn id(&self) -> &str {
        self.header("webhook-id")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Whether one of its signatures is this secret's, and it is fresh.
    pub(crate) fn is_signed_by(&self, secret: &str) -> bool {
        let timestamp = self.header("webhook-timestamp");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
        assert!((now - timestamp.parse::<i64>().unwrap()).abs() < 300, "{self:?}");
        let own = signed(secret, self.id(), timestamp, &self.body);
        self.header("webhook-signature").split(' ').any(|signature| signature == own)
    }
}

/// What to answer to the n-th request (from 0), and after how long.
pub(crate) type Answer = Arc<dyn Fn(usize, &Received) -> (Duration, Response) + Send + Sync>;

#[derive(Clone)]
struct Kept {
    received: Arc<Mutex<Vec<Received>>>,
    answer: Answer,
}

/// Serves until it is dropped.
pub(crate) struct Receiver {
    pub(crate) url: String,
    kept: Kept,
    _stop: DropGuard,
}

impl Receiver {
    /// One that takes all.
    pub(crate) async fn start() -> Self {
        Self::answering(|_, _| StatusCode::NO_CONTENT.into_response()).await
    }

    /// One that answers at once.
    pub(crate) async fn answering(answer: impl Fn(usize, &Received) -> Response + Send + Sync + 'static) -> Self {
        Self::slow(move |count, received| (Duration::ZERO, answer(count, received))).await
    }

    pub(crate) async fn slow(
        answer: impl Fn(usize, &Received) -> (Duration, Response) + Send + Sync + 'static,
    ) -> Self {
        let kept = Kept { received: Arc::default(), answer: Arc::new(answer) };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let router = Router::new().fallback(receive).with_state(kept.clone());
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                served = axum::serve(listener, router) => served.unwrap(),
                () = stopped.cancelled() => {}
            }
        });
        Self { url, kept, _stop: stop.drop_guard() }
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.kept.received.lock().unwrap().clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.kept.received.lock().unwrap().len()
    }

    /// Waits for so many requests; all that came.
    pub(crate) async fn met(&self, count: usize) -> Vec<Received> {
        super::until(&format!("{count} requests"), || self.count() >= count).await;
        self.received()
    }
}

async fn receive(State(kept): State<Kept>, headers: HeaderMap, body: Bytes) -> Response {
    let received = Received { headers, body };
    let count = {
        let mut all = kept.received.lock().unwrap();
        all.push(received.clone());
        all.len() - 1
    };
    let (pause, answer) = (kept.answer)(count, &received);
    tokio::time::sleep(pause).await;
    answer
}
