//! Whether a network tool is only used on the loopback, as when a server that was just started is looked at.

use super::shell::{Known, Word};

/// Options of curl, wget and netcat whose next word names no host.
const VALUES: &[&str] = &[
    "-o",
    "--output",
    "-H",
    "--header",
    "-d",
    "--data",
    "--data-raw",
    "--data-binary",
    "--data-urlencode",
    "--json",
    "-X",
    "--request",
    "-w",
    "--write-out",
    "-m",
    "--max-time",
    "--connect-timeout",
    "--retry",
    "--retry-delay",
    "-F",
    "--form",
    "-b",
    "--cookie",
    "-c",
    "--cookie-jar",
    "-D",
    "--dump-header",
    "-u",
    "--user",
    "-A",
    "--user-agent",
    "--timeout",
    "--tries",
    "--post-data",
    "--method",
    "--body-data",
];
/// Options that change nothing of where a request goes.
const FLAGS: &[&str] = &[
    "--silent",
    "--location",
    "--show-error",
    "--fail",
    "--fail-with-body",
    "--include",
    "--head",
    "--verbose",
    "--insecure",
    "--compressed",
    "--no-buffer",
    "--retry-connrefused",
    "--retry-all-errors",
    "--http1.1",
    "--http2",
    "--get",
    "--quiet",
    "--spider",
    "--no-verbose",
    "--server-response",
    "-nv",
    "-qO-",
    "-O-",
    "-q",
];
const LETTERS: &str = "sSfivIkLNGgz46#nuO0123456789";

/// Some word names the loopback and none may name anything else. What is not known of a command counts against it.
pub(super) fn only_loopback(words: &[Word]) -> bool {
    let (mut named, mut value) = (false, false);
    for word in words {
        let text = word.text.as_str();
        if std::mem::take(&mut value) {
            continue;
        }
        if text.len() > 1 && text.starts_with('-') {
            value = VALUES.contains(&text);
            let letters = !text.starts_with("--") && text[1..].chars().all(|c| LETTERS.contains(c));
            let name = text.split_once('=').map_or(text, |(name, _)| name);
            if value || letters || FLAGS.contains(&name) || VALUES.contains(&name) {
                continue;
            }
            return false;
        }
        if word.known == Known::Open && text.contains(['$', '`', '{']) {
            return false;
        }
        // A port, such as netcat's.
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        if !is_loopback(text) {
            return false;
        }
        named = true;
    }
    named
}

fn is_loopback(text: &str) -> bool {
    let rest =
        ["http://", "https://", "ws://", "wss://"].iter().find_map(|scheme| text.strip_prefix(scheme)).unwrap_or(text);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(inner) => inner.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    !authority.contains(['@', '\\']) && is_local(host)
}

/// `localhost`, 127.0.0.0/8 in full, and the addresses that stand for the own machine.
fn is_local(host: &str) -> bool {
    let of_127 = || {
        let parts: Vec<&str> = host.split('.').collect();
        parts.len() == 4 && parts[0] == "127" && parts.iter().all(|part| part.parse::<u8>().is_ok())
    };
    matches!(host, "localhost" | "0.0.0.0" | "::1" | "::") || of_127()
}
