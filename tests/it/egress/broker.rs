//! Tests of secrets that a workspace uses without having them.

use super::world::{Ca, Served, Site, answer, curl, egress, lines, serve, with_secrets};
use base64::{Engine, engine::general_purpose::STANDARD};
use journeyman::{
    clock,
    domain::TaskId,
    egress::{BrokerSecret, Limits, handle},
    secrets::Secret,
};
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const VALUE: &str = "s3cr3t/value+\"of<a>token";

fn secret(hosts: &[String], in_query: bool) -> BrokerSecret {
    let task: TaskId = clock::new_id();
    BrokerSecret {
        name: "REGISTRY_TOKEN".to_owned(),
        handle: handle(&[7; 32], task, "REGISTRY_TOKEN"),
        value: Secret::new(VALUE),
        hosts: hosts.iter().map(|host| host.parse().unwrap()).collect(),
        in_query,
    }
}

/// A proxy that exchanges one secret at some hosts; with what trusts it.
async fn with(ca: &Ca, hosts: &[String], secret: &BrokerSecret) -> (Served, NamedTempFile, journeyman::egress::Used) {
    let (access, used) = with_secrets(&egress(ca, Limits::default()), hosts, vec![secret.clone()]);
    let environment = access.environment();
    assert!(environment.contains(&("REGISTRY_TOKEN".to_owned(), secret.handle.clone())));
    assert!(environment.iter().all(|(_, value)| !value.contains(VALUE)));
    let trusted = NamedTempFile::new().unwrap();
    let bundle = access.bundle().unwrap();
    assert!(!bundle.contains("PRIVATE KEY"));
    std::fs::write(trusted.path(), bundle).unwrap();
    (serve(&access).await, trusted, used)
}

#[test]
fn a_handle_is_the_tasks_own_and_always_the_same() {
    let (one, other): (TaskId, TaskId) = (clock::new_id(), clock::new_id());
    let of = |key: u8, task, name| handle(&[key; 32], task, name);
    assert_eq!(of(1, one, "A"), of(1, one, "A"));
    let all = [of(1, one, "A"), of(2, one, "A"), of(1, other, "A"), of(1, one, "B")];
    assert_eq!(all.iter().collect::<std::collections::BTreeSet<_>>().len(), 4);
    assert!(all.iter().all(|handle| handle.starts_with("jm-secret-") && handle.len() == 42));
}

#[tokio::test]
async fn the_value_goes_to_its_host_in_headers_and_nowhere_else() {
    let ca = Ca::new();
    let bound = Site::https(ca.server(&["registry.test"]), |_| answer(200, &[], "ok")).await;
    let other = Site::https(ca.server(&["b.test"]), |_| answer(200, &[], "ok")).await;
    let plain = Site::http(|_| answer(200, &[], "ok")).await;
    let at_bound = format!("registry.test:{}", bound.port);
    let hosts = [at_bound.clone(), format!("b.test:{}", other.port), format!("registry.test:{}", plain.port)];
    // The plain port is bound too: without TLS nothing is exchanged.
    let secret = secret(&[at_bound.clone(), format!("registry.test:{}", plain.port)], false);
    let (proxy, trusted, used) = with(&ca, &hosts, &secret).await;
    let handle = &secret.handle;
    let bearer = format!("Authorization: Bearer {handle}");
    let key = format!("X-Api-Key: {handle}");
    let url = format!("https://{at_bound}/pkg?token={handle}");
    let arguments = [&url[..], "--header", &bearer, "--header", &key, "--data", handle];
    assert_eq!(curl(&proxy, trusted.path(), &arguments).await, (0, "ok".to_owned()));
    let user = format!("user:{handle}");
    assert_eq!(curl(&proxy, trusted.path(), &[&url, "--user", &user]).await.0, 0);
    let seen = bound.seen();
    assert_eq!(seen[0].headers["authorization"], format!("Bearer {VALUE}"));
    assert_eq!(seen[0].headers["x-api-key"], VALUE);
    assert_eq!(seen[0].line, format!("POST /pkg?token={handle}"), "an address is written down by servers");
    assert_eq!(seen[0].body, *handle);
    assert_eq!(seen[1].headers["authorization"], format!("Basic {}", STANDARD.encode(format!("user:{VALUE}"))));
    assert_eq!(seen[0].headers["accept-encoding"], "identity");
    for (site, url) in
        [(&other, format!("https://b.test:{}/", other.port)), (&plain, format!("http://registry.test:{}/", plain.port))]
    {
        assert_eq!(curl(&proxy, trusted.path(), &[&url, "--header", &bearer]).await.0, 0);
        assert_eq!(site.seen()[0].headers["authorization"], format!("Bearer {handle}"));
    }
    assert_eq!(lines(&used), ["b.test Allowed 1", "registry.test Allowed 1", "registry.test Allowed 2"]);
}

#[tokio::test]
async fn it_stands_in_the_address_only_where_that_was_asked_for() {
    let ca = Ca::new();
    let site = Site::https(ca.server(&["registry.test"]), |_| answer(200, &[], "ok")).await;
    let host = format!("registry.test:{}", site.port);
    let secret = secret(std::slice::from_ref(&host), true);
    let (proxy, trusted, _) = with(&ca, std::slice::from_ref(&host), &secret).await;
    let url = format!("https://{host}/{0}/x?token={0}", secret.handle);
    assert_eq!(curl(&proxy, trusted.path(), &[&url]).await.0, 0);
    let encoded = "s3cr3t%2Fvalue%2B%22of%3Ca%3Etoken";
    assert_eq!(site.seen()[0].line, format!("GET /{encoded}/x?token={encoded}"));
}

#[tokio::test]
async fn an_answer_does_not_give_the_value_away_in_whatever_place() {
    let ca = Ca::new();
    let reversed: String = VALUE.chars().rev().collect();
    let hex: String = VALUE.bytes().map(|byte| format!("{byte:02x}")).collect();
    let encoded = "s3cr3t%2Fvalue%2B%22of%3Ca%3Etoken".to_owned();
    let json = serde_json::to_string(VALUE).unwrap();
    let basic = STANDARD.encode(format!("someone:{VALUE}"));
    let shifted = STANDARD.encode(format!("xy{VALUE}z"));
    let forms = [VALUE.to_owned(), reversed, hex.to_uppercase(), hex, encoded, json, basic, shifted];
    let body = format!("begin {} end", forms.join(" | "));
    let length = body.len();
    let header = [("location", format!("https://b.test/?t={}", forms[4])), ("set-cookie", format!("t={VALUE}"))];
    let site = Site::https(ca.server(&["registry.test"]), move |seen| {
        let echoed = seen.headers.get("authorization").cloned().unwrap_or_default();
        let mut headers: Vec<(&str, &str)> = header.iter().map(|(name, value)| (*name, value.as_str())).collect();
        headers.push(("x-echo", &echoed));
        answer(401, &headers, body.clone())
    })
    .await;
    let host = format!("registry.test:{}", site.port);
    let secret = secret(std::slice::from_ref(&host), false);
    let (proxy, trusted, _) = with(&ca, std::slice::from_ref(&host), &secret).await;
    let bearer = format!("Authorization: Bearer {}", secret.handle);
    let url = format!("https://{host}/");
    let (code, heard) = curl(&proxy, trusted.path(), &[&url, "--include", "--header", &bearer]).await;
    assert_eq!(code, 0);
    assert!(site.seen()[0].headers["authorization"].contains(VALUE), "it was sent");
    assert!(
        heard.contains(&format!("content-length: {length}")) && heard.contains("begin ") && heard.ends_with(" end")
    );
    for form in &forms[..6] {
        assert!(!heard.contains(form.trim_matches('"')), "{form}: {heard}");
    }
    // Of base64 what is left says nothing of the value.
    for word in heard.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '='))) {
        let decoded = STANDARD.decode(word).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&decoded).contains("value"), "{word}");
    }
    assert!(heard.contains("x-echo: Bearer ***"), "{heard}");
}

#[tokio::test]
async fn a_value_over_the_borders_of_pieces_is_found_and_an_encoded_answer_is_not_passed_on() {
    let ca = Ca::new();
    let tls = ca.server(&["registry.test"]);
    let site = Site::raw(move |stream| {
        let tls = std::sync::Arc::clone(&tls);
        async move {
            let mut stream = tokio_rustls::TlsAcceptor::from(tls).accept(stream).await.unwrap();
            let mut head = vec![0; 4096];
            let count = stream.read(&mut head).await.unwrap();
            let encoded = String::from_utf8_lossy(&head[..count]).contains("/encoded");
            let head = if encoded { "content-encoding: gzip\r\n" } else { "trailer: x-t\r\n" };
            let head = format!("HTTP/1.1 200 {VALUE}\r\ntransfer-encoding: chunked\r\n{head}\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            for piece in [&VALUE[..5], &VALUE[5..6], &VALUE[6..], " and ", &VALUE[..9]] {
                stream.write_all(format!("{:x}\r\n{piece}\r\n", piece.len()).as_bytes()).await.unwrap();
                stream.flush().await.unwrap();
            }
            stream.write_all(format!("0\r\nx-t: {VALUE}\r\n\r\n").as_bytes()).await.unwrap();
            let _ = stream.shutdown().await;
        }
    })
    .await;
    let host = format!("registry.test:{}", site.port);
    let secret = secret(std::slice::from_ref(&host), false);
    let (proxy, trusted, _) = with(&ca, std::slice::from_ref(&host), &secret).await;
    let (code, heard) = curl(&proxy, trusted.path(), &[&format!("https://{host}/"), "--include"]).await;
    assert!(code == 0 && heard.ends_with(&format!("{} and {}", "*".repeat(VALUE.len()), &VALUE[..9])), "{heard}");
    assert!(!heard.contains(VALUE), "neither the status nor a trailer has it: {heard}");
    let (_, heard) = curl(&proxy, trusted.path(), &[&format!("https://{host}/encoded")]).await;
    assert!(heard.contains("without Content-Encoding") && !heard.contains(VALUE), "{heard}");
}

#[tokio::test]
async fn a_request_for_another_host_over_the_same_tls_gets_nothing() {
    let ca = Ca::new();
    let site = Site::https(ca.server(&["registry.test"]), |_| answer(200, &[], "ok")).await;
    let host = format!("registry.test:{}", site.port);
    let secret = secret(std::slice::from_ref(&host), false);
    let (proxy, trusted, used) = with(&ca, std::slice::from_ref(&host), &secret).await;
    let bearer = format!("Authorization: Bearer {}", secret.handle);
    let arguments = [&format!("https://{host}/")[..], "--header", &bearer, "--header", "Host: evil.test"];
    let (_, heard) = curl(&proxy, trusted.path(), &arguments).await;
    assert!(heard.contains("the Host header names another host"), "{heard}");
    assert!(site.seen().is_empty());
    assert_eq!(lines(&used), ["registry.test Refused 1: the Host header names another host"]);
    // Programs that do not trust the proxy's authority do not speak to it.
    let (code, _) = curl(&proxy, &ca.file, &[&format!("https://{host}/")]).await;
    assert_ne!(code, 0);
}

#[tokio::test]
async fn many_requests_over_one_connection_share_the_way_to_the_host() {
    let ca = Ca::new();
    let site = Site::https(ca.server(&["registry.test"]), |seen| answer(200, &[], seen.line.clone())).await;
    let host = format!("registry.test:{}", site.port);
    let secret = secret(std::slice::from_ref(&host), false);
    let (proxy, trusted, _) = with(&ca, std::slice::from_ref(&host), &secret).await;
    let urls: Vec<String> = (0..5).map(|n| format!("https://{host}/{n}")).collect();
    let arguments: Vec<&str> = urls.iter().map(String::as_str).collect();
    let (code, heard) = curl(&proxy, trusted.path(), &arguments).await;
    assert_eq!((code, &heard[..]), (0, "GET /0GET /1GET /2GET /3GET /4"));
    assert_eq!(site.connections(), 1);
}
