//! Uploads: archives and bundles, small ones and large ones.

use super::harness::{ADMIN, Reply, Server, server};
use futures::stream;
use journeyman::domain::BlobHash;
use reqwest::{Body, Method};
use serde_json::json;

async fn upload(server: &Server, body: impl Into<Body>) -> Reply {
    server.send(server.request(Method::POST, "/v1/uploads", ADMIN).body(body)).await
}

#[tokio::test]
async fn an_archive_and_a_bundle_are_told_apart_by_their_first_bytes() {
    let server = server().await;
    let archive = b"\x1f\x8b\x08rest".to_vec();
    let made = upload(&server, archive.clone()).await.expect(201).json();
    assert_eq!((&made["kind"], &made["size"]), (&json!("tar_gz"), &json!(archive.len())));
    assert_eq!(made["sha256"], json!(BlobHash::of(&archive).0));
    let bundle = upload(&server, "# v2 git bundle\nrest").await.expect(201).json();
    assert_eq!(bundle["kind"], "bundle");
    upload(&server, "something else").await.expect(422);
    upload(&server, "").await.expect(422);
    let json = server.request(Method::POST, "/v1/uploads", ADMIN).json(&json!({}));
    server.send(json).await.expect(415);
}

#[tokio::test]
async fn a_large_upload_goes_to_the_object_store_and_comes_in_pieces() {
    let server = server().await;
    let mut content = b"\x1f\x8b".to_vec();
    content.resize(9 << 20, 7);
    let pieces = content.chunks(100_000).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect::<Vec<_>>();
    let made = upload(&server, Body::wrap_stream(stream::iter(pieces))).await.expect(201).json();
    assert_eq!((&made["size"], &made["sha256"]), (&json!(content.len()), &json!(BlobHash::of(&content).0)));
    let again = upload(&server, content).await.expect(201).json();
    assert_eq!(again["sha256"], made["sha256"]);
    assert_ne!(again["id"], made["id"]);
}

#[tokio::test]
async fn an_upload_past_the_limit_is_refused_before_it_is_read() {
    let server = server().await;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let address = server.base.strip_prefix("http://").unwrap();
    let mut connection = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /v1/uploads HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN}\r\nContent-Length: 268435457\r\nConnection: close\r\n\r\n"
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    connection.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
}

#[tokio::test]
async fn the_same_upload_with_the_same_key_is_one() {
    let server = server().await;
    let send = |body: &'static str| {
        let request = server.request(Method::POST, "/v1/uploads", ADMIN).header("idempotency-key", "u");
        server.send(request.body(body))
    };
    let first = send("# v3 git bundle\none").await.expect(201).json();
    assert_eq!(send("# v3 git bundle\none").await.expect(201).json(), first);
    send("# v3 git bundle\ntwo").await.expect(422);
}
