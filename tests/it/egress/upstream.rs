//! Tests of hosts that are slow, cut off, wrong or absent, and of the operator's own proxy before them.

use super::{
    parsers::hello,
    world::{Ca, Site, addresses, answer, curl, egress, lines, open, say, say_text, serve},
};
use journeyman::{
    domain::task::{NetworkMode, NetworkPolicy},
    egress::{Egress, EgressSettings, Limits, NewAccess},
    net::Outgoing,
};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use url::Url;

#[tokio::test]
async fn a_host_that_fails_is_told_apart_from_one_that_is_refused() {
    let ca = Ca::new();
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let silent = Site::raw(|mut stream| async move {
        let _ = stream.read(&mut [0; 1024]).await;
    })
    .await;
    let wrong = Site::raw(|mut stream| async move {
        let _ = stream.read(&mut [0; 1024]).await;
        let _ = stream.write_all(b"220 mail.test ESMTP\r\n\r\n").await;
    })
    .await;
    let cut = Site::raw(|mut stream| async move {
        let _ = stream.read(&mut [0; 1024]).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc").await;
    })
    .await;
    let sites = [gone, silent.port, wrong.port, cut.port];
    let mut hosts: Vec<String> = sites.iter().map(|port| format!("a.test:{port}")).collect();
    hosts.push("nowhere.invalid".to_owned());
    let (access, used) = open(&egress(&ca, Limits::default()), &hosts);
    let get = |host: String| format!("GET http://{host}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    for (host, why) in [
        (format!("a.test:{gone}"), "connection refused"),
        (format!("a.test:{}", silent.port), "it closed the connection before it answered"),
        (format!("a.test:{}", wrong.port), "its answer is no HTTP"),
        ("nowhere.invalid".to_owned(), "the name cannot be resolved"),
    ] {
        let heard = say_text(&access, &get(host.clone())).await;
        assert!(heard.starts_with("HTTP/1.1 502 ") && heard.contains(why), "{host}: {heard}");
        assert!(heard.contains("network failed: "), "{heard}");
    }
    let heard = say_text(&access, &get(format!("a.test:{}", cut.port))).await;
    assert!(heard.starts_with("HTTP/1.1 200 ") && heard.contains("content-length: 100") && heard.ends_with("abc"));
    let heard = say_text(&access, &format!("CONNECT a.test:{gone} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
    assert!(heard.starts_with("HTTP/1.1 502 "), "{heard}");
    assert!(lines(&used).iter().filter(|line| line.contains("Failed")).count() == 4);
}

#[tokio::test]
async fn a_host_that_does_not_answer_is_given_up() {
    let ca = Ca::new();
    let limits = Limits { connect: Duration::from_millis(300), ..Limits::default() };
    // It takes the connection and says nothing of TLS.
    let mute = Site::raw(|mut stream| async move {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let policy = NetworkPolicy {
        mode: NetworkMode::Allowlist,
        hosts: vec![format!("a.test:{}", mute.port)],
        methods: vec!["GET".to_owned()],
        max_mib: None,
    };
    let access = egress(&ca, limits).access(NewAccess { policy, ..NewAccess::default() }).unwrap().unwrap();
    let trusted = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(trusted.path(), access.bundle().unwrap()).unwrap();
    let proxy = serve(&access).await;
    let (_, heard) = curl(&proxy, trusted.path(), &[&format!("https://a.test:{}/", mute.port)]).await;
    assert!(heard.contains("TLS: timed out"), "{heard}");
}

#[tokio::test]
async fn a_certificate_that_is_not_the_hosts_is_not_accepted_where_tls_is_read() {
    let (ca, stranger) = (Ca::new(), Ca::new());
    let other_name = Site::https(ca.server(&["b.test"]), |_| answer(200, &[], "reached")).await;
    let unknown = Site::https(stranger.server(&["a.test"]), |_| answer(200, &[], "reached")).await;
    let policy = NetworkPolicy {
        mode: NetworkMode::Allowlist,
        hosts: vec![format!("a.test:{}", other_name.port), format!("a.test:{}", unknown.port)],
        methods: vec!["GET".to_owned()],
        max_mib: None,
    };
    let access = egress(&ca, Limits::default()).access(NewAccess { policy, ..NewAccess::default() }).unwrap().unwrap();
    let trusted = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(trusted.path(), access.bundle().unwrap()).unwrap();
    let proxy = serve(&access).await;
    for site in [&other_name, &unknown] {
        let (_, heard) = curl(&proxy, trusted.path(), &[&format!("https://a.test:{}/", site.port)]).await;
        assert!(heard.contains("network failed") && heard.contains("certificate"), "{heard}");
        assert!(site.seen().is_empty());
    }
}

/// A proxy as an operator has one; the heads that it was sent.
async fn operators_proxy(status: &'static str) -> (Site, Arc<Mutex<Vec<String>>>) {
    let heads: Arc<Mutex<Vec<String>>> = Arc::default();
    let noted = Arc::clone(&heads);
    let site = Site::raw(move |mut stream| {
        let noted = Arc::clone(&noted);
        async move {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap();
            noted.lock().unwrap().push(head.clone());
            let host = head.split_whitespace().nth(1).unwrap().to_owned();
            let Some(host) = head.starts_with("CONNECT ").then_some(host) else {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc").await;
                return;
            };
            stream.write_all(format!("HTTP/1.1 {status}\r\n\r\n").as_bytes()).await.unwrap();
            let port: u16 = host.rsplit(':').next().unwrap().parse().unwrap();
            if let Ok(mut upstream) = TcpStream::connect(("127.0.0.1", port)).await {
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut upstream).await;
            }
        }
    })
    .await;
    (site, heads)
}

fn through(ca: &Ca, proxy: u16, hosts: &[String]) -> (journeyman::egress::Access, journeyman::egress::Used) {
    let outgoing = Outgoing {
        proxy: Some(Url::parse(&format!("http://me:word@127.0.0.1:{proxy}")).unwrap()),
        no_proxy: String::new(),
        ca_file: Some(ca.file.clone()),
    };
    let settings = EgressSettings { addresses: addresses(), outgoing, ..EgressSettings::default() };
    open(&Egress::new(settings).unwrap(), hosts)
}

#[tokio::test]
async fn everything_goes_through_the_operators_proxy_where_there_is_one() {
    let ca = Ca::new();
    let tls = Site::https(ca.server(&["a.test"]), |_| answer(200, &[], "tls")).await;
    let (operators, heads) = operators_proxy("200 OK").await;
    let hosts = [format!("a.test:{}", tls.port), "b.test".to_owned(), "elsewhere.invalid".to_owned()];
    let (access, _) = through(&ca, operators.port, &hosts);
    let proxy = serve(&access).await;
    assert_eq!(curl(&proxy, &ca.file, &[&format!("https://a.test:{}/", tls.port)]).await, (0, "tls".to_owned()));
    assert_eq!(curl(&proxy, &ca.file, &["http://b.test/x"]).await, (0, "abc".to_owned()));
    // What only the proxy can resolve is the proxy's to judge.
    assert_eq!(curl(&proxy, &ca.file, &["http://elsewhere.invalid/"]).await, (0, "abc".to_owned()));
    let heads = heads.lock().unwrap().clone();
    assert!(heads[0].starts_with(&format!("CONNECT a.test:{} HTTP/1.1\r\n", tls.port)), "{heads:?}");
    assert!(heads[1].starts_with("GET http://b.test/x HTTP/1.1\r\n"), "{heads:?}");
    assert!(
        heads.iter().all(|head| head.to_lowercase().contains("proxy-authorization: basic bwu6d29yza==")),
        "{heads:?}"
    );
}

#[tokio::test]
async fn the_address_rules_hold_before_the_operators_proxy_too() {
    let ca = Ca::new();
    let (operators, heads) = operators_proxy("200 OK").await;
    let hosts = ["10.0.0.1".to_owned(), "169.254.169.254".to_owned(), "metadata.google.internal".to_owned()];
    let (access, _) = through(&ca, operators.port, &hosts);
    for host in ["10.0.0.1:443", "169.254.169.254:80", "metadata.google.internal:80"] {
        let heard =
            say_text(&access, &format!("CONNECT {host} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).await;
        assert!(heard.starts_with("HTTP/1.1 403 "), "{heard}");
    }
    assert!(heads.lock().unwrap().is_empty());
    let (refusing, _) = operators_proxy("407 Proxy Authentication Required").await;
    let (access, _) = through(&ca, refusing.port, &["a.test".to_owned()]);
    let heard =
        say(&access, &[&b"CONNECT a.test:443 HTTP/1.1\r\nHost: x\r\n\r\n"[..], &hello("a.test", true)].concat()).await;
    let heard = String::from_utf8_lossy(&heard);
    assert!(heard.starts_with("HTTP/1.1 502 ") && heard.contains("the operator's proxy answers 407"), "{heard}");
}
