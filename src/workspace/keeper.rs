//! The task that owns a sandbox's process: it moves bytes, listens for the heart, and when the
//! sandbox ends, for whatever reason, sees to it that nothing of it is left.

use super::{cgroup::Group, link::Link};
use execd::frame::{Decoder, FrameError};
use std::{io, process::ExitStatus, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, ChildStdin, ChildStdout},
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};

/// How often a quiet workspace is asked for a sign of life.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// After so many without an answer it is taken for dead. A workspace may be busy with all its
/// processors; heartbeats are counted, and not time, because the server may have stood still itself.
const SILENT_HEARTBEATS_MAX: u32 = 4;
/// How long a sandbox that was told to end may take before it is killed.
const END_PATIENCE: Duration = Duration::from_millis(400);
const READ_BYTES: usize = 16 * 1024;
/// Buffers above this are given back when they are empty.
const IDLE_BUFFER_BYTES: usize = 64 * 1024;

/// A started sandbox: bubblewrap's outer process and what it needs to be ended.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) child: Child,
    pub(super) stdin: ChildStdin,
    pub(super) stdout: ChildStdout,
    pub(super) group: Option<Group>,
    /// Set to true when no process is left.
    pub(super) ended: watch::Sender<bool>,
}

/// Runs until the sandbox has ended and is cleaned up.
pub(super) async fn keep(mut kept: Kept, link: Arc<Link>) {
    let why = match carry(&mut kept, &link).await {
        Ok(()) if link.is_shutting_down() => "it was closed".to_owned(),
        Ok(()) => "its first process ended".to_owned(),
        Err(error) => error.to_string(),
    };
    // Its stdin closes first: execd, if it is alive and listens, ends of that alone.
    link.end(&why);
    let Kept { child, stdin, stdout, group, ended } = kept;
    drop((stdin, stdout));
    if !link.is_shutting_down() {
        tracing::warn!(workspace.why = %why, "workspace ended unasked");
    }
    bury(child, group).await;
    let _ = ended.send(true);
}

/// Moves bytes both ways until the other end hangs up or breaks the protocol.
async fn carry(kept: &mut Kept, link: &Link) -> io::Result<()> {
    let mut decoder = Decoder::default();
    let mut incoming = vec![0; READ_BYTES];
    let mut outgoing = Vec::new();
    let mut written = 0;
    let mut silent_heartbeats = 0;
    let mut ended_at = None;
    let mut heartbeat = interval(HEARTBEAT);
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
            count = kept.stdout.read(&mut incoming) => {
                let count = count?;
                if count == 0 {
                    return Ok(());
                }
                silent_heartbeats = 0;
                hear(&mut decoder, &incoming[..count], link).map_err(io::Error::other)?;
            }
            count = kept.stdin.write(&outgoing[written..]), if written < outgoing.len() => written += count?,
            () = link.work.notified() => {}
            _ = heartbeat.tick() => {
                if silent_heartbeats > SILENT_HEARTBEATS_MAX {
                    return Err(io::Error::other("it gave no sign of life for a minute"));
                }
                silent_heartbeats += 1;
                if silent_heartbeats > 1 {
                    link.ping();
                }
            }
            () = until(ended_at) => return Ok(()),
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

/// Waits for bubblewrap's end, or makes it; then empties and removes the cgroup. The kernel has
/// killed everything in the sandbox by the time that its first process is gone.
pub(super) async fn bury(mut child: Child, group: Option<Group>) {
    let patience: Result<io::Result<ExitStatus>, _> = timeout(END_PATIENCE, child.wait()).await;
    if patience.is_err() {
        // execd dies with its parent, and everything with execd.
        let _ = child.start_kill();
        let _ = child.wait().await;
    }
    let Some(group) = group else { return };
    for attempt in 0..100 {
        if group.remove() {
            return;
        }
        group.kill();
        sleep(Duration::from_millis(if attempt < 20 { 2 } else { 20 })).await;
    }
    tracing::warn!("the cgroup of a closed workspace could not be removed");
}
