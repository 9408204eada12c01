//! JWTs under a key set: who is believed, who is not, and what unknown keys may cost.

use super::harness::{AUDIENCE, Server, claims, seconds_from_now, server_taking};
use crate::support::signing::{Answers, KeyServer, Signer, hs256, set, unsigned};
use journeyman::{
    auth::{Jwks, JwksPlace, JwksTimes, JwtSettings},
    net::{AddressPolicy, CheckedClient, Outgoing, Timeouts},
};
use serde_json::{Value, json};
use std::time::Duration;
use url::Url;

const ISSUER: &str = "https://issuer.example.org";

fn jwks(url: &str, times: JwksTimes) -> Jwks {
    let second = Duration::from_secs(1);
    let timeouts = Timeouts { connect: second, read: second, total: Some(second) };
    let policy = AddressPolicy::new(&["127.0.0.1"]).unwrap();
    let client = CheckedClient::new(policy, &Outgoing::default(), timeouts).unwrap();
    Jwks::new(JwksPlace::Url { client, url: Url::parse(url).unwrap() }, times)
}

async fn server_with_keys(keys: &Jwks) -> Server {
    server_taking(JwtSettings::key_set(keys.clone(), Some(ISSUER), Some(AUDIENCE), false)).await
}

/// Claims that hold for an hour.
fn good(subject: &str) -> Value {
    let mut claims = claims(subject, "default", "member");
    claims["iss"] = json!(ISSUER);
    claims
}

fn with(mut claims: Value, name: &str, value: Value) -> Value {
    claims[name] = value;
    claims
}

#[tokio::test]
async fn tokens_by_each_algorithm_of_a_key_set_hold() {
    let signers = [Signer::rsa("r"), Signer::ec("e"), Signer::ed("d")];
    let mut published = set(&signers.each_ref());
    // What is of no use here is left out, whatever it is.
    published["keys"].as_array_mut().unwrap().extend([
        json!({ "kty": "oct", "kid": "shared", "k": "c2VjcmV0" }),
        json!({ "kty": "EC", "crv": "P-521", "kid": "large", "x": "AA", "y": "AA" }),
        json!({ "kty": "of the future", "kid": { "not": "a text" } }),
        json!("nonsense"),
    ]);
    let issuer = KeyServer::start(Answers::Set(published)).await;
    let keys = jwks(&issuer.url, JwksTimes::default());
    keys.load().await.unwrap();
    let server = server_with_keys(&keys).await;
    for signer in &signers {
        let me = server.get("/v1/me", &signer.token(&good(&signer.kid))).await.expect(200).json();
        assert_eq!(
            (&me["user"]["name"], &me["role"], &me["team"]["name"]),
            (&json!(format!("{}@example.org", signer.kid)), &json!("member"), &json!("default"))
        );
        // Without a name the only key of its kind is meant.
        let head = json!({ "alg": signer.algorithm() });
        server.get("/v1/me", &signer.token_with(&head, &good("unnamed"))).await.expect(200);
    }
    assert_eq!(issuer.asked(), 1);
}

#[tokio::test]
async fn forged_tokens_are_refused_and_lead_nowhere() {
    let (rsa, ec, ed) = (Signer::rsa("r"), Signer::ec("e"), Signer::ed("d"));
    let mallory = Signer::rsa("r");
    let theirs = KeyServer::start(Answers::Set(set(&[&mallory]))).await;
    let mut published = set(&[&rsa, &ec, &ed]);
    published["keys"].as_array_mut().unwrap().push(json!({ "kty": "oct", "kid": "shared", "k": "c2VjcmV0" }));
    let issuer = KeyServer::start(Answers::Set(published)).await;
    let keys = jwks(&issuer.url, JwksTimes::default());
    keys.load().await.unwrap();
    let server = server_with_keys(&keys).await;
    let claims = good("jane");
    let head = |name: &str, value: Value| with(rsa.head(), name, value);
    let hmac_head = json!({ "alg": "HS256", "typ": "JWT", "kid": "r" });
    let sound = rsa.token(&claims);
    let (body, signature) = sound.rsplit_once('.').unwrap();
    let pem = format!("-----BEGIN RSA PUBLIC KEY-----\n{}\n-----END RSA PUBLIC KEY-----\n", {
        use base64::{Engine, engine::general_purpose::STANDARD};
        STANDARD.encode(rsa.public())
    });
    let bad = [
        ("alg none", unsigned(&json!({ "alg": "none" }), &claims)),
        ("alg None", unsigned(&json!({ "alg": "nOnE", "kid": "r" }), &claims)),
        ("no signature", format!("{body}.")),
        ("a signature cut short", format!("{body}.{}", &signature[..signature.len() - 4])),
        ("HS256 with the public key", hs256(&hmac_head, &claims, &rsa.public())),
        ("HS256 with the public key's PEM", hs256(&hmac_head, &claims, pem.as_bytes())),
        ("HS256 with the JWK", hs256(&hmac_head, &claims, rsa.jwk().to_string().as_bytes())),
        ("HS256 with a published secret", hs256(&with(hmac_head.clone(), "kid", json!("shared")), &claims, b"secret")),
        ("HS256 without a secret", hs256(&hmac_head, &claims, b"")),
        ("RS512", rsa.token_with(&head("alg", json!("RS512")), &claims)),
        ("PS256", rsa.token_with(&head("alg", json!("PS256")), &claims)),
        ("the kid of a key of another kind", rsa.token_with(&head("kid", json!("e")), &claims)),
        ("another key under a known kid", mallory.token(&claims)),
        ("jku", mallory.token_with(&with(mallory.head(), "jku", json!(theirs.url)), &claims)),
        ("jku and a kid of theirs", {
            let head = with(with(mallory.head(), "jku", json!(theirs.url)), "kid", json!("m"));
            mallory.token_with(&head, &claims)
        }),
        ("x5u", mallory.token_with(&with(mallory.head(), "x5u", json!(theirs.url)), &claims)),
        ("a key in the head", mallory.token_with(&with(mallory.head(), "jwk", mallory.jwk()), &claims)),
        ("x5c", mallory.token_with(&with(mallory.head(), "x5c", json!(["AAAA"])), &claims)),
        ("kid as a path", rsa.token_with(&head("kid", json!("../../../../dev/null")), &claims)),
        ("kid as SQL", rsa.token_with(&head("kid", json!("r' OR '1'='1")), &claims)),
        ("kid as a URL", rsa.token_with(&head("kid", json!(theirs.url)), &claims)),
        ("kid as a number", rsa.token_with(&head("kid", json!(7)), &claims)),
        ("kid with NUL", rsa.token_with(&head("kid", json!("r\0")), &claims)),
        ("a long kid", rsa.token_with(&head("kid", json!("r".repeat(5_000))), &claims)),
        ("crit", rsa.token_with(&head("crit", json!(["exp"])), &claims)),
        ("a token for logging out", rsa.token_with(&head("typ", json!("logout+jwt")), &claims)),
        ("wrong audience", rsa.token(&with(claims.clone(), "aud", json!("another")))),
        ("wrong audiences", rsa.token(&with(claims.clone(), "aud", json!(["another", "third"])))),
        ("wrong issuer", rsa.token(&with(claims.clone(), "iss", json!("https://issuer.example.org.evil.example")))),
        ("no issuer", rsa.token(&with(claims.clone(), "iss", Value::Null))),
        ("expired", rsa.token(&with(claims.clone(), "exp", json!(seconds_from_now(-60))))),
        ("expiry as a text", rsa.token(&with(claims.clone(), "exp", json!("9999999999")))),
        ("not yet", rsa.token(&with(claims.clone(), "nbf", json!(seconds_from_now(600))))),
        ("oversized", rsa.token(&with(claims.clone(), "name", json!("x".repeat(20_000))))),
        ("oversized in its head", rsa.token_with(&head("x", json!("x".repeat(20_000))), &claims)),
        ("deep", rsa.token_with(&head("x", json!({})), &claims).replacen('.', &"[".repeat(8_000), 1)),
    ];
    for (what, token) in bad {
        let refused = server.get("/v1/me", &token).await;
        let text = String::from_utf8_lossy(&refused.bytes).into_owned();
        assert_eq!(refused.status.as_u16(), 401, "{what}: {text}");
        assert!(!text.contains(&token) && text.len() < 600, "{what}: {text}");
    }
    server.get("/v1/me", &sound).await.expect(200);
    server.get("/v1/me", &rsa.token(&with(claims.clone(), "aud", json!(["other", AUDIENCE])))).await.expect(200);
    assert_eq!(theirs.asked(), 0, "nothing in a token leads anywhere");
    let users = server.get("/v1/members", &sound).await.json();
    assert_eq!(users["data"].as_array().unwrap().len(), 2, "no forged token made a user: {users:#}");
}

#[tokio::test]
async fn a_thousand_unknown_keys_cause_one_fetch_at_most() {
    let (known, unknown) = (Signer::ed("known"), Signer::ed("unknown"));
    let issuer = KeyServer::start(Answers::Set(set(&[&known]))).await;
    let keys = jwks(&issuer.url, JwksTimes::default());
    keys.load().await.unwrap();
    let server = server_with_keys(&keys).await;
    let before = issuer.asked();
    let tokens: Vec<String> = (0..1_000)
        .map(|n| unknown.token_with(&with(unknown.head(), "kid", json!(format!("k{n}"))), &good("eve")))
        .collect();
    let asking = futures::stream::iter(tokens.iter().map(|token| server.get("/v1/me", token)));
    let statuses: Vec<u16> = futures::StreamExt::collect(futures::StreamExt::map(
        futures::StreamExt::buffer_unordered(asking, 32),
        |reply| reply.status.as_u16(),
    ))
    .await;
    assert_eq!(statuses, vec![401; 1_000]);
    assert!(issuer.asked() - before <= 1, "{} fetches", issuer.asked() - before);
    server.get("/v1/me", &known.token(&good("jane"))).await.expect(200);
}

#[tokio::test]
async fn a_new_key_is_found_when_it_is_first_used_and_a_withdrawn_one_ends() {
    let (old, new) = (Signer::rsa("2026-10"), Signer::ec("2026-11"));
    let issuer = KeyServer::start(Answers::Set(set(&[&old]))).await;
    let keys = jwks(&issuer.url, JwksTimes::default());
    keys.load().await.unwrap();
    let server = server_with_keys(&keys).await;
    server.get("/v1/me", &old.token(&good("jane"))).await.expect(200);
    issuer.answer(Answers::Set(set(&[&old, &new])));
    server.get("/v1/me", &new.token(&good("jane"))).await.expect(200);
    server.get("/v1/me", &old.token(&good("joe"))).await.expect(200);
    assert_eq!(issuer.asked(), 2);
    issuer.answer(Answers::Set(set(&[&new])));
    keys.load().await.unwrap();
    server.get("/v1/me", &old.token(&good("jim"))).await.expect(401);
    server.get("/v1/me", &new.token(&good("jim"))).await.expect(200);
}

#[tokio::test]
async fn a_set_that_cannot_be_read_leaves_the_last_good_one_in_force() {
    let (known, other) = (Signer::ed("known"), Signer::ed("other"));
    let issuer = KeyServer::start(Answers::Set(set(&[&known]))).await;
    let elsewhere = KeyServer::start(Answers::Set(set(&[&other]))).await;
    let keys = jwks(&issuer.url, JwksTimes::default());
    keys.load().await.unwrap();
    let server = server_with_keys(&keys).await;
    let many: Vec<Value> = (0..101).map(|n| with(known.jwk(), "kid", json!(n.to_string()))).collect();
    let weak = json!({ "kty": "RSA", "kid": "weak", "n": "AQAB", "e": "AQAB" });
    for (what, answers) in [
        ("it was answered with 500", Answers::Status(500)),
        ("it is no JSON Web Key Set", Answers::Garbage),
        ("more than 262144 bytes", Answers::Endless),
        ("timed out", Answers::Never),
        ("it was answered with 302", Answers::Redirect(elsewhere.url.clone())),
        ("it holds no key", Answers::Set(json!({ "keys": [] }))),
        ("it holds no key", Answers::Set(json!({ "keys": [weak] }))),
        ("it is no JSON Web Key Set", Answers::Set(json!([known.jwk()]))),
        ("more than 100 keys", Answers::Set(json!({ "keys": many }))),
        ("the same kid", Answers::Set(json!({ "keys": [known.jwk(), with(other.jwk(), "kid", json!("known"))] }))),
    ] {
        issuer.answer(answers);
        let why = keys.load().await.unwrap_err();
        assert!(why.contains(what), "{why}: {what}");
        server.get("/v1/me", &known.token(&good(&format!("after {what}")))).await.expect(200);
    }
    assert_eq!(elsewhere.asked(), 0);
}

#[tokio::test]
async fn before_a_set_could_be_read_callers_are_told_to_come_again() {
    let signer = Signer::ed("k");
    let issuer = KeyServer::start(Answers::Status(503)).await;
    let keys = jwks(&issuer.url, JwksTimes { retry: Duration::ZERO, ..JwksTimes::default() });
    let server = server_with_keys(&keys).await;
    let refused = server.get("/v1/me", &signer.token(&good("jane"))).await.expect(503);
    assert_eq!((refused.header("retry-after"), &refused.json()["code"]), (Some("5"), &json!("unavailable")));
    issuer.answer(Answers::Set(set(&[&signer])));
    server.get("/v1/me", &signer.token(&good("jane"))).await.expect(200);
}

#[tokio::test]
async fn a_key_set_is_fetched_from_allowed_addresses_alone() {
    let signer = Signer::ed("k");
    let issuer = KeyServer::start(Answers::Set(set(&[&signer]))).await;
    let second = Duration::from_secs(1);
    let timeouts = Timeouts { connect: second, read: second, total: Some(second) };
    let client = CheckedClient::new(AddressPolicy::default(), &Outgoing::default(), timeouts).unwrap();
    let place = |url: &str| JwksPlace::Url { client: client.clone(), url: Url::parse(url).unwrap() };
    let private = Jwks::new(place(&issuer.url), JwksTimes::default()).load().await.unwrap_err();
    assert!(private.contains("private, loopback"), "{private}");
    assert_eq!(issuer.asked(), 0);
    let plain = Jwks::new(place("http://1.1.1.1/keys"), JwksTimes::default()).load().await.unwrap_err();
    assert!(plain.contains("https alone"), "{plain}");
}

#[tokio::test]
async fn a_key_set_in_a_file_is_read_again_when_a_new_key_is_used() {
    let (old, new) = (Signer::ec("old"), Signer::ec("new"));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys.json");
    std::fs::write(&path, set(&[&old]).to_string()).unwrap();
    let keys = Jwks::new(JwksPlace::File(path.clone()), JwksTimes::default());
    keys.load().await.unwrap();
    let server = server_with_keys(&keys).await;
    server.get("/v1/me", &old.token(&good("jane"))).await.expect(200);
    std::fs::write(&path, set(&[&old, &new]).to_string()).unwrap();
    server.get("/v1/me", &new.token(&good("jane"))).await.expect(200);
    std::fs::write(&path, vec![b' '; 300_000]).unwrap();
    assert!(keys.load().await.unwrap_err().contains("more than 262144 bytes"));
    server.get("/v1/me", &new.token(&good("joe"))).await.expect(200);
}
