//! Tests of the proxy's limits: sizes, times, numbers.

use super::world::{Ca, PATIENCE, Site, answer, curl, egress, lines, open, say_text, serve};
use journeyman::egress::Limits;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn heads_that_are_too_large_are_refused() {
    let ca = Ca::new();
    let site = Site::http(|_| answer(200, &[], "reached")).await;
    let (access, _) = open(&egress(&ca, Limits::default()), &[format!("a.test:{}", site.port)]);
    let request = |headers: &str| format!("GET http://a.test:{}/ HTTP/1.1\r\nHost: a\r\n{headers}\r\n", site.port);
    let long = format!("X-Long: {}\r\n", "x".repeat(40_000));
    let many: String = (0..200).map(|n| format!("X-{n}: x\r\n")).collect();
    let target = format!("GET http://a.test:{}/{} HTTP/1.1\r\n\r\n", site.port, "x".repeat(40_000));
    for text in [request(&long), request(&many), target] {
        let heard = say_text(&access, &text).await;
        assert!(heard.starts_with("HTTP/1.1 431") || heard.starts_with("HTTP/1.1 414"), "{heard}");
    }
    assert_eq!(site.connections(), 0);
}

#[tokio::test]
async fn a_client_that_dawdles_is_ended() {
    let ca = Ca::new();
    let limits = Limits { head: Duration::from_millis(200), idle: Duration::from_millis(400), ..Limits::default() };
    let site = Site::raw(|mut stream| async move {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let (access, used) = open(&egress(&ca, limits), &[format!("a.test:{}", site.port)]);
    let connect = format!("CONNECT a.test:{} HTTP/1.1\r\nHost: a.test\r\n\r\n", site.port);
    // A head that does not end, a tunnel in which nothing is said, a connection over which nothing is asked, an answer
    // that does not come.
    let asked = format!("GET http://a.test:{}/ HTTP/1.1\r\nHost: a.test\r\n\r\n", site.port);
    for first in ["GET http://a.test/ HTTP/1.1\r\nX-Slow: ", &connect, "", &asked] {
        let (near, far) = tokio::io::duplex(4096);
        let (mut read, mut write) = tokio::io::split(far);
        write.write_all(first.as_bytes()).await.unwrap();
        let serving = access.serve(near);
        let mut heard = Vec::new();
        let both = async { tokio::join!(serving, read.read_to_end(&mut heard)) };
        let (_, ended) = tokio::time::timeout(PATIENCE, both).await.expect("it is ended");
        ended.unwrap();
    }
    assert!(lines(&used).contains(&"a.test Refused 1: not TLS".to_owned()));
}

#[tokio::test]
async fn an_endless_body_is_cut_at_the_limit_and_nothing_more_is_loaded() {
    let ca = Ca::new();
    let site = Site::raw(|mut stream| async move {
        let _ = stream.read(&mut [0; 1024]).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
        let chunk = [&b"10000\r\n"[..], &[b'x'; 0x10000], b"\r\n"].concat();
        while stream.write_all(&chunk).await.is_ok() {}
    })
    .await;
    let limits = Limits { connection_bytes: 2 << 20, workspace_bytes: 3 << 20, ..Limits::default() };
    let (access, used) = open(&egress(&ca, limits), &[format!("a.test:{}", site.port)]);
    let proxy = serve(&access).await;
    let url = format!("http://a.test:{}/", site.port);
    let (code, _) = curl(&proxy, &ca.file, &[&url, "--output", "/dev/null"]).await;
    assert_ne!(code, 0, "it was cut");
    assert_eq!(lines(&used), ["a.test Allowed 1", "a.test Refused 1: more than 2 MiB"]);
    let (code, _) = curl(&proxy, &ca.file, &[&url, "--output", "/dev/null"]).await;
    assert_ne!(code, 0);
    let (_, heard) = curl(&proxy, &ca.file, &[&url]).await;
    assert!(heard.contains("more than 3 MiB") && heard.contains("load less"), "{heard}");
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_and_are_then_turned_away() {
    let ca = Ca::new();
    let limits = Limits { connections: 1, head: Duration::from_millis(300), idle: PATIENCE, ..Limits::default() };
    let site = Site::raw(|mut stream| async move {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let (access, _) = open(&egress(&ca, limits), &[format!("a.test:{}", site.port)]);
    let (near, mut held) = tokio::io::duplex(4096);
    let holding = access.clone();
    let first = tokio::spawn(async move { holding.serve(near).await });
    let asked = format!("GET http://a.test:{}/ HTTP/1.1\r\nHost: a.test\r\n\r\n", site.port);
    held.write_all(asked.as_bytes()).await.unwrap();
    while site.connections() == 0 {
        tokio::task::yield_now().await;
    }
    let heard = say_text(&access, &asked).await;
    assert!(heard.starts_with("HTTP/1.1 503 ") && heard.contains("too many connections"), "{heard}");
    first.abort();
    let _ = first.await;
    let heard = say_text(&access, "GET / HTTP/1.1\r\nConnection: close\r\n\r\n").await;
    assert!(heard.starts_with("HTTP/1.1 400 "), "a place is free again: {heard}");
}
