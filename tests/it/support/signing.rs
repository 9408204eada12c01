//! An issuer of tokens: keys of each kind, the set that publishes them, and a server that hands it out and counts.

use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair},
};
use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

fn part(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

enum Pair {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

/// A key with its id.
pub(crate) struct Signer {
    pub(crate) kid: String,
    pair: Pair,
}

impl Signer {
    pub(crate) fn rsa(kid: &str) -> Self {
        Self { kid: kid.to_owned(), pair: Pair::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()) }
    }

    pub(crate) fn ec(kid: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self { kid: kid.to_owned(), pair: Pair::Ec(pair) }
    }

    pub(crate) fn ed(kid: &str) -> Self {
        Self { kid: kid.to_owned(), pair: Pair::Ed(Ed25519KeyPair::generate().unwrap()) }
    }

    pub(crate) fn algorithm(&self) -> &'static str {
        match &self.pair {
            Pair::Rsa(_) => "RS256",
            Pair::Ec(_) => "ES256",
            Pair::Ed(_) => "EdDSA",
        }
    }

    /// The public key as RFC 7517 writes it.
    pub(crate) fn jwk(&self) -> Value {
        let mut jwk = match &self.pair {
            Pair::Rsa(pair) => {
                let [n, e] = integers(pair.public_key().as_ref());
                json!({ "kty": "RSA", "n": part(n), "e": part(e) })
            }
            Pair::Ec(pair) => {
                let point = pair.public_key().as_ref();
                json!({ "kty": "EC", "crv": "P-256", "x": part(&point[1..33]), "y": part(&point[33..]) })
            }
            Pair::Ed(pair) => json!({ "kty": "OKP", "crv": "Ed25519", "x": part(pair.public_key().as_ref()) }),
        };
        jwk["kid"] = json!(self.kid);
        jwk["use"] = json!("sig");
        jwk["alg"] = json!(self.algorithm());
        jwk
    }

    /// The public key's bytes: what an attacker has too.
    pub(crate) fn public(&self) -> Vec<u8> {
        match &self.pair {
            Pair::Rsa(pair) => pair.public_key().as_ref().to_vec(),
            Pair::Ec(pair) => pair.public_key().as_ref().to_vec(),
            Pair::Ed(pair) => pair.public_key().as_ref().to_vec(),
        }
    }

    pub(crate) fn head(&self) -> Value {
        json!({ "alg": self.algorithm(), "typ": "JWT", "kid": self.kid })
    }

    pub(crate) fn token(&self, claims: &Value) -> String {
        self.token_with(&self.head(), claims)
    }

    /// A token whose head says what it likes; signed with this key all the same.
    pub(crate) fn token_with(&self, head: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", part(head.to_string()), part(claims.to_string()));
        let random = SystemRandom::new();
        let signature = match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message.as_bytes(), &mut signature).unwrap();
                signature
            }
            Pair::Ec(pair) => pair.sign(&random, message.as_bytes()).unwrap().as_ref().to_vec(),
            Pair::Ed(pair) => pair.sign(message.as_bytes()).as_ref().to_vec(),
        };
        format!("{message}.{}", part(signature))
    }
}

/// A token under HMAC with whatever bytes as its secret.
pub(crate) fn hs256(head: &Value, claims: &Value, secret: &[u8]) -> String {
    let message = format!("{}.{}", part(head.to_string()), part(claims.to_string()));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
    format!("{message}.{}", part(tag))
}

/// A token without a signature.
pub(crate) fn unsigned(head: &Value, claims: &Value) -> String {
    format!("{}.{}.", part(head.to_string()), part(claims.to_string()))
}

/// The two integers of a DER sequence (RFC 8017, A.1.1), without leading zeros.
fn integers(der: &[u8]) -> [Vec<u8>; 2] {
    fn take(at: &mut &[u8], tag: u8) -> Vec<u8> {
        assert_eq!(at[0], tag);
        let (length, head) = match at[1] {
            short @ 0..0x80 => (usize::from(short), 2),
            long => {
                let bytes = usize::from(long & 0x7f);
                (at[2..2 + bytes].iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), 2 + bytes)
            }
        };
        let value = at[head..head + length].to_vec();
        *at = &at[head + length..];
        value
    }
    let sequence = take(&mut &*der, 0x30);
    let mut inside = sequence.as_slice();
    [(); 2].map(|()| take(&mut inside, 2).into_iter().skip_while(|byte| *byte == 0).collect())
}

pub(crate) fn set(signers: &[&Signer]) -> Value {
    json!({ "keys": signers.iter().map(|signer| signer.jwk()).collect::<Vec<_>>() })
}

/// How a server of key sets answers.
#[derive(Clone)]
pub(crate) enum Answers {
    Set(Value),
    Status(u16),
    Garbage,
    /// More than anybody wants to hold.
    Endless,
    /// Not within any limit.
    Never,
    Redirect(String),
}

/// A server of a key set.
pub(crate) struct KeyServer {
    pub(crate) url: String,
    shared: Arc<Shared>,
    serving: tokio::task::JoinHandle<()>,
}

struct Shared {
    asked: AtomicU64,
    answers: Mutex<Answers>,
}

impl KeyServer {
    pub(crate) async fn start(answers: Answers) -> Self {
        let shared = Arc::new(Shared { asked: AtomicU64::new(0), answers: Mutex::new(answers) });
        let router = Router::new().route("/keys", get(answer)).with_state(Arc::clone(&shared));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move {
            journeyman::api::serve(listener, router, tokio_util::sync::CancellationToken::new()).await.unwrap();
        });
        Self { url, shared, serving }
    }

    pub(crate) fn asked(&self) -> u64 {
        self.shared.asked.load(Ordering::SeqCst)
    }

    pub(crate) fn answer(&self, answers: Answers) {
        *self.shared.answers.lock().unwrap() = answers;
    }
}

impl Drop for KeyServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answer(State(shared): State<Arc<Shared>>) -> axum::response::Response {
    shared.asked.fetch_add(1, Ordering::SeqCst);
    let answers = shared.answers.lock().unwrap().clone();
    match answers {
        Answers::Set(set) => ([(header::CONTENT_TYPE, "application/jwk-set+json")], set.to_string()).into_response(),
        Answers::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Answers::Garbage => "{\"keys\": \"none".into_response(),
        Answers::Endless => {
            let pieces = futures::stream::repeat_with(|| Ok::<_, std::convert::Infallible>(vec![b' '; 64 << 10]));
            axum::body::Body::from_stream(pieces).into_response()
        }
        Answers::Never => {
            tokio::time::sleep(Duration::from_secs(600)).await;
            StatusCode::OK.into_response()
        }
        Answers::Redirect(to) => (StatusCode::FOUND, [(header::LOCATION, to)]).into_response(),
    }
}
