//! Bytes that go in and out: counted, and cut off at their limits.

use super::{
    Refusal, Target,
    ledger::{Counts, Used},
};
use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What all connections of one workspace may carry together, and all workspaces under the policy.
#[derive(Debug)]
pub(super) struct Allowance {
    carried: AtomicU64,
    of_workspace: u64,
    of_policy: u64,
    used: Used,
}

impl Allowance {
    pub(super) fn new(of_workspace: u64, of_policy: u64, used: Used) -> Self {
        Self { carried: AtomicU64::new(0), of_workspace, of_policy, used }
    }

    /// The limit that is reached.
    pub(super) fn reached(&self) -> Option<u64> {
        self.limit(self.carried.load(Ordering::Relaxed), self.used.bytes(), u64::ge)
    }

    /// Counts bytes; the limit that they go beyond.
    fn take(&self, bytes: u64) -> Option<u64> {
        let carried = self.carried.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        self.limit(carried, self.used.add(bytes), u64::gt)
    }

    fn limit(&self, carried: u64, used: u64, beyond: impl Fn(&u64, &u64) -> bool) -> Option<u64> {
        let limits = [(used, self.of_policy), (carried, self.of_workspace)];
        limits.into_iter().find(|(bytes, most)| beyond(bytes, most)).map(|(_, most)| most)
    }
}

/// A connection to a host.
#[derive(Debug)]
pub(super) struct Metered<S> {
    stream: S,
    meter: Meter,
}

/// The limits that one connection is under.
#[derive(Debug)]
pub(super) struct Meter {
    pub(super) target: Target,
    pub(super) counts: Arc<Counts>,
    pub(super) used: Used,
    pub(super) allowance: Arc<Allowance>,
    /// For this connection.
    pub(super) left: u64,
    pub(super) most: u64,
    pub(super) over: bool,
}

impl Meter {
    fn charge(&mut self, bytes: usize) -> io::Result<()> {
        let bytes = bytes as u64;
        let of_all = self.allowance.take(bytes);
        let beyond = of_all.or((self.left < bytes).then_some(self.most));
        self.left = self.left.saturating_sub(bytes);
        let Some(most) = beyond else { return Ok(()) };
        if !std::mem::replace(&mut self.over, true) {
            self.used.refused(&self.target, &Refusal::Bytes(most >> 20));
        }
        Err(io::Error::other("the limit of bytes is reached"))
    }
}

impl<S> Metered<S> {
    pub(super) fn new(stream: S, meter: Meter) -> Self {
        Self { stream, meter }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if let Poll::Ready(Ok(())) = polled {
            let count = buf.filled().len() - before;
            self.meter.counts.received(count);
            self.meter.charge(count)?;
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if let Poll::Ready(Ok(count)) = polled {
            self.meter.counts.sent(count);
            self.meter.charge(count)?;
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
