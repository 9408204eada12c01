//! Tests of shutdown.

use journeyman::shutdown::{Drained, Shutdown};
use std::{future::pending, time::Duration};

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(20);

#[tokio::test]
async fn a_drain_waits_for_what_returns_by_itself() {
    let shutdown = Shutdown::new();
    let draining = shutdown.draining();
    let task = shutdown.spawn(async move { draining.cancelled().await });
    shutdown.drain();
    assert_eq!(shutdown.finished_within(LONG, LONG).await, Drained::Whole);
    task.await.unwrap();
    assert!(!shutdown.cut().is_cancelled());
}

#[tokio::test]
async fn what_does_not_return_is_cut() {
    let shutdown = Shutdown::new();
    let cut = shutdown.cut();
    let task = shutdown.spawn(async move { cut.cancelled().await });
    shutdown.drain();
    assert_eq!(shutdown.finished_within(SHORT, LONG).await, Drained::Cut { left: 1 });
    task.await.unwrap();
}

#[tokio::test]
async fn what_does_not_even_return_when_cut_is_left_behind() {
    let shutdown = Shutdown::new();
    let task = shutdown.spawn(pending::<()>());
    shutdown.drain();
    assert_eq!(shutdown.finished_within(SHORT, SHORT).await, Drained::Cut { left: 1 });
    task.abort();
}

#[tokio::test]
async fn a_second_request_cuts_at_once() {
    let shutdown = Shutdown::new();
    let cut = shutdown.cut();
    let _task = shutdown.spawn(async move { cut.cancelled().await });
    shutdown.drain();
    shutdown.cut_now();
    assert_eq!(shutdown.finished_within(LONG, LONG).await, Drained::Cut { left: 1 });
}

#[tokio::test]
async fn nothing_is_finished_before_the_drain_begins() {
    let shutdown = Shutdown::new();
    assert!(tokio::time::timeout(SHORT, shutdown.finished()).await.is_err());
}
