//! Tests of what the proxy passes on and what it refuses.

use super::{
    parsers::hello,
    world::{Ca, Site, answer, curl, egress, lines, open, say, say_text, serve},
};
use journeyman::{
    domain::task::{NetworkMode, NetworkPolicy},
    egress::{Egress, EgressSettings, Limits, NewAccess, Used},
    net::AddressPolicy,
};
use std::net::IpAddr;

#[tokio::test]
async fn listed_hosts_are_reached_in_plain_and_by_tunnel() {
    let ca = Ca::new();
    let plain = Site::http(|seen| answer(200, &[("x-seen", "yes")], format!("plain {}", seen.line))).await;
    let tls = Site::https(ca.server(&["registry.test"]), |seen| answer(200, &[], format!("tls {}", seen.line))).await;
    let hosts = [format!("a.test:{}", plain.port), format!("*.test:{}", tls.port)];
    let (access, used) = open(&egress(&ca, Limits::default()), &hosts);
    let proxy = serve(&access).await;
    let url = format!("http://a.test:{}/x?y=1", plain.port);
    assert_eq!(curl(&proxy, &ca.file, &[&url]).await, (0, "plain GET /x?y=1".to_owned()));
    let url = format!("https://registry.test:{}/pkg", tls.port);
    assert_eq!(curl(&proxy, &ca.file, &[&url, "--data", "abc"]).await, (0, "tls POST /pkg".to_owned()));
    assert_eq!(tls.seen()[0].body, "abc");
    let seen = &plain.seen()[0];
    assert_eq!(seen.headers["host"], format!("a.test:{}", plain.port));
    assert!(!seen.headers.contains_key("proxy-connection"));
    assert_eq!(lines(&used), ["a.test Allowed 1", "registry.test Allowed 1"]);
    assert_eq!(lines(&used), Vec::<String>::new(), "it is told once");
}

#[tokio::test]
async fn what_is_refused_names_the_host_and_the_mend_and_connects_nowhere() {
    let ca = Ca::new();
    let site = Site::http(|_| answer(200, &[], "reached")).await;
    let port = site.port;
    let (access, used) = open(&egress(&ca, Limits::default()), &["a.test".to_owned(), "*.deb.test".to_owned()]);
    for (asked, host, why) in [
        ("CONNECT b.test:443".to_owned(), "b.test:443", "not among the allowed hosts"),
        ("GET http://b.test/".to_owned(), "b.test:80", "allowed are"),
        (format!("CONNECT a.test:{port}"), "a.test", "port not allowed"),
        ("CONNECT a.test:22".to_owned(), "a.test:22", "ports 80 and 443"),
        ("CONNECT a.test:25".to_owned(), "a.test:25", "ports 80 and 443"),
        (format!("CONNECT 127.0.0.1:{port}"), "127.0.0.1", "an address instead of a name"),
        (format!("GET http://0x7f.1:{port}/"), "0x7f.1", "an address instead of a name"),
        ("CONNECT 93.184.216.34:443".to_owned(), "93.184.216.34", "an address instead of a name"),
        ("CONNECT 169.254.169.254:80".to_owned(), "169.254.169.254", "link-local or metadata"),
        ("GET http://169.254.169.254/latest/meta-data/".to_owned(), "169.254.169.254", "link-local or metadata"),
        ("GET http://metadata.google.internal/".to_owned(), "metadata.google.internal", "link-local or metadata"),
        ("CONNECT [fe80::1]:443".to_owned(), "[fe80::1]", "link-local or metadata"),
        ("CONNECT 10.0.0.1:443".to_owned(), "10.0.0.1", "private, loopback"),
        ("CONNECT [::1]:443".to_owned(), "[::1]", "private, loopback"),
        ("CONNECT deb.test:443".to_owned(), "deb.test:443", "not among the allowed hosts"),
    ] {
        let heard = say_text(&access, &format!("{asked} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")).await;
        assert!(
            heard.starts_with("HTTP/1.1 403 ") && heard.contains("x-journeyman-network: refused"),
            "{asked}: {heard}"
        );
        assert!(heard.contains(host) && heard.contains(why) && heard.contains("What to do: "), "{asked}: {heard}");
    }
    assert_eq!(site.connections(), 0);
    let told = used.take().hosts;
    assert!(told.iter().all(|used| used.reason.is_some() && used.bytes_in + used.bytes_out == 0), "{told:#?}");
    assert_eq!(told.iter().map(|used| used.requests).sum::<u64>(), 15);
}

#[tokio::test]
async fn what_is_no_request_of_a_proxy_is_told_so() {
    let ca = Ca::new();
    let (access, used) = open(&egress(&ca, Limits::default()), &["a.test".to_owned()]);
    for (asked, why) in [
        ("GET / HTTP/1.1\r\nHost: a.test\r\n", "this is the proxy"),
        ("GET https://a.test/ HTTP/1.1\r\nHost: a.test\r\n", "use CONNECT"),
        ("GET ftp://a.test/ HTTP/1.1\r\nHost: a.test\r\n", "only http://"),
        ("GET http://user:word@a.test/ HTTP/1.1\r\nHost: a.test\r\n", "no user or password"),
        ("CONNECT a.test:0 HTTP/1.1\r\nHost: a.test\r\n", "port"),
        ("CONNECT a.test:99999 HTTP/1.1\r\nHost: a.test\r\n", ""),
    ] {
        let heard = say_text(&access, &format!("{asked}Connection: close\r\n\r\n")).await;
        assert!(heard.starts_with("HTTP/1.1 400 ") && heard.contains(why), "{asked}: {heard}");
    }
    assert_eq!(lines(&used), Vec::<String>::new());
}

#[tokio::test]
async fn a_tunnel_begins_with_tls_for_the_host_or_ends() {
    let ca = Ca::new();
    let site = Site::raw(|mut stream| async move {
        use tokio::io::AsyncReadExt;
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes).await;
        assert!(bytes.is_empty(), "nothing of it is passed on");
    })
    .await;
    let port = site.port;
    let (access, used) = open(&egress(&ca, Limits::default()), &[format!("a.test:{port}")]);
    let connect = format!("CONNECT a.test:{port} HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let alert = [21, 3, 3, 0, 2, 2, 112];
    for (first, reason) in [
        (hello("b.test", true), "TLS for another name (b.test)"),
        (hello("sub.a.test", true), "TLS for another name (sub.a.test)"),
        (hello("a.test", false), "TLS without a server name"),
        (b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), "not TLS"),
        (b"GET / HTTP/1.1\r\nHost: b.test\r\n\r\n".to_vec(), "not TLS"),
        (b"\x16\x03\x01\0\x04\x02\0\0\0".to_vec(), "not TLS"),
        (Vec::new(), "not TLS"),
    ] {
        let heard = say(&access, &[connect.as_bytes(), &first].concat()).await;
        assert!(heard.starts_with(b"HTTP/1.1 200 ") && heard.ends_with(&alert), "{reason}: {heard:?}");
        assert_eq!(lines(&used), [format!("a.test Refused 1: {reason}")]);
    }
}

#[tokio::test]
async fn a_redirect_to_a_host_that_is_not_allowed_is_not_followed() {
    let ca = Ca::new();
    let other = Site::http(|_| answer(200, &[], "reached")).await;
    let to = format!("http://b.test:{}/secret", other.port);
    let site = Site::http(move |_| answer(302, &[("location", &to)], "")).await;
    let (access, used) = open(&egress(&ca, Limits::default()), &[format!("a.test:{}", site.port)]);
    let proxy = serve(&access).await;
    let (_, heard) = curl(&proxy, &ca.file, &["--location", &format!("http://a.test:{}/", site.port)]).await;
    assert!(heard.contains("network refused: b.test"), "{heard}");
    assert_eq!(other.connections(), 0);
    assert_eq!(lines(&used), ["a.test Allowed 1", "b.test Refused 1: not among the allowed hosts"]);
}

#[tokio::test]
async fn a_name_of_which_one_address_is_private_is_not_reached_at_all() {
    let site = Site::http(|_| answer(200, &[], "reached")).await;
    let names = [("rebinds.test".to_owned(), vec![IpAddr::from([93, 184, 216, 34]), IpAddr::from([127, 0, 0, 1])])];
    let addresses = AddressPolicy::default().with_names(names.into());
    let egress = Egress::new(EgressSettings { addresses, ..EgressSettings::default() }).unwrap();
    let used = Used::default();
    let host = format!("rebinds.test:{}", site.port);
    let policy = NetworkPolicy { mode: NetworkMode::Allowlist, hosts: vec![host.clone()], ..NetworkPolicy::default() };
    let new = NewAccess { policy, used: used.clone(), ..NewAccess::default() };
    let access = egress.access(new).unwrap().unwrap();
    for asked in [format!("GET http://{host}/"), format!("CONNECT {host}")] {
        let heard = say_text(&access, &format!("{asked} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).await;
        assert!(heard.starts_with("HTTP/1.1 403 ") && heard.contains("private, loopback"), "{heard}");
    }
    assert_eq!(site.connections(), 0);
}

#[tokio::test]
async fn only_the_methods_that_are_listed_may_be_used_over_tls_too() {
    let ca = Ca::new();
    let plain = Site::http(|_| answer(200, &[], "plain")).await;
    let tls = Site::https(ca.server(&["a.test"]), |_| answer(200, &[], "tls")).await;
    let hosts = vec![format!("a.test:{}", plain.port), format!("a.test:{}", tls.port)];
    let methods = vec!["GET".to_owned(), "HEAD".to_owned()];
    let policy = NetworkPolicy { mode: NetworkMode::Allowlist, hosts, methods, max_mib: None };
    let access = egress(&ca, Limits::default()).access(NewAccess { policy, ..NewAccess::default() }).unwrap().unwrap();
    let trusted = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(trusted.path(), access.bundle().unwrap()).unwrap();
    let proxy = serve(&access).await;
    for (site, scheme, name) in [(&plain, "http", "plain"), (&tls, "https", "tls")] {
        let url = format!("{scheme}://a.test:{}/", site.port);
        assert_eq!(curl(&proxy, trusted.path(), &[&url]).await, (0, name.to_owned()));
        let (_, heard) = curl(&proxy, trusted.path(), &[&url, "--request", "DELETE"]).await;
        assert!(heard.contains("method DELETE not allowed") && heard.contains("allowed are GET, HEAD"), "{heard}");
        assert_eq!(site.seen().len(), 1);
    }
}
