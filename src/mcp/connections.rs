//! The servers that one task speaks to: each is started when it is first needed, and anew where it died.

use super::{connection::Connection, result, server::Server};
use crate::{
    net::CheckedClient,
    workspace::{Workspace, WorkspaceError},
};
use rmcp::model::Tool;
use serde_json::{Map, Value};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::sync::Mutex;

/// What the operator has set up; one per process.
#[derive(Clone, Debug)]
pub struct Servers {
    /// By name, each once.
    all: Arc<[Server]>,
    client: CheckedClient,
}

impl Servers {
    pub fn new(mut all: Vec<Server>, client: CheckedClient) -> Self {
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Self { all: all.into(), client }
    }

    pub fn all(&self) -> &[Server] {
        &self.all
    }

    /// Of one task; nothing is started yet.
    pub fn connections(&self) -> Connections {
        let slots = self.all.iter().map(|server| (server.name.clone(), Mutex::default())).collect();
        Connections { servers: self.clone(), slots }
    }
}

/// The connections of one task.
#[derive(Debug)]
pub struct Connections {
    servers: Servers,
    slots: BTreeMap<String, Mutex<Option<Arc<Connection>>>>,
}

/// What a call gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Called {
    pub text: String,
    /// The server says that the call failed.
    pub is_error: bool,
}

/// Why a server gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum McpError {
    #[error("the server \"{name}\" is not set up here any more")]
    Unknown { name: String },
    /// Nothing was called.
    #[error("the server cannot be used: {why}")]
    Start { why: String },
    #[error("it did not answer within {} s", limit.as_secs_f32())]
    TimedOut { limit: Duration },
    /// It answered with an error.
    #[error("the server refuses the call: {why}")]
    Refused { why: String },
    /// It, or the way to it, ended while a call was under way.
    #[error("the server was lost during the call: {why}")]
    Died { why: String },
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
}

impl Connections {
    /// The tools of a server.
    pub async fn tools(&self, server: &Server, workspace: Option<&Workspace>) -> Result<Vec<Tool>, McpError> {
        self.open(server, workspace).await?.tools(server.timeout).await
    }

    /// Calls a tool, once.
    pub async fn call(
        &self,
        server: &str,
        tool: &str,
        arguments: Map<String, Value>,
        workspace: Option<&Workspace>,
    ) -> Result<Called, McpError> {
        let known = self.servers.all.iter().find(|known| known.name == server);
        let server = known.ok_or_else(|| McpError::Unknown { name: server.to_owned() })?;
        let connection = self.open(server, workspace).await?;
        let given = connection.call(tool, arguments, server.timeout, workspace).await?;
        Ok(Called { text: result::text(&given), is_error: given.is_error.unwrap_or(false) })
    }

    /// Ends them all.
    pub async fn close(&self) {
        for slot in self.slots.values() {
            // The last one who holds it ends it.
            slot.lock().await.take();
        }
    }

    async fn open(&self, server: &Server, workspace: Option<&Workspace>) -> Result<Arc<Connection>, McpError> {
        let unknown = || McpError::Unknown { name: server.name.clone() };
        let mut slot = self.slots.get(&server.name).ok_or_else(unknown)?.lock().await;
        if let Some(connection) = slot.as_ref().filter(|connection| !connection.is_closed()) {
            return Ok(Arc::clone(connection));
        }
        *slot = None;
        let connection = Arc::new(Connection::open(server, &self.servers.client, workspace).await?);
        *slot = Some(Arc::clone(&connection));
        Ok(connection)
    }
}
