//! The spellings in which a value commonly leaves: as it is, and as programs that never heard of it
//! write it.
//!
//! Base64 (RFC 4648) depends on where in the encoded text a value stands: each of the three alignments
//! has a middle that only the value decides. What tools break into lines is known line by line.

use super::MIN_KNOWN_BYTES;
use base64::{Engine, engine::general_purpose as base64_of};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::{collections::BTreeSet, fmt::Write};

/// What RFC 3986 leaves as it is (`encodeURIComponent` all but leaves that).
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// What the form encoding of the URL standard leaves as it is.
const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'*').remove(b' ');
/// Columns after which `base64` and PEM break a line.
const COLUMNS: [usize; 2] = [76, 64];
/// A line of a longer value is hidden by itself where it is this long.
const LINE_BYTES_MIN: usize = 16;

/// Values up to this are looked for in every spelling; longer ones as they are, line by line, and in base64.
const SPELLED_BYTES_MAX: usize = 1 << 10;

/// The spellings of a value, each at least [`MIN_KNOWN_BYTES`] long: together at most some sixty times a short value, and
/// eight times a long one. With `whole_alone`, it is looked for as it is.
pub(super) fn forms(value: &str, whole_alone: bool) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    if whole_alone {
        all.insert(value.to_owned());
        return all;
    }
    if value.len() > SPELLED_BYTES_MAX {
        all.insert(value.to_owned());
        base64(value.as_bytes(), &mut all);
        let lines = value.lines().map(str::trim);
        all.extend(lines.filter(|line| line.len() >= LINE_BYTES_MIN && !line.starts_with("-----")).map(str::to_owned));
        return all;
    }
    spell(value, &mut all);
    let lines: Vec<&str> = value.lines().map(str::trim).filter(|line| line.len() >= LINE_BYTES_MIN).collect();
    if value.contains('\n') {
        // What stands around a key is no secret, and stands around others' keys too.
        lines.into_iter().filter(|line| !line.starts_with("-----")).for_each(|line| spell(line, &mut all));
    }
    all.retain(|form| form.len() >= MIN_KNOWN_BYTES);
    all
}

fn spell(value: &str, all: &mut BTreeSet<String>) {
    all.insert(value.to_owned());
    let json = serde_json::to_string(value).unwrap_or_default();
    if let Some(inner) = json.strip_prefix('"').and_then(|json| json.strip_suffix('"')) {
        all.insert(inner.to_owned());
    }
    for set in [NON_ALPHANUMERIC, UNRESERVED, FORM] {
        let encoded = utf8_percent_encode(value, set).to_string().replace(' ', "+");
        all.insert(lower_escapes(&encoded));
        all.insert(encoded);
    }
    let (mut lower, mut upper) = (String::new(), String::new());
    for byte in value.bytes() {
        let _ = write!(lower, "{byte:02x}");
        let _ = write!(upper, "{byte:02X}");
    }
    all.extend([lower, upper]);
    base64(value.as_bytes(), all);
}

fn base64(value: &[u8], all: &mut BTreeSet<String>) {
    for engine in [base64_of::STANDARD_NO_PAD, base64_of::URL_SAFE_NO_PAD] {
        let whole = engine.encode(value);
        for columns in COLUMNS.into_iter().filter(|columns| whole.len() > *columns) {
            let lines = whole.as_bytes().chunks(columns).filter(|line| line.len() >= LINE_BYTES_MIN);
            all.extend(lines.map(|line| String::from_utf8_lossy(line).into_owned()));
        }
        all.insert(whole);
        for before in 0..3 {
            let mut shifted = vec![0; before];
            shifted.extend_from_slice(value);
            let encoded = engine.encode(&shifted);
            // The first characters hold bits of what stands before, the last one of what comes after.
            let start = [0, 2, 3][before];
            let end = encoded.len() - usize::from(!shifted.len().is_multiple_of(3));
            all.extend(encoded.get(start..end).map(str::to_owned));
        }
    }
}

/// `%2F` as `%2f`.
fn lower_escapes(text: &str) -> String {
    let mut left = 0_u8;
    let lower = |c: char| {
        if c == '%' {
            left = 2;
            return c;
        }
        let escaped = left > 0;
        left = left.saturating_sub(1);
        if escaped { c.to_ascii_lowercase() } else { c }
    };
    text.chars().map(lower).collect()
}
