//! A server inside the workspace: a JSON-RPC message a line, over the stream that execd carries.

use crate::workspace::{RelayedStream, WorkspaceError};
use rmcp::{
    RoleClient,
    service::{RxJsonRpcMessage, TxJsonRpcMessage},
    transport::Transport,
};
use std::sync::Arc;
use tokio::sync::Mutex;

/// Bytes of one message. A server that writes more is given up.
pub(super) const MESSAGE_BYTES_MAX: usize = 4 << 20;
/// Lines that are no message, after which a server is given up.
const GARBAGE_LINES_MAX: u32 = 1_000;

/// The client's end of a server's stdin and stdout.
#[derive(Debug)]
pub(super) struct WorkspaceTransport {
    stream: Arc<RelayedStream>,
    /// Held over one whole message.
    writing: Arc<Mutex<()>>,
    server: String,
    read: Vec<u8>,
    /// How far `read` was searched for the end of a line.
    searched: usize,
    garbage: u32,
}

impl WorkspaceTransport {
    pub(super) fn new(server: &str, stream: RelayedStream) -> Self {
        Self {
            stream: Arc::new(stream),
            writing: Arc::default(),
            server: server.to_owned(),
            read: Vec::new(),
            searched: 0,
            garbage: 0,
        }
    }

    /// The next line that was read whole.
    fn line(&mut self) -> Option<Vec<u8>> {
        let Some(end) = self.read[self.searched..].iter().position(|byte| *byte == b'\n') else {
            self.searched = self.read.len();
            return None;
        };
        let line = self.read.drain(..=self.searched + end).collect();
        self.searched = 0;
        Some(line)
    }
}

impl Transport<RoleClient> for WorkspaceTransport {
    type Error = TransportError;

    fn send(
        &mut self,
        item: TxJsonRpcMessage<RoleClient>,
    ) -> impl Future<Output = Result<(), TransportError>> + Send + 'static {
        let (stream, writing) = (Arc::clone(&self.stream), Arc::clone(&self.writing));
        async move {
            let mut line = serde_json::to_vec(&item)?;
            line.push(b'\n');
            let _one_at_a_time = writing.lock().await;
            stream.write(&line).await?;
            Ok(())
        }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleClient>> {
        loop {
            while let Some(line) = self.line() {
                if line.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                match serde_json::from_slice(&line) {
                    Ok(message) => return Some(message),
                    Err(error) => {
                        tracing::debug!(mcp.server = self.server, error = %error, "a line of an MCP server is no message");
                        self.garbage += 1;
                    }
                }
            }
            if self.read.len() > MESSAGE_BYTES_MAX || self.garbage > GARBAGE_LINES_MAX {
                tracing::warn!(
                    mcp.server = self.server,
                    "an MCP server writes what is no message, or too much: it is given up"
                );
                return None;
            }
            match self.stream.read().await {
                Ok(bytes) if !bytes.is_empty() => self.read.extend_from_slice(&bytes),
                Ok(_) | Err(_) => return None,
            }
        }
    }

    async fn close(&mut self) -> Result<(), TransportError> {
        self.stream.end();
        Ok(())
    }
}

/// Why a message was not sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum TransportError {
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    #[error("a message that cannot be written: {0}")]
    Message(#[from] serde_json::Error),
}
