//! Tests of what reads bytes that are not trusted: the first message of TLS, requests, answers with secrets in them.

use super::world::{Ca, Site, answer, egress, lines, open, say};
use journeyman::egress::{HELLO_BYTES_MAX, Hello, Limits, Scrubber, read_hello};
use proptest::{prelude::*, strategy::ValueTree};
use rustls::{ClientConfig, ClientConnection, RootCertStore, pki_types::ServerName};
use std::sync::Arc;

/// The first message of a real client.
pub(super) fn hello(name: &str, named: bool) -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    config.enable_sni = named;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

fn found(name: Option<&str>) -> Hello {
    Hello::Found { name: name.map(str::to_owned), encrypted: false }
}

/// The same message in records of so many bytes.
fn fragmented(bytes: &[u8], length: usize) -> Vec<u8> {
    bytes[5..].chunks(length).fold(Vec::new(), |mut all, piece| {
        all.extend_from_slice(&[22, 3, 1]);
        all.extend_from_slice(&(piece.len() as u16).to_be_bytes());
        all.extend_from_slice(piece);
        all
    })
}

#[test]
fn a_real_clients_name_is_read_however_it_comes() {
    let bytes = hello("Registry.example", true);
    assert_eq!(read_hello(&bytes), found(Some("registry.example")));
    assert_eq!(read_hello(&hello("registry.example", false)), found(None));
    for cut in 0..bytes.len() {
        assert_eq!(read_hello(&bytes[..cut]), Hello::More, "{cut}");
    }
    for length in [1, 2, 7, 100] {
        assert_eq!(read_hello(&fragmented(&bytes, length)), found(Some("registry.example")), "{length}");
    }
    let with_more = [&bytes[..], b"\x14\x03\x03\0\x01\x01"].concat();
    assert_eq!(read_hello(&with_more), found(Some("registry.example")));
}

#[test]
fn what_is_no_hello_is_told_apart() {
    for bytes in [&b"GET / HTTP/1.1\r\n"[..], b"SSH-2.0-x", b"\0", b"EHLO x"] {
        assert_eq!(read_hello(bytes), Hello::NotTls);
    }
    for bytes in
        [&b"\x16\x02"[..], b"\x16\x03\x01\0\0\x01", b"\x16\x03\x01\x7f\xff\x01", b"\x16\x03\x01\0\x04\x02\0\0\0"]
    {
        assert_eq!(read_hello(bytes), Hello::Malformed, "{bytes:?}");
    }
    // A message that says it is long, and records that never end it.
    let mut endless = b"\x16\x03\x01\x40\x00\x01\x00\x7f\x00".to_vec();
    endless.resize(HELLO_BYTES_MAX, 0);
    assert_eq!(read_hello(&endless), Hello::Malformed);
}

/// A hello with these extensions (kind and content).
fn with_extensions(extensions: &[(u16, &[u8])]) -> Vec<u8> {
    let list: Vec<u8> = extensions
        .iter()
        .flat_map(|(kind, content)| [&kind.to_be_bytes()[..], &(content.len() as u16).to_be_bytes(), content].concat())
        .collect();
    let mut body = [&[3, 3][..], &[7; 32], &[0], &[0, 2, 0x13, 1], &[1, 0]].concat();
    body.extend_from_slice(&(list.len() as u16).to_be_bytes());
    body.extend_from_slice(&list);
    let message = [&[1, 0][..], &(body.len() as u16).to_be_bytes(), &body].concat();
    [&[22, 3, 1][..], &(message.len() as u16).to_be_bytes(), &message].concat()
}

fn name_list(names: &[(u8, &[u8])]) -> Vec<u8> {
    let list: Vec<u8> = names
        .iter()
        .flat_map(|(kind, name)| [&[*kind][..], &(name.len() as u16).to_be_bytes(), name].concat())
        .collect();
    [&(list.len() as u16).to_be_bytes()[..], &list].concat()
}

#[test]
fn two_names_are_none_and_encrypted_hellos_are_noticed() {
    let one = name_list(&[(0, b"a.example")]);
    assert_eq!(read_hello(&with_extensions(&[(0, &one)])), found(Some("a.example")));
    let encrypted = Hello::Found { name: Some("a.example".to_owned()), encrypted: true };
    assert_eq!(read_hello(&with_extensions(&[(0, &one), (0xfe0d, b"\0")])), encrypted);
    for extensions in [
        vec![(0, one.clone()), (0, name_list(&[(0, b"b.example")]))],
        vec![(0, name_list(&[(0, b"a.example"), (0, b"b.example")]))],
        vec![(0, name_list(&[(1, b"a.example")]))],
        vec![(0, name_list(&[(0, b"")]))],
        vec![(0, name_list(&[(0, b"a\0b")]))],
        vec![(0, [&one[..], b"x"].concat())],
    ] {
        let extensions: Vec<(u16, &[u8])> = extensions.iter().map(|(kind, content)| (*kind, &content[..])).collect();
        assert_eq!(read_hello(&with_extensions(&extensions)), Hello::Malformed, "{extensions:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_break_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        read_hello(&bytes);
        read_hello(&[b"\x16\x03\x01\x01\x00\x01\x00\x00", &bytes[..]].concat());
    }

    #[test]
    fn a_damaged_hello_names_nothing_that_is_not_in_it(at in 0_usize..400, byte in any::<u8>(), cut in 0_usize..400) {
        let mut bytes = hello("registry.example", true);
        let at = at % bytes.len();
        bytes[at] = byte;
        bytes.truncate(bytes.len() - cut % bytes.len());
        if let Hello::Found { name: Some(name), .. } = read_hello(&bytes) {
            let lower = bytes.to_ascii_lowercase();
            prop_assert!(lower.windows(name.len()).any(|window| window == name.as_bytes()));
        }
    }

    #[test]
    fn a_value_does_not_pass_in_whatever_pieces_it_comes(
        before in "[a-z]{0,20}", after in "[a-z]{0,20}", cuts in prop::collection::vec(0_usize..60, 0..8),
    ) {
        let values = [b"abcabcabd".to_vec(), b"topsecretvalue".to_vec()];
        let whole = format!("{before}abcabcabd{after}topsecretvalue{before}abcabc");
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut % whole.len()).collect();
        cuts.extend([0, whole.len()]);
        cuts.sort_unstable();
        let mut scrubber = Scrubber::new(values);
        let mut passed: Vec<u8> = cuts.windows(2).flat_map(|cut| scrubber.push(&whole.as_bytes()[cut[0]..cut[1]])).collect();
        passed.extend(scrubber.finish());
        let passed = String::from_utf8(passed).unwrap();
        prop_assert_eq!(passed.len(), whole.len());
        prop_assert!(!passed.contains("abcabcabd") && !passed.contains("topsecretvalue"), "{}", passed);
        prop_assert!(passed.starts_with(&before) && passed.ends_with("abcabc"), "{}", passed);
    }
}

#[test]
fn what_cannot_be_a_value_is_passed_on_at_once() {
    let mut scrubber = Scrubber::new([b"topsecret".to_vec()]);
    assert_eq!(scrubber.push(b"data: 1\n\n"), b"data: 1\n\n");
    assert_eq!(scrubber.push(b"data: top"), b"data: ");
    assert_eq!(scrubber.push(b"ic\n"), b"topic\n");
    assert_eq!(scrubber.push(b"topsecre"), b"");
    assert_eq!(scrubber.finish(), b"topsecre");
}

#[tokio::test]
async fn whatever_is_said_to_the_proxy_is_answered_or_ended_and_connects_nowhere() {
    let site = Site::http(|_| answer(200, &[], "reached")).await;
    let ca = Ca::new();
    let limits = Limits { head: std::time::Duration::from_millis(300), ..Limits::default() };
    let (access, used) = open(&egress(&ca, limits), &["other.test".to_owned()]);
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let port = site.port;
    let words = prop::sample::select(vec![
        "GET ",
        "CONNECT ",
        "POST ",
        "http://",
        "https://",
        "127.0.0.1",
        "[::1]",
        "a.test",
        "@",
        ":",
        "/",
        " HTTP/1.1\r\n",
        " HTTP/1.0\r\n",
        "\r\n",
        "\n",
        "Host: a.test\r\n",
        "Content-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "\0",
        "ff\r\n",
        "Connection: upgrade\r\n",
        "é",
        "%",
        "?",
        "#",
    ]);
    let request = prop::collection::vec(words, 1..12);
    for _ in 0..150 {
        let words = request.new_tree(&mut runner).unwrap();
        let text = words.current().concat().replace("a.test", &format!("a.test:{port}"));
        let heard = say(&access, text.as_bytes()).await;
        let text_heard = String::from_utf8_lossy(&heard);
        assert!(
            heard.is_empty() || text_heard.starts_with("HTTP/1.") && !text_heard.contains(" 200 "),
            "{text:?}: {text_heard}"
        );
    }
    assert_eq!(site.connections(), 0);
    assert!(lines(&used).iter().all(|line| !line.contains("Allowed")));
}
