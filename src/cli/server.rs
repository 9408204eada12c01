//! The commands that are about a server of this machine, and the one seam to `app`: everything
//! that `cli` asks of the composition root is asked here.

use super::{
    Exit,
    arguments::{Admin, Healthcheck, Model, Serve, ServerArguments, SettingsArguments},
    client::Api,
    exit,
    watch::Interrupts,
};
use crate::scripted;
use anyhow::{Context, bail};
use std::{io::Write, net::SocketAddr, time::Duration};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub(super) async fn serve(_settings: SettingsArguments, _serve: Serve) -> anyhow::Result<Exit> {
    bail!("serve is not built in yet")
}

pub(super) async fn doctor(_settings: SettingsArguments) -> anyhow::Result<Exit> {
    bail!("doctor is not built in yet")
}

pub(super) fn openapi() -> anyhow::Result<Exit> {
    bail!("openapi is not built in yet")
}

/// Plays a script until Ctrl-C or SIGTERM. The first line on stdout has the model's base URL.
pub(super) async fn model(model: Model) -> anyhow::Result<Exit> {
    let script = scripted::Script::load(&model.script)?;
    let listener =
        TcpListener::bind(model.listen).await.with_context(|| format!("cannot listen on {}", model.listen))?;
    let url = format!("http://{}/v1", listener.local_addr()?);
    let shown = model.script.display();
    writeln!(std::io::stdout(), "scripted model (it plays {shown} and does not think) at {url}")?;
    let shutdown = CancellationToken::new();
    let mut interrupts = Interrupts::new()?;
    let mut serving = std::pin::pin!(scripted::serve(script, listener, shutdown.clone()));
    tokio::select! {
        done = &mut serving => done?,
        () = interrupts.next() => {
            shutdown.cancel();
            // Streams under way are cut after a second, or at once by a second Ctrl-C.
            tokio::select! {
                done = &mut serving => done?,
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
                () = interrupts.next() => {}
            }
        }
    }
    Ok(Exit::Done)
}

pub(super) async fn admin(_settings: SettingsArguments, _admin: Admin) -> anyhow::Result<Exit> {
    bail!("admin is not built in yet")
}

/// A server to speak to: somebody's, or one that lives as long as this value.
pub(super) struct Connection {
    pub(super) api: Api,
}

impl Connection {
    /// Stops the embedded server, where this is one.
    pub(super) async fn close(self) {}
}

/// The server that was named; else the one that holds the data directory; else an embedded one.
pub(super) async fn connect(_settings: &SettingsArguments, server: &ServerArguments) -> anyhow::Result<Connection> {
    if let Some(url) = &server.url {
        return Ok(Connection { api: Api::new(url, server.key.clone())? });
    }
    bail!("an embedded server is not built in yet: set JOURNEYMAN_URL and JOURNEYMAN_KEY")
}

/// Whether the server that listens on this machine answers `GET /healthz` with 200 within 5 s.
pub(super) async fn healthcheck(check: Healthcheck) -> anyhow::Result<Exit> {
    let api = Api::new(&format!("http://{}", reachable(check.listen)), None)?;
    match api.healthy().await {
        Ok(()) => Ok(Exit::Done),
        Err(error) => {
            exit::complain(&error.into());
            Ok(Exit::Failed)
        }
    }
}

/// An address to connect to for one that is listened on: `0.0.0.0` and `::` mean this machine.
fn reachable(mut listen: SocketAddr) -> SocketAddr {
    if listen.ip().is_unspecified() {
        listen.set_ip(match listen {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    listen
}
