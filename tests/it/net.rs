//! Tests of which addresses may be reached, and of the client that reaches them.

use journeyman::{
    net::{AddressPolicy, CheckedClient, NetError, Outgoing, Timeouts},
    workspace::repository::{RepositoryUrl, validate_ref, validate_url},
};
use reqwest::Method;
use std::{path::PathBuf, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use url::Url;

const TIMEOUTS: Timeouts =
    Timeouts { connect: Duration::from_secs(5), read: Duration::from_secs(5), total: Some(Duration::from_secs(10)) };

#[test]
fn private_addresses_are_refused_in_every_spelling() {
    let policy = AddressPolicy::default();
    for host in [
        "127.0.0.1",
        "127.1",
        "0x7f.1",
        "0x7f000001",
        "2130706433",
        "017700000001",
        "0177.0.0.1",
        "0",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "100.64.0.1",
        "192.0.0.1",
        "198.18.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "192.0.2.1",
        "[::]",
        "[::1]",
        "[::ffff:7f00:1]",
        "[::ffff:10.0.0.1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[fc00::1]",
        "[fd12::1]",
        "[fec0::1]",
        "[ff02::1]",
        "[2001:db8::1]",
        "[100::1]",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "a.localhost",
        "１２７.0.0.1",
        "127。0。0。1",
    ] {
        assert!(
            matches!(policy.check_host(host), Err(NetError::Private { .. })),
            "{host}: {:?}",
            policy.check_host(host)
        );
    }
    for host in [
        "169.254.169.254",
        "169.254.1.1",
        "0xa9fea9fe",
        "[fe80::1]",
        "[::ffff:169.254.169.254]",
        "[fd00:ec2::254]",
        "100.100.100.200",
        "168.63.129.16",
        "metadata.google.internal",
    ] {
        assert!(matches!(policy.check_host(host), Err(NetError::Forbidden { .. })), "{host}");
    }
    for host in
        ["example.com", "8.8.8.8", "1.1", "[2606:4700::1111]", "a_b.example", "xn--bcher-kva.example", "bücher.example"]
    {
        assert!(policy.check_host(host).is_ok(), "{host}: {:?}", policy.check_host(host));
    }
    for host in ["", "-x.example", "a..b", "a b", "a%2e", "1.2.3.4.5", "256.1.1.1", "[::1", "a/b", "a\0b"] {
        assert!(
            matches!(policy.check_host(host), Err(NetError::InvalidHost { .. })),
            "{host}: {:?}",
            policy.check_host(host)
        );
    }
}

#[test]
fn the_operator_allows_private_hosts_but_never_link_local_ones() {
    let policy =
        AddressPolicy::new(&["10.0.0.0/8", "[fd00::5]", "localhost", "git.corp", "169.254.0.0/16", "fe80::/10", " "])
            .unwrap();
    for host in ["10.200.0.1", "0x0a.1", "[::ffff:10.1.1.1]", "[fd00::5]", "localhost", "git.corp"] {
        assert!(policy.check_host(host).is_ok(), "{host}");
    }
    for host in ["11.0.0.1", "10.0.0.1"] {
        assert!(policy.check_host(host).is_ok(), "{host}");
    }
    for host in ["192.168.0.1", "127.0.0.1", "[fd00::6]", "[::1]"] {
        assert!(matches!(policy.check_host(host), Err(NetError::Private { .. })), "{host}");
    }
    for host in ["169.254.169.254", "[fe80::1]"] {
        assert!(matches!(policy.check_host(host), Err(NetError::Forbidden { .. })), "{host}");
    }
    assert!(matches!(AddressPolicy::new(&["a b"]), Err(NetError::InvalidEntry { .. })));
    assert!(policy.allowing("127.0.0.1").unwrap().check_host("127.0.0.1").is_ok());
}

#[tokio::test]
async fn a_name_is_judged_by_what_it_resolves_to() {
    let strict = AddressPolicy::default();
    assert!(matches!(strict.resolve("localhost", 1).await, Err(NetError::Private { .. })));
    let open = AddressPolicy::new(&["localhost"]).unwrap();
    let addresses = open.resolve("localhost", 1).await.unwrap();
    assert!(!addresses.is_empty() && addresses.iter().all(|address| address.ip().is_loopback() && address.port() == 1));
    assert!(matches!(strict.resolve("absent.invalid", 1).await, Err(NetError::Unresolved { .. })));
    assert!(matches!(strict.resolve("0x7f.1", 1).await, Err(NetError::Private { .. })));
}

#[tokio::test]
async fn the_client_connects_to_what_was_checked_and_follows_no_redirect() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let mut connections = 0;
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            connections += 1;
            let mut request = [0; 1024];
            let count = stream.read(&mut request).await.unwrap();
            let text = String::from_utf8_lossy(&request[..count]).into_owned();
            let answer = if text.starts_with("GET /count ") {
                format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\n{connections}")
            } else {
                "HTTP/1.1 302 Found\r\nlocation: /count\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".to_owned()
            };
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let strict = CheckedClient::new(AddressPolicy::default(), &Outgoing::default(), TIMEOUTS).unwrap();
    let url = |host: &str, path: &str| Url::parse(&format!("http://{host}:{port}{path}")).unwrap();
    assert!(strict.request(Method::GET, &url("127.0.0.1", "/x")).is_err());
    assert!(strict.request(Method::GET, &url("localhost", "/x")).is_err());
    let open = CheckedClient::new(AddressPolicy::new(&["localhost"]).unwrap(), &Outgoing::default(), TIMEOUTS).unwrap();
    let redirect = open.request(Method::GET, &url("localhost", "/x")).unwrap().send().await.unwrap();
    assert_eq!(redirect.status(), 302);
    let count = open.request(Method::GET, &url("localhost", "/count")).unwrap().send().await.unwrap();
    assert_eq!(count.text().await.unwrap(), "2", "the redirect was not followed and the strict client never came");
    for text in ["ftp://example.com/", "http://user:word@example.com/", "file:///etc/passwd"] {
        assert!(matches!(open.request(Method::GET, &Url::parse(text).unwrap()), Err(NetError::InvalidUrl { .. })));
    }
    server.abort();
}

#[test]
fn the_proxy_is_bypassed_where_no_proxy_says_so() {
    let outgoing = Outgoing {
        proxy: Some(Url::parse("http://proxy.corp:3128").unwrap()),
        no_proxy: "internal.example, .corp,10.0.0.0/8".into(),
        ca_file: None,
    };
    for host in ["internal.example", "a.internal.example", "git.corp", "10.1.2.3"] {
        assert!(!outgoing.uses_proxy(host), "{host}");
    }
    for host in ["example.com", "xinternal.example", "11.1.2.3"] {
        assert!(outgoing.uses_proxy(host), "{host}");
    }
    assert!(!Outgoing::default().uses_proxy("example.com"));
    assert!(CheckedClient::new(AddressPolicy::default(), &outgoing, TIMEOUTS).is_ok());
    let missing = Outgoing { ca_file: Some(PathBuf::from("/absent")), ..Outgoing::default() };
    assert!(matches!(CheckedClient::new(AddressPolicy::default(), &missing, TIMEOUTS), Err(NetError::Client { .. })));
}

/// A proxy resolves names for itself: what it would be asked for is looked at here first.
#[tokio::test]
async fn a_name_of_the_inside_is_not_asked_of_the_proxy() {
    let outgoing = Outgoing {
        proxy: Some(Url::parse("http://127.0.0.1:9").unwrap()),
        no_proxy: "around.example".into(),
        ca_file: None,
    };
    let at = |address: &str| vec![address.parse().unwrap()];
    let names =
        [("hook.example", at("10.0.0.5")), ("around.example", at("10.0.0.6")), ("well.example", at("93.184.215.14"))];
    let names = names.map(|(name, addresses)| (name.to_owned(), addresses)).into();
    let client = CheckedClient::new(AddressPolicy::default().with_names(names), &outgoing, TIMEOUTS).unwrap();
    let vet = async |url: &str| client.vet(&Url::parse(url).unwrap()).await;
    assert!(matches!(vet("https://hook.example/x").await, Err(NetError::Private { .. })));
    assert!(vet("https://well.example/x").await.is_ok());
    // The proxy may know names that this machine does not.
    assert!(vet("https://of-the-proxy.invalid/x").await.is_ok());
    // Those that go around it are judged as they are connected to.
    assert!(vet("https://around.example/x").await.is_ok());
}

#[test]
fn repository_urls_are_brought_to_one_form_or_refused() {
    let policy = AddressPolicy::new(&["10.0.0.0/8"]).unwrap();
    let allowed = [PathBuf::from("/srv/git")];
    let check = |text: &str| validate_url(text, &policy, &allowed);
    for (text, form) in [
        ("https://Example.com/a/b.git", "https://example.com/a/b.git"),
        ("https://example.com:443/a", "https://example.com/a"),
        ("http://0x0a.1/a", "http://10.0.0.1/a"),
        ("ssh://git@example.com:2222/a/b", "ssh://git@example.com:2222/a/b"),
        ("git@example.com:a/b.git", "git@example.com:a/b.git"),
        ("file:///srv/git/x", "file:///srv/git/x"),
        ("file://localhost/srv/git/x", "file:///srv/git/x"),
        ("/srv/git//x/", "file:///srv/git/x"),
    ] {
        assert_eq!(check(text).unwrap().to_string(), form);
    }
    assert_eq!(check("https://example.com/a/b.git").unwrap().name(), "b");
    assert!(matches!(check("ssh://h.example/x").unwrap(), RepositoryUrl::Ssh(_)));
    let long = format!("https://example.com/{}", "a".repeat(2048));
    for text in [
        "",
        "x",
        "-x",
        "--upload-pack=x",
        "ftp://example.com/x",
        "git+ssh://git@example.com/x",
        "example.com:a",
        "file:/etc",
        "javascript:1",
        "git://example.com/x",
        "ext::sh -c x",
        "ext::x",
        "https://",
        "https://example.com",
        "https://example.com/",
        "https://u:p@example.com/x",
        "https://token@example.com/x",
        "https://example.com/x?y",
        "https://example.com/x#y",
        "https://127.0.0.1/x",
        "https://0x7f.1/x",
        "https://[::ffff:7f00:1]/x",
        "https://169.254.169.254/x",
        "https://localhost/x",
        "http://2130706433/x",
        "ssh://git:secret@example.com/x",
        "ssh://-oProxyCommand=x@example.com/x",
        "ssh://-x/y",
        "ssh://example.com:0/x",
        "ssh://example.com:x/y",
        "ssh://example.com",
        "ssh://127.0.0.1/x",
        "ssh://0x7f.1/x",
        "ssh://[::1]/x",
        "git@127.1:x",
        "git@[::1]:x",
        "git@example.com:-x",
        "git@example.com:",
        "-git@example.com:x",
        "a b@example.com:x",
        "https://example.com/a\nb",
        "https://example.com/a b",
        "https://example.com/%0ax",
        "https://example.com/\0",
        "file:///etc",
        "/etc/x",
        "/srv/gitx",
        "file:///srv/git/../x",
        "file:///srv/git/%2e%2e/x",
        "./x",
        "../x",
        "file://other/srv/git/x",
        &long,
    ] {
        assert!(check(text).is_err(), "{text:?}: {:?}", check(text));
    }
    let error = check("https://user:s3cret@example.com/x").unwrap_err().to_string();
    assert!(!error.contains("s3cret"));
}

#[test]
fn refs_follow_gits_rules() {
    let sha = "0123456789abcdef0123456789abcdef01234567";
    for text in ["main", "feature/x", "refs/heads/a", "v1.0", sha, "HEAD", "a@b", "ä", "lock", "a.lockx"] {
        assert!(validate_ref(text).is_ok(), "{text}");
    }
    let long = "a".repeat(256);
    for text in [
        "", "-x", "--x", "a/-x", "a b", "a\tb", "a\0", "a~1", "a^", "a:b", "a?", "a*", "a[", "a\\b", "a..b", "a.",
        ".a", "a/.b", "a.lock", "a.lock/b", "/a", "a/", "a//b", "@", "a@{1}", &long,
    ] {
        assert!(validate_ref(text).is_err(), "{text:?}");
    }
}
