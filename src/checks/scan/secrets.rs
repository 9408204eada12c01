//! What looks like a secret in a line that a patch adds: by the shapes that providers give their keys, by
//! names, and by disorder.
//!
//! A finding never quotes the secret. Locks, hashes, ids, images and the keys of test fixtures are none.

use super::super::{is_test_path, parse::pattern};
use crate::domain::check::Severity;

/// Longer lines are generated: only shapes are looked for in them.
const LINE_LIMIT_BYTES: usize = 2_000;
/// Of a random string of letters of both cases and digits, per character.
const RANDOM_BITS: f64 = 4.5;

pattern!(PRIVATE_KEY, r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----");
pattern!(AWS, r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b");
pattern!(GITHUB, r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{60,})\b");
pattern!(GITLAB, r"\bglpat-[A-Za-z0-9_-]{20,}\b");
pattern!(SLACK, r"\bxox[abprs]-[A-Za-z0-9-]{20,}\b");
pattern!(MODEL_KEY, r"\bsk-(?:ant-|proj-|svcacct-)?[A-Za-z0-9_-]{32,}\b");
pattern!(STRIPE, r"\b[rs]k_live_[A-Za-z0-9]{20,}\b");
pattern!(GOOGLE, r"\bAIza[0-9A-Za-z_-]{35}\b");
pattern!(REGISTRY, r"\b(?:npm_[A-Za-z0-9]{36}|pypi-[A-Za-z0-9_-]{50,})\b");
pattern!(JWT, r"\beyJ[A-Za-z0-9_-]{15,}\.eyJ[A-Za-z0-9_-]{15,}\.[A-Za-z0-9_-]{20,}");
pattern!(URL_PASSWORD, r"\b[a-z][a-z0-9+.-]*://[^\s/:@'\x22]+:([^\s/:@'\x22]{6,})@[\w.-]+");
pattern!(
    ASSIGNED,
    r#"(?i)\b[\w.-]*(?:secret|token|passw(?:or)?d|api[_-]?key|access[_-]?key|private[_-]?key|credential)[\w-]*['"]?\s*(?:=>|[:=])\s*['"]([^'"\s]{16,})['"]"#
);
pattern!(
    PLACEHOLDER,
    r"(?i)(example|placeholder|change[_-]?me|your[_-]|dummy|sample|redacted|\*{3}|x{6,}|0{8,}|1234567|<|\$\{|\{\{|%\(|fake|test)"
);

pattern!(
    ASSIGNED_PLAIN,
    r#"(?i)^\s*(?:export\s+|ENV\s+|-\s+)?[\w.-]*(?:secret|token|passw(?:or)?d|api[_-]?key|access[_-]?key|private[_-]?key|credential)[\w-]*\s*[:=]\s*([^'"\s#$<{(]{16,})\s*$"#
);
pattern!(BEARER, r"(?i)\bauthorization\b.{0,20}\b(?:bearer|basic)\s+([A-Za-z0-9+/=._~-]{24,})");
pattern!(QUOTED, r#"['"`]([A-Za-z0-9+/_=-]{32,200})['"`]"#);
pattern!(UUID, r"(?i)^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$");
pattern!(
    HASH_WORDS,
    r"(?i)(sha\d|md5|blake|hash|integrity|checksum|digest|fingerprint|signature|commit|revision|nonce|public|cert|uuid|guid|etag|data:|base64|alphabet|charset|sourcemap|BEGIN )"
);

/// What a line holds that looks like a secret, in words, and how sure that is.
pub(super) fn secret(line: &str, path: &str) -> Option<(&'static str, Severity)> {
    let shapes: [(&regex::Regex, &'static str); 10] = [
        (&PRIVATE_KEY, PRIVATE_KEY_WORDS),
        (&AWS, "an AWS access key"),
        (&GITHUB, "a GitHub token"),
        (&GITLAB, "a GitLab token"),
        (&SLACK, "a Slack token"),
        (&MODEL_KEY, "a model provider's key"),
        (&STRIPE, "a Stripe key"),
        (&GOOGLE, "a Google API key"),
        (&REGISTRY, "a package registry's token"),
        (&JWT, "a signed token (JWT)"),
    ];
    let placeholder = |text: &str| PLACEHOLDER.is_match(text);
    for (shape, what) in shapes {
        // Keys made for tests are no secrets; nobody makes a provider's token for one.
        if what == PRIVATE_KEY_WORDS && is_example(path) {
            continue;
        }
        if let Some(found) = shape.find(line).filter(|found| !placeholder(found.as_str())) {
            // A key's shape without a key's disorder is documentation.
            if what == PRIVATE_KEY_WORDS || entropy_bits(found.as_str()) > 3.0 {
                return Some((what, Severity::Serious));
            }
        }
    }
    if is_example(path) || is_generated(path) || line.len() > LINE_LIMIT_BYTES {
        return None;
    }
    let value = |pattern: &regex::Regex| {
        let value = pattern.captures(line)?.get(1)?.as_str();
        (!placeholder(value) && !UUID.is_match(value)).then_some(value)
    };
    if value(&URL_PASSWORD).is_some_and(|value| mixed(value) && entropy_bits(value) > 2.5) {
        return Some(("a password in a URL", Severity::Serious));
    }
    let random = |value: &str| mixed(value) && entropy_bits(value) > 3.5;
    let plain = || value(&ASSIGNED_PLAIN).filter(|value| is_settings(path) && !value.contains("://"));
    if value(&ASSIGNED).or_else(plain).or_else(|| value(&BEARER)).is_some_and(random) {
        return Some(("a secret", Severity::Serious));
    }
    let disorder = |value: &&str| {
        let has = |is: fn(&u8) -> bool| value.bytes().filter(is).count() >= 3;
        let cases = has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase) && has(u8::is_ascii_digit);
        cases && value.matches('/').count() < 3 && entropy_bits(value) > RANDOM_BITS
    };
    let unnamed = value(&QUOTED).filter(disorder).filter(|_| !HASH_WORDS.is_match(line));
    unnamed.map(|_| ("a secret, a long random string,", Severity::Warning))
}

const PRIVATE_KEY_WORDS: &str = "a private key";

fn mixed(value: &str) -> bool {
    value.bytes().any(|byte| byte.is_ascii_digit()) && value.bytes().any(|byte| byte.is_ascii_alphabetic())
}

fn leaf(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Tests and what they read.
fn is_example(path: &str) -> bool {
    let parts = ["fixtures", "fixture", "__fixtures__", "examples", "mocks", "snapshots", "__snapshots__"];
    is_test_path(path) || path.split('/').any(|part| parts.contains(&part))
}

/// Written by programs, full of hashes.
fn is_generated(path: &str) -> bool {
    let name = leaf(path);
    let ends = [".lock", ".sum", ".svg", ".ipynb", ".min.js", ".min.css", ".map", ".snap", ".pem", ".crt", ".cert"];
    ends.iter().any(|end| name.ends_with(end))
        || matches!(
            name,
            "package-lock.json" | "npm-shrinkwrap.json" | "pnpm-lock.yaml" | "bun.lockb" | "Package.resolved"
        )
}

/// Where values stand without quotes.
fn is_settings(path: &str) -> bool {
    let name = leaf(path);
    let ends = [".yml", ".yaml", ".properties", ".ini", ".cfg", ".conf", ".env", ".toml", ".tfvars"];
    name.starts_with(".env") || name.starts_with("Dockerfile") || ends.iter().any(|end| name.ends_with(end))
}

/// Shannon entropy per character.
fn entropy_bits(text: &str) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in text.bytes() {
        counts[usize::from(byte)] += 1;
    }
    let length = text.len().max(1) as f64;
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| {
            let part = f64::from(*count) / length;
            -part * part.log2()
        })
        .sum()
}
