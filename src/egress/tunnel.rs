//! What follows a CONNECT that was granted: TLS for the host that was named, or nothing.

use super::{
    Access, Hello, Refusal, Target,
    activity::{Activity, Watched},
    dial::BoxStream,
    hello::{self, HELLO_BYTES_MAX},
    intercept::intercept,
    meter::Metered,
};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use std::{io::Cursor, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

/// A fatal alert of TLS, `unrecognized_name` (RFC 6066): clients say so in plain words.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];
/// How long a client that was refused may take to hang up.
const HANG_UP: Duration = Duration::from_secs(2);
const READ_BYTES: usize = 4096;

/// A granted CONNECT.
pub(super) struct Tunnel {
    pub(super) upgrade: OnUpgrade,
    pub(super) target: Target,
    /// Absent where TLS is read here.
    pub(super) upstream: Option<BoxStream>,
}

impl Tunnel {
    /// Carries bytes until either side has ended.
    pub(super) async fn run(self, access: &Access, activity: &Activity) {
        let Self { upgrade, target, upstream } = self;
        let Ok(upgraded) = upgrade.await else { return };
        let mut client = TokioIo::new(upgraded);
        let first = match first_message(&mut client, &target, access.limits().head).await {
            Ok(first) => first,
            Err(refusal) => {
                access.refused(&target, &refusal);
                return turn_away(client).await;
            }
        };
        let Some(upstream) = upstream else {
            let (read, write) = tokio::io::split(client);
            let client = tokio::io::join(Cursor::new(first).chain(read), write);
            return intercept(access, target, client, activity).await;
        };
        let upstream = Watched::new(upstream, activity.clone());
        let mut upstream = Metered::new(upstream, access.meter(&target));
        let carried = async {
            upstream.write_all(&first).await?;
            tokio::io::copy_bidirectional(&mut client, &mut upstream).await
        };
        // Whichever side broke off, both are closed now.
        let _ = carried.await;
    }
}

/// The client's first message, which must be TLS for the target.
async fn first_message(
    client: &mut (impl AsyncRead + Unpin),
    target: &Target,
    patience: Duration,
) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::with_capacity(READ_BYTES);
    let reading = async {
        loop {
            match hello::read(&bytes) {
                Hello::More => {}
                Hello::NotTls | Hello::Malformed => return Err(Refusal::NotTls),
                Hello::Found { name, .. } => return named(name, target),
            }
            let room = (HELLO_BYTES_MAX - bytes.len()).min(READ_BYTES) as u64;
            match (&mut *client).take(room).read_buf(&mut bytes).await {
                Ok(count) if count > 0 => {}
                _ => return Err(Refusal::NotTls),
            }
        }
    };
    match timeout(patience, reading).await {
        Ok(checked) => checked.map(|()| bytes),
        Err(_) => Err(Refusal::NotTls),
    }
}

fn named(name: Option<String>, target: &Target) -> Result<(), Refusal> {
    match name {
        Some(name) if name == target.host => Ok(()),
        Some(name) => Err(Refusal::OtherName(name)),
        // An address is no server name (RFC 6066): clients send none.
        None if target.is_address() => Ok(()),
        None => Err(Refusal::NoName),
    }
}

async fn turn_away(mut client: TokioIo<Upgraded>) {
    let leaving = async {
        client.write_all(&UNRECOGNIZED_NAME).await?;
        client.shutdown().await?;
        let mut rest = (&mut client).take(HELLO_BYTES_MAX as u64);
        tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
    };
    // It is closed either way.
    let _ = timeout(HANG_UP, leaving).await;
}
