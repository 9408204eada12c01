//! Texts into types. Each error says what would be right, with an example.

use crate::{config::settings::PrivateHost, secrets::Secret};
use base64::{Engine, engine::general_purpose as base64_of};
use ipnet::IpNet;
use std::{
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    path::PathBuf,
    time::Duration,
};
use url::Url;

/// The known name that `name` was most likely meant to be: at most a third of it is different.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|known| (distance(name, known), known))
        .filter(|(distance, known)| *distance <= 1.max(name.len().max(known.len()) / 3))
        .min()
        .map(|(_, known)| known)
}

pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    let wrong = || format!("\"{text}\" is no address with a port: write for example 127.0.0.1:8080");
    if let Some(port) = text.strip_prefix(':') {
        return port.parse().map(|port| SocketAddr::from(([0, 0, 0, 0], port))).map_err(|_| wrong());
    }
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    // Names such as localhost, from the hosts file.
    text.to_socket_addrs().ok().and_then(|mut found| found.next()).ok_or_else(wrong)
}

pub(super) fn http_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|_| format!("\"{text}\" is no URL: write for example https://example.com"))?;
    if matches!(url.scheme(), "http" | "https") && url.has_host() {
        Ok(url)
    } else {
        Err("must be a URL that begins with http:// or https://".to_owned())
    }
}

pub(super) fn database_url(text: &str) -> Result<Secret, String> {
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        Ok(Secret::new(text))
    } else {
        Err("must be like postgres://user:password@host:5432/database".to_owned())
    }
}

pub(super) fn some_path(text: &str) -> Result<PathBuf, String> {
    if text.contains('\0') { Err("must not hold a NUL byte".to_owned()) } else { Ok(PathBuf::from(text)) }
}

/// A key, without the blanks around it that come with files.
pub(super) fn secret(text: &str) -> Result<Secret, String> {
    let text = text.trim();
    if text.is_empty() { Err("must not be blank".to_owned()) } else { Ok(Secret::new(text)) }
}

pub(super) fn absolute_path(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if path.is_absolute() { Ok(path) } else { Err(format!("\"{text}\" must be an absolute path")) }
}

/// A network, or one address as the network of itself.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| format!("\"{text}\" is no address or network: write for example 10.0.0.0/8"))
}

pub(super) fn private_host(text: &str) -> Result<PrivateHost, String> {
    if let Ok(network) = network(text.trim_start_matches('[').trim_end_matches(']')) {
        return Ok(PrivateHost::Network(network));
    }
    let name = text.trim_start_matches("*.");
    let right = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    if right {
        Ok(PrivateHost::Name(text.to_ascii_lowercase()))
    } else {
        Err(format!("\"{text}\" is no host or network: write for example git.internal or 10.0.0.0/8"))
    }
}

pub(super) fn truth(text: &str) -> Result<bool, String> {
    match text {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(format!("\"{text}\" must be true or false")),
    }
}

/// A whole number within bounds.
pub(super) fn number(least: u64, most: u64) -> impl Fn(&str) -> Result<u64, String> {
    move |text| match text.parse::<u64>() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(format!("\"{text}\" must be a whole number from {least} to {most}")),
    }
}

/// Seconds, whole or not, within bounds.
pub(super) fn seconds(least: f64, most: f64) -> impl Fn(&str) -> Result<Duration, String> {
    move |text| match text.parse::<f64>() {
        Ok(seconds) if (least..=most).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err(format!("\"{text}\" must be a number of seconds from {least} to {most}")),
    }
}

/// 32 bytes in base64, either alphabet, padded or not.
pub(super) fn key_32(text: &str) -> Result<[u8; 32], String> {
    let text = text.trim_end_matches('=');
    base64_of::STANDARD_NO_PAD
        .decode(text)
        .or_else(|_| base64_of::URL_SAFE_NO_PAD.decode(text))
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| "must be 32 bytes in base64: make one with `openssl rand -base64 32`".to_owned())
}

pub(super) fn api_key(text: &str) -> Result<Secret, String> {
    if text.len() < 16 || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("must be at least 16 visible ASCII characters without blanks".to_owned());
    }
    Ok(Secret::new(text))
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
