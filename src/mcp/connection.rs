//! One server that is spoken to: from its start to its end.

use super::{
    connections::McpError,
    http::HttpTransport,
    server::{Place, Server},
    stdio::WorkspaceTransport,
};
use crate::{
    net::CheckedClient,
    workspace::{ProcessId, RunCommand, Workspace},
};
use rmcp::{
    RoleClient,
    model::{
        CallToolRequestParams, CallToolResult, ClientCapabilities, ClientConfig, Implementation, JsonObject,
        PaginatedRequestParams, Tool,
    },
    service::{ClientInitializeError, RunningService, ServiceError, serve_client},
};
use std::time::Duration;

/// A start with its list of tools takes no longer, whatever a call may take.
const START_MAX: Duration = Duration::from_secs(15);
/// A server's process may live as long as a workspace does.
const LIFE: Duration = Duration::from_secs(6 * 24 * 3600);
/// What is kept and told of what it writes to stderr.
const STDERR_BYTES_MAX: usize = 4_000;
const STDERR_TOLD_CHARS: usize = 400;
/// Pages of a list, and tools.
const PAGES_MAX: usize = 16;
const TOOLS_MAX: usize = 512;

#[derive(Debug)]
pub(super) struct Connection {
    service: RunningService<RoleClient, ClientConfig>,
    /// Of a server in the workspace.
    process: Option<ProcessId>,
}

impl Connection {
    /// Starts a server and shakes hands.
    pub(super) async fn open(
        server: &Server,
        client: &CheckedClient,
        workspace: Option<&Workspace>,
    ) -> Result<Self, McpError> {
        let limit = server.timeout.min(START_MAX);
        match &server.place {
            Place::Http { url, headers } => {
                let transport = HttpTransport::new(client.clone(), url, headers, server.timeout);
                let service = within(limit, serve_client(own_name(), transport)).await?;
                Ok(Self { service, process: None })
            }
            Place::Workspace { command, env } => {
                let no_workspace = || McpError::Start { why: "the workspace is not open".to_owned() };
                let workspace = workspace.ok_or_else(no_workspace)?;
                let run = RunCommand {
                    env: env.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
                    output_limit_bytes: STDERR_BYTES_MAX,
                    ..RunCommand::new(line(command), LIFE)
                };
                let (process, stream) = workspace.connect_process(run).await?;
                let transport = WorkspaceTransport::new(&server.name, stream);
                match within(limit, serve_client(own_name(), transport)).await {
                    Ok(service) => Ok(Self { service, process: Some(process) }),
                    Err(McpError::Start { why }) => {
                        let last = last_words(workspace, process).await;
                        Err(McpError::Start { why: format!("{why}{last}") })
                    }
                    Err(other) => Err(other),
                }
            }
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.service.is_closed() || self.service.peer().is_transport_closed()
    }

    /// The tools, as far as pages and time go.
    pub(super) async fn tools(&self, limit: Duration) -> Result<Vec<Tool>, McpError> {
        let listing = async {
            let (mut tools, mut cursor) = (Vec::new(), None);
            for _ in 0..PAGES_MAX {
                let params = PaginatedRequestParams::default().with_cursor(cursor);
                let page = self.service.peer().list_tools(Some(params)).await?;
                tools.extend(page.tools);
                cursor = page.next_cursor;
                if cursor.is_none() || tools.len() > TOOLS_MAX {
                    break;
                }
            }
            tools.truncate(TOOLS_MAX);
            Ok::<_, ServiceError>(tools)
        };
        match tokio::time::timeout(limit.min(START_MAX), listing).await {
            Err(_) => Err(McpError::Start { why: format!("its list of tools took longer than {} s", limit.as_secs()) }),
            Ok(Err(error)) => Err(McpError::Start { why: format!("its list of tools: {error}") }),
            Ok(Ok(tools)) => Ok(tools),
        }
    }

    /// Calls a tool. Dropped, or when time is up, the server is told that nobody waits any more.
    pub(super) async fn call(
        &self,
        tool: &str,
        arguments: JsonObject,
        limit: Duration,
        workspace: Option<&Workspace>,
    ) -> Result<CallToolResult, McpError> {
        let params = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments);
        match tokio::time::timeout(limit, self.service.peer().call_tool(params)).await {
            Err(_) => Err(McpError::TimedOut { limit }),
            Ok(Ok(result)) => Ok(result),
            Ok(Err(ServiceError::McpError(error))) => Err(McpError::Refused { why: error.message.into_owned() }),
            Ok(Err(error @ (ServiceError::TransportClosed | ServiceError::TransportSend(_)))) => {
                let last = match (workspace, self.process) {
                    (Some(workspace), Some(process)) => last_words(workspace, process).await,
                    _ => String::new(),
                };
                Err(McpError::Died { why: format!("{}{last}", plain(&error)) })
            }
            Ok(Err(error)) => Err(McpError::Refused { why: error.to_string() }),
        }
    }
}

/// Who we are, and that we offer a server nothing.
fn own_name() -> ClientConfig {
    ClientConfig::new(ClientCapabilities::default(), Implementation::new("journeyman", env!("CARGO_PKG_VERSION")))
}

async fn within<T>(
    limit: Duration,
    starting: impl Future<Output = Result<T, ClientInitializeError>>,
) -> Result<T, McpError> {
    match tokio::time::timeout(limit, starting).await {
        Err(_) => Err(McpError::Start { why: format!("it did not begin within {} s", limit.as_secs_f32()) }),
        Ok(Err(error)) => Err(McpError::Start { why: innermost(&error) }),
        Ok(Ok(service)) => Ok(service),
    }
}

/// The words of an error that name its cause, without the types that wrap it.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

fn plain(error: &ServiceError) -> String {
    match error {
        ServiceError::TransportSend(sending) => innermost(sending.error.as_ref()),
        _ => "it ended".to_owned(),
    }
}

/// What the process wrote to stderr in the end; then it is no more.
async fn last_words(workspace: &Workspace, process: ProcessId) -> String {
    let seen = workspace.write_stdin(process, b"", Duration::ZERO).await;
    // It may have ended by itself, and the workspace too.
    let _ = workspace.kill(process).await;
    let Ok(seen) = seen else { return String::new() };
    let text = String::from_utf8_lossy(&seen.output);
    let text = text.trim();
    let from = text.char_indices().rev().nth(STDERR_TOLD_CHARS).map_or(0, |(at, _)| at);
    if text.is_empty() { String::new() } else { format!("; its last words: {}", &text[from..]) }
}

/// A command line that runs exactly these words, in place of its shell.
fn line(command: &[String]) -> String {
    let quoted: Vec<String> = command.iter().map(|word| format!("'{}'", word.replace('\'', r"'\''"))).collect();
    format!("exec {}", quoted.join(" "))
}
