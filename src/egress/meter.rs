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

/// What is left for all connections of one workspace together.
#[derive(Debug)]
pub(super) struct Allowance {
    left: AtomicU64,
    pub(super) whole: u64,
}

impl Allowance {
    pub(super) fn new(bytes: u64) -> Self {
        Self { left: AtomicU64::new(bytes), whole: bytes }
    }

    pub(super) fn is_spent(&self) -> bool {
        self.left.load(Ordering::Relaxed) == 0
    }

    /// Whether it was enough.
    fn take(&self, bytes: u64) -> bool {
        let left =
            self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(left.saturating_sub(bytes)));
        left.is_ok_and(|left| left >= bytes)
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
        let enough = of_all && self.left >= bytes;
        self.left = self.left.saturating_sub(bytes);
        if enough {
            return Ok(());
        }
        if !std::mem::replace(&mut self.over, true) {
            let most = if of_all { self.most } else { self.allowance.whole };
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
