//! Tests of secrets.

use base64::{Engine, engine::general_purpose as base64_of};
use journeyman::{
    clock,
    domain::{
        TeamId,
        secret::{Owner, Sealed, SecretKind},
    },
    secrets::{Keyring, Redactor, SealError, Secret, Streamed},
};
use proptest::prelude::*;
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

const CANARY: &str = "canary/5f2c 9b1e+77aa~\u{e9}";

/// The canary as programs write it: as it is, in base64 wherever it stands, in hexadecimal digits, for URLs.
fn spellings() -> Vec<String> {
    let mut all = vec![CANARY.to_owned(), serde_json::to_string(CANARY).unwrap()];
    for before in ["", "a", "ab"] {
        let text = format!("{before}{CANARY}cd");
        all.extend([base64_of::STANDARD.encode(&text), base64_of::URL_SAFE_NO_PAD.encode(&text)]);
    }
    let hex: String = CANARY.bytes().map(|byte| format!("{byte:02x}")).collect();
    all.extend([hex.to_uppercase(), hex]);
    let form: String = url::form_urlencoded::byte_serialize(CANARY.as_bytes()).collect();
    let percent = percent_encoding::utf8_percent_encode(CANARY, percent_encoding::NON_ALPHANUMERIC).to_string();
    all.extend([form, percent.to_lowercase(), percent]);
    all
}

/// What none of the spellings leaves of itself: nine bytes of the canary in a row, in any of them.
fn shows(text: &str) -> bool {
    let whole = Redactor::new([&Secret::new(CANARY)]);
    whole.redact_known(text) != text
}

#[test]
fn a_known_value_is_found_in_every_alignment_of_base64_and_in_hexadecimal_digits() {
    let redactor = Redactor::new([&Secret::new(CANARY)]);
    for text in spellings() {
        let redacted = redactor.redact(&text);
        assert!(redacted.contains("***"), "{text} became {redacted}");
        assert!(!shows(&redacted), "{text} became {redacted}");
        let left = redacted.len().saturating_sub(3);
        assert!(left <= 16, "{text} became {redacted}");
    }
}

#[test]
fn each_line_of_a_key_is_hidden_and_what_stands_around_keys_is_not() {
    let key = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAA\nQyNTUxOQAAACBvbmUgbGluZQ\n-----END OPENSSH PRIVATE KEY-----\n";
    let redactor = Redactor::new([&Secret::new(key)]);
    assert_eq!(redactor.redact_known("x QyNTUxOQAAACBvbmUgbGluZQ y"), "x *** y");
    let others = "-----BEGIN OPENSSH PRIVATE KEY-----";
    assert_eq!(redactor.redact_known(others), others);
}

#[test]
fn of_pieces_none_shows_a_value_that_a_border_runs_through() {
    let redactor = Redactor::new([
        &Secret::new(CANARY),
        &Secret::new("canary/5f2c 9b1e"),
        &Secret::new("77aa~\u{e9}xyz-and-more"),
    ]);
    for text in spellings() {
        let text = format!("before \u{e9} {text} after canary/5f2");
        for border in 0..=text.len() {
            let mut streamed = Streamed::new(&redactor);
            let mut out = String::new();
            for piece in [&text.as_bytes()[..border], &text.as_bytes()[border..]] {
                streamed.push(piece);
                let ready = streamed.ready();
                assert!(!ready.contains('\u{fffd}'), "half a character of {text:?} at {border}");
                out.push_str(&ready);
            }
            out.push_str(&streamed.rest());
            assert_eq!(out, redactor.redact(&text), "{text} at {border}");
        }
    }
}

proptest! {
    #[test]
    fn a_text_in_pieces_comes_out_as_the_text_in_whole(
        text in "[abc]{0,60}",
        values in proptest::collection::vec("[abc]{8,12}", 1..4),
        borders in proptest::collection::vec(0_usize..60, 0..6),
    ) {
        let values: Vec<Secret> = values.into_iter().map(Secret::new).collect();
        let redactor = Redactor::new(&values);
        let mut borders: Vec<usize> = borders.into_iter().map(|at| at.min(text.len())).collect();
        borders.extend([0, text.len()]);
        borders.sort_unstable();
        let mut streamed = Streamed::new(&redactor);
        let mut out = String::new();
        for pair in borders.windows(2) {
            streamed.push(&text.as_bytes()[pair[0]..pair[1]]);
            out.push_str(&streamed.ready());
        }
        out.push_str(&streamed.rest());
        prop_assert_eq!(out, redactor.redact(&text).into_owned());
    }
}

#[test]
fn many_large_secrets_cost_little_and_are_hidden_still() {
    let lines = "!\"#$%&'()*+,-./:;<=>?@[]^_`{|}~\n".repeat(600);
    let values: Vec<Secret> = (0..3).map(|at| Secret::new(format!("{at}{}", &lines[..16_000]))).collect();
    let start = Instant::now();
    let redactor = Redactor::new(&values);
    // What grows with the square of their size takes minutes.
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    assert_eq!(redactor.redact_known(&format!("<{}>", values[1].expose().trim())), "<***>");
    assert_eq!(redactor.redact_known(values[2].expose().lines().nth(3).unwrap()), "***");
}

#[test]
fn of_a_text_only_what_another_has_not_is_hidden() {
    let redactor = Redactor::new([&Secret::new("first-secret"), &Secret::new("second-secret")]);
    let text = b"first-secret second-secret";
    assert_eq!(redactor.redact_all_but(text, b"has first-secret").unwrap(), b"first-secret ***");
    assert_eq!(redactor.redact_all_but(text, b"first-secret second-secret"), None);
}

fn owner(name: &str) -> Owner {
    Owner { team: clock::new_id::<TeamId>(), kind: SecretKind::Environment, id: clock::new_id(), name: name.to_owned() }
}

#[test]
fn what_is_sealed_opens_for_its_owner_alone_and_untouched_alone() {
    let keyring = Keyring::new(&[1; 32], &[]);
    let owner = owner("TOKEN");
    let secret = Secret::new(CANARY);
    let sealed = keyring.seal(&owner, &secret).unwrap();
    assert_eq!(keyring.open(&owner, &sealed).unwrap(), secret);
    assert_ne!(sealed, keyring.seal(&owner, &secret).unwrap(), "no two seals are alike");
    let others = [
        Owner { name: "TOKEN2".to_owned(), ..owner.clone() },
        Owner { kind: SecretKind::GitCredential, ..owner.clone() },
        Owner { team: clock::new_id(), ..owner.clone() },
        Owner { id: clock::new_id(), ..owner.clone() },
    ];
    for other in others {
        assert_eq!(keyring.open(&other, &sealed).unwrap_err(), SealError::Damaged { owner: other });
    }
    for at in 0..sealed.sealed.len() {
        let mut damaged = sealed.clone();
        damaged.sealed[at] ^= 1;
        assert!(matches!(keyring.open(&owner, &damaged), Err(SealError::Damaged { .. })), "byte {at}");
    }
    for cut in [0, 5, sealed.wrapped_key.len() - 1] {
        let damaged = Sealed { wrapped_key: sealed.wrapped_key[..cut].to_vec(), ..sealed.clone() };
        assert!(matches!(keyring.open(&owner, &damaged), Err(SealError::Damaged { .. })));
    }
}

#[test]
fn another_master_key_names_what_it_cannot_open_and_an_earlier_one_still_opens() {
    let (before, after) = (Keyring::new(&[1; 32], &[]), Keyring::new(&[2; 32], &[]));
    let owner = owner("TOKEN");
    let sealed = before.seal(&owner, &Secret::new(CANARY)).unwrap();
    let error = after.open(&owner, &sealed).unwrap_err();
    assert!(matches!(error, SealError::UnknownKey { .. }));
    let text = error.to_string();
    assert!(
        text.contains("TOKEN") && text.contains(before.current_id()) && text.contains("JOURNEYMAN_SECRET_KEY_OLD"),
        "{text}"
    );
    let both = Keyring::new(&[2; 32], &[[1; 32], [2; 32]]);
    assert_eq!(both.open(&owner, &sealed).unwrap().expose(), CANARY);
    let rewrapped = Sealed {
        key_id: both.current_id().to_owned(),
        wrapped_key: both.rewrap(&owner, &sealed).unwrap(),
        sealed: sealed.sealed.clone(),
    };
    assert_eq!(after.open(&owner, &rewrapped).unwrap().expose(), CANARY);
    assert!(!format!("{both:?}").contains("[1, 1"));
}
