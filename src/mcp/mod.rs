//! Clients of MCP servers, which give models more tools: <https://modelcontextprotocol.io>.
//!
//! A server that the operator names by a command runs inside the task's workspace and sees what the agent sees; one
//! that he names by an address is spoken to by this process, through the client that checks addresses. The protocol is
//! `rmcp`'s; this room brings the two transports, and bounds what comes over them.
//!
//! What a server says of itself is never believed: which tools there are, what they may do and whether its words are
//! trusted is the operator's to say. No call is sent twice. Start with [`Connections`].

mod catalog;
mod connection;
mod connections;
mod http;
mod result;
mod server;
mod stdio;

pub use catalog::{Offered, fit, offered};
pub use connections::{Called, Connections, McpError, Servers};
pub use server::{Effects, Place, Server};
