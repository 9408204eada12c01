//! The task that owns a sandbox: it moves bytes, listens for the heart, and when the
//! sandbox ends, for whatever reason, sees to it that nothing of it is left.

use super::{
    backend::{Body, Pipe},
    link::Link,
};
use execd::frame::{Decoder, FrameError};
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::watch,
    time::{Instant, MissedTickBehavior, interval},
};

/// After so many heartbeats without an answer it is taken for dead. A workspace may be busy with all its
/// processors; heartbeats are counted, and not time, because the server may have stood still itself.
const SILENT_HEARTBEATS_MAX: u32 = 4;
/// The same, and for how long at least, of a connection that was made again, until execd has greeted there: somebody holds
/// the line, and nobody speaks.
const UNGREETED_HEARTBEATS_MAX: u32 = 2;
const GREETING_PATIENCE: Duration = Duration::from_secs(20);
/// How long a sandbox that was told to end may take before it is killed.
const END_PATIENCE: Duration = Duration::from_millis(400);
/// How often one workspace is connected to again.
const RECONNECTS_MAX: usize = 16;
const READ_BYTES: usize = 16 * 1024;
/// Buffers above this are given back when they are empty.
const IDLE_BUFFER_BYTES: usize = 64 * 1024;

/// A started sandbox.
pub(super) struct Kept {
    pub(super) pipe: Pipe,
    pub(super) body: Body,
    /// Set to true when nothing of it is left.
    pub(super) ended: watch::Sender<bool>,
    pub(super) heartbeat: Duration,
}

/// How a stream came to its end.
enum Ended {
    Closed,
    /// It broke off; execd may live on.
    Lost(String),
    /// execd did not say a word over it.
    Mute,
    /// execd said what the protocol does not allow.
    Broken(FrameError),
}

/// Runs until the sandbox has ended and is cleaned up.
pub(super) async fn keep(kept: Kept, link: Arc<Link>) {
    let Kept { pipe, body, ended, heartbeat } = kept;
    let why = carry_on(pipe, &body, &link, heartbeat).await;
    link.end(&why);
    if !link.is_shutting_down() {
        tracing::warn!(workspace.why = %why, "workspace ended unasked");
    }
    body.bury().await;
    let _ = ended.send(true);
}

/// Carries bytes over one stream after the other; why there is no more.
async fn carry_on(mut pipe: Pipe, body: &Body, link: &Link, heartbeat: Duration) -> String {
    for _ in 0..RECONNECTS_MAX {
        let why = match carry(&mut pipe, link, heartbeat).await {
            _ if link.is_shutting_down() => return "it was closed".to_owned(),
            Ended::Closed => return "it was closed".to_owned(),
            Ended::Broken(error) => return error.to_string(),
            Ended::Mute => return "it does not answer".to_owned(),
            Ended::Lost(why) if !body.outlives_its_pipe() => return why,
            Ended::Lost(why) => why,
        };
        // It closes first: where execd lives and listens, it kills what was in flight of that alone.
        drop(pipe);
        link.interrupt(&format!("the connection to it was lost: {why}"));
        pipe = tokio::select! {
            reconnected = body.reconnect() => match reconnected {
                Ok(pipe) => pipe,
                Err(why) => return why,
            },
            () = link.shutting_down() => return "it was closed".to_owned(),
        };
        tracing::info!(workspace.why = %why, "the connection to a workspace was lost and made again");
    }
    "the connection to it was lost too often".to_owned()
}

/// Moves bytes both ways until the other end hangs up, falls silent or breaks the protocol.
async fn carry(pipe: &mut Pipe, link: &Link, heartbeat: Duration) -> Ended {
    let greeted_by = Instant::now() + GREETING_PATIENCE;
    let mut decoder = Decoder::default();
    let mut incoming = vec![0; READ_BYTES];
    let mut outgoing = Vec::new();
    let mut written = 0;
    let mut silent_heartbeats = 0;
    let mut ended_at = None;
    let mut heartbeat = interval(heartbeat);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        if written == outgoing.len() {
            outgoing.clear();
            if outgoing.capacity() > IDLE_BUFFER_BYTES {
                outgoing = Vec::new();
            }
            written = 0;
            link.outgoing(&mut outgoing);
        }
        if link.is_shutting_down() && ended_at.is_none() {
            ended_at = Some(Instant::now() + END_PATIENCE);
        }
        tokio::select! {
            count = pipe.reader.read(&mut incoming) => {
                match count {
                    Ok(0) => return Ended::Lost("its first process ended".to_owned()),
                    Ok(count) => {
                        silent_heartbeats = 0;
                        if let Err(error) = hear(&mut decoder, &incoming[..count], link) {
                            return Ended::Broken(error);
                        }
                    }
                    Err(error) => return Ended::Lost(error.to_string()),
                }
            }
            count = pipe.writer.write(&outgoing[written..]), if written < outgoing.len() => match count {
                Ok(count) => written += count,
                Err(error) => return Ended::Lost(error.to_string()),
            },
            () = link.work.notified() => {}
            _ = heartbeat.tick() => {
                let greeted = link.is_greeted();
                if !greeted && silent_heartbeats > UNGREETED_HEARTBEATS_MAX && Instant::now() >= greeted_by {
                    return Ended::Mute;
                }
                if greeted && silent_heartbeats > SILENT_HEARTBEATS_MAX {
                    return Ended::Lost(format!("it gave no sign of life {SILENT_HEARTBEATS_MAX} times"));
                }
                silent_heartbeats += 1;
                if silent_heartbeats > 1 {
                    link.ping();
                }
            }
            () = until(ended_at) => return Ended::Closed,
        }
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

fn hear(decoder: &mut Decoder, bytes: &[u8], link: &Link) -> Result<(), FrameError> {
    decoder.feed(bytes);
    while let Some((header, payload)) = decoder.next_frame()? {
        link.hear(header, payload)?;
    }
    Ok(())
}
