//! A conversation with an API server, as it was recorded from a real one: what was asked, what was answered, and the
//! bytes of websockets in their order. The names of Pods are `POD` in it.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use tokio::io::{AsyncRead, AsyncReadExt};

/// What stands for the name of the conversation's Pod.
pub(in crate::kubernetes) const POD: &str = "journeyman-POD";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::kubernetes) struct Exchange {
    pub(in crate::kubernetes) method: String,
    /// With its query.
    pub(in crate::kubernetes) path: String,
    pub(in crate::kubernetes) status: u16,
    pub(in crate::kubernetes) content_type: Option<String>,
    /// Of a websocket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::kubernetes) protocol: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(in crate::kubernetes) body: String,
    /// What came after the connection was upgraded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::kubernetes) bytes: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::kubernetes) enum Piece {
    /// So many bytes from the client.
    Client(usize),
    /// From the server, in base64.
    Server(String),
}

impl Piece {
    #[cfg(feature = "kubernetes-cluster")]
    pub(in crate::kubernetes) fn server(bytes: &[u8]) -> Self {
        Self::Server(STANDARD.encode(bytes))
    }

    pub(in crate::kubernetes) fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Client(_) => Vec::new(),
            Self::Server(text) => STANDARD.decode(text).unwrap(),
        }
    }
}

pub(in crate::kubernetes) fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/kubernetes/conversation.jsonl")
}

/// The head of a message, and what came with it of what follows.
pub(in crate::kubernetes) async fn head(stream: &mut (impl AsyncRead + Unpin)) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            return Some((String::from_utf8(bytes).unwrap(), rest));
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

pub(in crate::kubernetes) fn field(head: &str, name: &str) -> Option<String> {
    head.lines().find_map(|line| {
        let (known, value) = line.split_once(':')?;
        known.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })
}

pub(in crate::kubernetes) async fn body(
    head: &str,
    mut begun: Vec<u8>,
    stream: &mut (impl AsyncRead + Unpin),
) -> Vec<u8> {
    if let Some(length) = field(head, "content-length") {
        let length: usize = length.parse().unwrap();
        while begun.len() < length {
            assert_ne!(stream.read_buf(&mut begun).await.unwrap(), 0);
        }
        return begun;
    }
    if field(head, "transfer-encoding").is_none() {
        return Vec::new();
    }
    // In chunks.
    let mut whole = Vec::new();
    loop {
        while let Some(line) = begun.windows(2).position(|two| two == b"\r\n") {
            let size = usize::from_str_radix(std::str::from_utf8(&begun[..line]).unwrap().trim(), 16).unwrap();
            while begun.len() < line + 2 + size + 2 {
                assert_ne!(stream.read_buf(&mut begun).await.unwrap(), 0);
            }
            whole.extend_from_slice(&begun[line + 2..line + 2 + size]);
            begun.drain(..line + 2 + size + 2);
            if size == 0 {
                return whole;
            }
        }
        assert_ne!(stream.read_buf(&mut begun).await.unwrap(), 0);
    }
}
