//! Tests of patterns, presets, the operator's cap, and what they come to.

use journeyman::{
    domain::{
        network::{HostPattern, NetworkCap, expand, presets},
        task::{NetworkMode, NetworkPolicy},
    },
    egress::{Policy, Refusal, Target},
    net::AddressPolicy,
};

fn pattern(text: &str) -> HostPattern {
    text.parse().unwrap()
}

fn target(host: &str, port: u16) -> Target {
    Target { host: host.to_owned(), port }
}

#[test]
fn patterns_are_read_in_one_form_or_refused() {
    for (text, form) in [
        ("PyPI.org", "pypi.org"),
        ("*.Debian.org", "*.debian.org"),
        ("git.corp:8443", "git.corp:8443"),
        ("10.1.2.3", "10.1.2.3"),
        ("10.1.2.3:8080", "10.1.2.3:8080"),
        ("[fd00::1]:443", "[fd00::1]:443"),
        ("fd00::1", "[fd00::1]"),
        ("localhost", "localhost"),
    ] {
        assert_eq!(pattern(text).to_string(), form);
        assert_eq!(pattern(form), pattern(text));
    }
    for text in [
        "",
        "*",
        "*.",
        "a..b",
        "-a.b",
        "a-.b",
        "a b",
        "a/b",
        "https://a.b",
        "a.b:",
        "a.b:0",
        "a.b:70000",
        "a.b:x",
        "*.*.b",
        "a.*",
        "a.b.",
        "1.2.3",
        "256.1.1.1",
        "[fd00::1",
        "[x]",
        "[fd00::1]x",
        "a@b.c",
        "ü.de",
        "a.1",
    ] {
        assert!(text.parse::<HostPattern>().is_err(), "{text}");
    }
}

#[test]
fn a_pattern_means_its_host_at_the_webs_ports_or_its_own() {
    let exact = pattern("pypi.org");
    assert!(exact.matches("pypi.org", 443) && exact.matches("pypi.org", 80));
    for (host, port) in
        [("pypi.org", 22), ("pypi.org", 8080), ("a.pypi.org", 443), ("xpypi.org", 443), ("pypi.org.x", 443)]
    {
        assert!(!exact.matches(host, port), "{host}:{port}");
    }
    let below = pattern("*.debian.org");
    assert!(below.matches("deb.debian.org", 80) && below.matches("a.b.debian.org", 443));
    for host in ["debian.org", "xdebian.org", ".debian.org", "debian.org.x"] {
        assert!(!below.matches(host, 443), "{host}");
    }
    let at_port = pattern("git.corp:8443");
    assert!(at_port.matches("git.corp", 8443) && !at_port.matches("git.corp", 443));
    assert!(pattern("[fd00::1]").matches("[fd00::1]", 443) && !pattern("[fd00::1]").matches("[fd00::2]", 443));
}

#[test]
fn a_cap_covers_what_is_within_it_and_nothing_else() {
    let covers = |own: &str, other: &str| pattern(own).covers(&pattern(other));
    for (own, other) in [
        ("a.b", "a.b"),
        ("*.b", "a.b"),
        ("*.b", "*.a.b"),
        ("*.b", "*.b"),
        ("a.b", "a.b:443"),
        ("a.b:22", "a.b:22"),
        ("10.0.0.1", "10.0.0.1"),
    ] {
        assert!(covers(own, other), "{own} {other}");
    }
    for (own, other) in
        [("a.b", "*.b"), ("*.a.b", "*.b"), ("*.b", "b.b.c"), ("a.b", "a.b:22"), ("a.b:443", "a.b"), ("*.b", "xb.c")]
    {
        assert!(!covers(own, other), "{own} {other}");
    }
    let cap = NetworkCap { hosts: Some(vec![pattern("*.corp.example")]), open: true };
    assert!(cap.permits(&pattern("a.corp.example")) && !cap.permits(&pattern("a.example")));
    assert!(!cap.permits_open(), "all hosts are more than some");
}

#[test]
fn presets_are_known_by_name_and_mean_hosts() {
    assert!(presets().is_sorted() && presets().count() > 10);
    for name in presets() {
        assert!(!expand(&format!("preset:{name}")).unwrap().is_empty(), "{name}");
    }
    assert_eq!(expand("preset:PyPI").unwrap(), [pattern("files.pythonhosted.org"), pattern("pypi.org")]);
    assert!(expand("preset:nothing").is_err() && expand("preset:").is_err());
    let policy = NetworkPolicy::default().with(&["preset:npm".to_owned(), "a.b".to_owned()]);
    assert_eq!(policy.mode, NetworkMode::Allowlist);
    assert_eq!(policy.patterns().len(), 3);
}

#[test]
fn what_is_not_allowed_says_why() {
    let addresses = AddressPolicy::new(&["10.0.0.0/8"]).unwrap();
    let of = |mode, hosts: &[&str], cap: &NetworkCap| {
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        Policy::new(&NetworkPolicy { mode, hosts, ..NetworkPolicy::default() }, cap)
    };
    let free = NetworkCap::default();
    let listed = of(NetworkMode::Allowlist, &["a.example", "*.b.example", "10.0.0.1:8080"], &free);
    let check = |policy: &Policy, host: &str, port| policy.check(&target(host, port), &addresses);
    assert_eq!(check(&listed, "A.Example.", 443), Ok(target("a.example", 443)));
    assert_eq!(check(&listed, "x.b.example", 80), Ok(target("x.b.example", 80)));
    assert_eq!(
        check(&listed, "0x0a.1", 8080),
        Ok(target("10.0.0.1", 8080)),
        "an address in any spelling is what it is"
    );
    assert!(matches!(check(&listed, "c.example", 443), Err(Refusal::NotListed { .. })));
    for port in [22, 25, 6379, 8443] {
        assert_eq!(check(&listed, "a.example", port), Err(Refusal::Port), "{port}");
    }
    for host in ["93.184.216.34", "1572395042", "[2606:4700::1111]", "10.0.0.2"] {
        assert_eq!(check(&listed, host, 443), Err(Refusal::Literal), "{host}");
    }
    for host in
        ["127.0.0.1", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254", "metadata", "localhost", "a..b"]
    {
        assert!(matches!(check(&listed, host, 443), Err(Refusal::Address(_))), "{host}");
    }
    assert_eq!(check(&of(NetworkMode::Off, &[], &free), "a.example", 443), Err(Refusal::Off));
    let open = of(NetworkMode::Open, &[], &free);
    assert!(check(&open, "any.example", 443).is_ok() && check(&open, "any.example", 80).is_ok());
    assert_eq!(check(&open, "any.example", 22), Err(Refusal::Port));
    assert_eq!(check(&open, "93.184.216.34", 443), Err(Refusal::Literal));
    let cap = NetworkCap { hosts: Some(vec![pattern("a.example")]), open: true };
    let capped = of(NetworkMode::Allowlist, &["a.example", "c.example"], &cap);
    assert!(check(&capped, "a.example", 443).is_ok());
    assert_eq!(check(&capped, "c.example", 443), Err(Refusal::Capped));
    assert_eq!(check(&of(NetworkMode::Open, &[], &cap), "a.example", 443), Err(Refusal::Capped));
    assert!(of(NetworkMode::Off, &[], &free).is_off() && of(NetworkMode::Allowlist, &[], &free).is_off());
}
