//! Tests of secrets.

use journeyman::secrets::{Redactor, Secret};
use std::borrow::Cow;
use std::time::{Duration, Instant};

fn redact(text: &str) -> String {
    Redactor::default().redact(text).into_owned()
}

#[test]
fn a_secret_shows_itself_nowhere() {
    let secret = Secret::new("hunter2hunter2");
    assert_eq!(format!("{secret:?}"), "Secret(***)");
    assert_eq!(format!("{:?}", Some(&secret)), "Some(Secret(***))");
    assert_eq!(secret, Secret::new("hunter2hunter2"));
    assert_ne!(secret, Secret::new("hunter2hunter3"));
}

#[test]
fn known_values_are_hidden_in_every_common_spelling() {
    let redactor = Redactor::new([&Secret::new("p@ss \"word\"/1")]);
    for text in [
        "the key is p@ss \"word\"/1.",
        r#"{"key":"p@ss \"word\"/1"}"#,
        "?key=p%40ss%20%22word%22%2F1&x=1",
        "cEBzcyAid29yZCIvMQ==",
    ] {
        let redacted = redactor.redact(text);
        assert!(redacted.contains("***"), "{text} became {redacted}");
        assert!(!redacted.contains("word") && !redacted.contains("cEBz"), "{text} became {redacted}");
    }
}

#[test]
fn of_two_known_values_that_begin_alike_the_longer_one_goes_whole() {
    let redactor = Redactor::new([&Secret::new("abcdefgh"), &Secret::new("abcdefghijkl")]);
    assert_eq!(redactor.redact("x abcdefghijkl y abcdefgh z"), "x *** y *** z");
}

#[test]
fn a_short_known_value_does_not_garble_text() {
    let redactor = Redactor::new([&Secret::new("test")]);
    assert!(matches!(redactor.redact("cargo test"), Cow::Borrowed("cargo test")));
}

#[test]
fn a_redactor_with_further_values_hides_the_old_ones_too() {
    let redactor = Redactor::new([&Secret::new("first-secret")]).with([&Secret::new("second-secret")]);
    assert_eq!(redactor.redact("first-secret second-secret"), "*** ***");
    assert!(!format!("{redactor:?}").contains("secret"));
}

#[test]
fn credential_shapes_are_hidden_and_what_surrounds_them_stays() {
    for (text, expected) in [
        ("https://bob:s3cret@example.com/a", "https://bob:***@example.com/a"),
        ("postgres://u:p%40ss@h/db and more", "postgres://u:***@h/db and more"),
        ("https://0123456789abcdef0123@host/x.git", "https://***@host/x.git"),
        ("Authorization: Bearer abc.def-ghi_jkl", "Authorization: Bearer ***"),
        ("authorization: basic dXNlcjpwYXNz", "authorization: basic ***"),
        ("\"authorization\": \"token 12345678\"", "\"authorization\": \"token ***\""),
        ("x-api-key: 12345678abc", "x-api-key: ***"),
        ("key sk-proj-abcdefghij1234567890 end", "key *** end"),
        ("ghp_0123456789abcdefghijABCDEFGHIJ012345", "***"),
        ("github_pat_11ABCDEFG0abcdefghijkl_mnop", "***"),
        ("AKIAIOSFODNN7EXAMPLE", "***"),
        (
            "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc=\n-----END RSA PRIVATE KEY-----",
            "-----BEGIN RSA PRIVATE KEY-----***-----END RSA PRIVATE KEY-----",
        ),
    ] {
        assert_eq!(redact(text), expected);
    }
}

#[test]
fn ordinary_text_is_left_alone_and_not_copied() {
    for text in [
        "https://example.com/a@b",
        "ssh://git@example.com:22/repo.git",
        "git@github.com:owner/name.git",
        "pip install sk-learn-contrib",
        "the disk-usage-of-everything-123456 task-0123456789abcdef",
        "http://localhost:8080/path?mail=a@b.c",
        "let authorization = headers.get(AUTHORIZATION);",
        "",
    ] {
        assert!(matches!(Redactor::default().redact(text), Cow::Borrowed(_)), "{text} became {}", redact(text));
    }
}

#[test]
fn a_long_name_that_begins_like_a_key_is_none() {
    assert_eq!(redact("pip install sk-learn-contrib-extras"), "pip install sk-learn-contrib-extras");
}

#[test]
fn text_that_is_no_utf8_is_redacted_too() {
    let redactor = Redactor::new([&Secret::new("known-value")]);
    assert_eq!(&*redactor.redact_bytes(b"\xff known-value \xfe sk-abcdefghij1234567890"), b"\xff *** \xfe ***");
}

#[test]
fn large_texts_cost_little() {
    let redactor = Redactor::new([&Secret::new("a-known-secret-value"), &Secret::new("another-known-value")]);
    let line = "src/lib.rs:12: let value = map.get(\"key\").unwrap_or_default(); // see https://docs.rs/x\n";
    let text = line.repeat((8 << 20) / line.len());
    let start = Instant::now();
    assert!(matches!(redactor.redact(&text), Cow::Borrowed(_)));
    let took = start.elapsed();
    assert!(took < Duration::from_secs(2), "8 MiB took {took:?}");
}
