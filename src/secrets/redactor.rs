//! Takes secrets out of text on its way out.
//!
//! One pass for known values and one for shapes, without allocation where there is nothing to hide. The
//! shapes start with literals, which is what keeps the search fast over large outputs, and repeat without
//! upper bounds, which would blow up the automaton.

use super::{Secret, forms::forms};
use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use regex::bytes::{Captures, Regex};
use std::{borrow::Cow, collections::BTreeSet, fmt, sync::Arc, sync::LazyLock};

/// What stands in a secret's place.
pub const REDACTED: &str = "***";

/// Shorter known values are left alone: replacing them would garble ordinary text.
pub const MIN_KNOWN_BYTES: usize = 8;

/// Spellings of all values together, in bytes; values beyond are looked for as they are alone.
const SPELLED_TOGETHER_BYTES: usize = 1 << 20;
/// The most of a text that is held back for what may be the beginning of a known value.
const HELD_BYTES_MAX: usize = 4 << 10;

/// Credentials as they look wherever they come from. Group 1 is what stays.
/// Sources: the prefixes are those that GitHub, GitLab, `OpenAI`, Anthropic, AWS, Google, Slack and
/// Standard Webhooks document; userinfo is RFC 3986, 3.2.1; the header is RFC 9110, 11.6.2.
static SHAPES: LazyLock<Regex> = LazyLock::new(|| {
    let shapes = [
        // https://user:password@host, and a token alone in the user's place
        r#"(://[^\s/@:"'<>]*:)[^\s/@"'<>]+@"#,
        r#"(://)[^\s/@:"'<>]{20,}@"#,
        r#"((?:uthorization|UTHORIZATION)["']?\s*[:=]\s*["']?(?:[Bb]earer|BEARER|[Bb]asic|[Tt]oken)\s+)[A-Za-z0-9._~+/=-]{8,}"#,
        r#"((?:x-api-key|X-Api-Key|X-API-Key|X-API-KEY)["']?\s*[:=]\s*["']?)[A-Za-z0-9._~+/=-]{8,}"#,
        r"\bsk-[A-Za-z0-9_-]{16,}",
        r"\bgh[pousr]_[A-Za-z0-9]{20,}",
        r"\bgithub_pat_[A-Za-z0-9_]{20,}",
        r"\bglpat-[A-Za-z0-9_-]{20,}",
        r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
        r"\bAIza[0-9A-Za-z_-]{35}",
        r"\bxox[abeoprs]-[0-9A-Za-z-]{10,}",
        r"\bwhsec_[A-Za-z0-9+/=]{24,}",
        r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",
        r"(-----BEGIN [A-Z ]*PRIVATE KEY-----)[^-]+",
    ];
    let pattern = format!("(?-u){}", shapes.join("|"));
    Regex::new(&pattern).expect("a constant pattern, compiled by every test")
});

/// Takes known values and credential shapes out of text. Cheap to clone.
#[derive(Clone, Default)]
pub struct Redactor {
    known: Option<Arc<Known>>,
}

struct Known {
    /// Every spelling, sorted.
    forms: Vec<String>,
    /// Bytes of the longest, as far as a text that comes in pieces is held back for it.
    longest: usize,
    finder: AhoCorasick,
}

impl Redactor {
    /// Hides each value of at least [`MIN_KNOWN_BYTES`], also in base64 wherever it stands in the encoded
    /// text, in hexadecimal digits, percent-encoded and in JSON.
    pub fn new<'a>(values: impl IntoIterator<Item = &'a Secret>) -> Self {
        Self::default().with(values)
    }

    /// A redactor that hides these values as well.
    #[must_use]
    pub fn with<'a>(&self, values: impl IntoIterator<Item = &'a Secret>) -> Self {
        let mut all: BTreeSet<String> = BTreeSet::new();
        let mut spelled_bytes = 0;
        for value in values {
            let value = value.expose().trim();
            if value.len() >= MIN_KNOWN_BYTES {
                let forms = forms(value, spelled_bytes > SPELLED_TOGETHER_BYTES);
                spelled_bytes += forms.iter().map(String::len).sum::<usize>();
                all.extend(forms);
            }
        }
        // An automaton takes its time: none is made for what one hides already.
        if all.iter().all(|form| self.hides(form)) {
            return self.clone();
        }
        all.extend(self.known.iter().flat_map(|known| known.forms.iter().cloned()));
        let forms: Vec<String> = all.into_iter().collect();
        // Of two values that begin alike the whole of the longer one goes.
        let finder = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            // A DFA of thousands of spellings would be a gigabyte.
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(&forms)
            .expect("secrets are far smaller than what an automaton may hold");
        let longest = forms.iter().map(String::len).max().unwrap_or_default().min(HELD_BYTES_MAX);
        Self { known: Some(Arc::new(Known { forms, longest, finder })) }
    }

    fn hides(&self, form: &String) -> bool {
        self.known.as_ref().is_some_and(|known| known.forms.binary_search(form).is_ok())
    }

    /// Hides known values and everything that looks like a credential: for logs, errors and what
    /// people read.
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        into_text(text, self.redact_bytes(text.as_bytes()))
    }

    /// As [`Self::redact`] for text that may not be UTF-8.
    pub fn redact_bytes<'a>(&self, text: &'a [u8]) -> Cow<'a, [u8]> {
        match self.known_bytes(text) {
            Cow::Borrowed(text) => SHAPES.replace_all(text, hide),
            Cow::Owned(text) => match SHAPES.replace_all(&text, hide) {
                Cow::Owned(hidden) => Cow::Owned(hidden),
                Cow::Borrowed(_) => Cow::Owned(text),
            },
        }
    }

    /// Hides known values only: for text that must otherwise stay what it is, such as a file's
    /// content on its way to a model or a patch.
    pub fn redact_known<'a>(&self, text: &'a str) -> Cow<'a, str> {
        into_text(text, self.known_bytes(text.as_bytes()))
    }

    /// As [`Self::redact_known`] for text that may not be UTF-8.
    pub fn redact_known_bytes<'a>(&self, text: &'a [u8]) -> Cow<'a, [u8]> {
        self.known_bytes(text)
    }

    /// Hides known values that `but_for` does not hold as well; absent where there are none.
    pub fn redact_all_but(&self, text: &[u8], but_for: &[u8]) -> Option<Vec<u8>> {
        let known = self.known.as_ref()?;
        let theirs: BTreeSet<usize> = known.finder.find_iter(but_for).map(|found| found.pattern().as_usize()).collect();
        let mut found = (known.finder.find_iter(text)).filter(|one| !theirs.contains(&one.pattern().as_usize()));
        let mut next = Some(found.next()?);
        let (mut hidden, mut done) = (Vec::with_capacity(text.len()), 0);
        while let Some(one) = next {
            hidden.extend_from_slice(&text[done..one.start()]);
            hidden.extend_from_slice(REDACTED.as_bytes());
            done = one.end();
            next = found.next();
        }
        hidden.extend_from_slice(&text[done..]);
        Some(hidden)
    }

    /// How much of a text that goes on can be redacted now: what follows may be the beginning of a known value.
    pub(super) fn safe_end(&self, text: &[u8]) -> usize {
        let Some(known) = &self.known else { return text.len() };
        let begins = |at: &usize| {
            let end = &text[*at..];
            let after = known.forms.partition_point(|form| form.as_bytes() < end);
            known.forms.get(after).is_some_and(|form| form.len() > end.len() && form.as_bytes().starts_with(end))
                // Itself a spelling, and the beginning of a longer one.
                || known.forms.get(after + 1).is_some_and(|form| form.as_bytes().starts_with(end))
        };
        let first = (text.len() + 1).saturating_sub(known.longest.max(1));
        let end = (first..text.len()).find(begins).unwrap_or(text.len());
        let across = known.finder.find_iter(text).find(|found| found.start() < end && end < found.end());
        across.map_or(end, |found| found.start())
    }

    fn known_bytes<'a>(&self, text: &'a [u8]) -> Cow<'a, [u8]> {
        let Some(known) = &self.known else { return Cow::Borrowed(text) };
        let mut found = known.finder.find_iter(text).peekable();
        if found.peek().is_none() {
            return Cow::Borrowed(text);
        }
        let (mut hidden, mut done) = (Vec::with_capacity(text.len()), 0);
        for one in found {
            hidden.extend_from_slice(&text[done..one.start()]);
            hidden.extend_from_slice(REDACTED.as_bytes());
            done = one.end();
        }
        hidden.extend_from_slice(&text[done..]);
        Cow::Owned(hidden)
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = self.known.as_ref().map_or(0, |known| known.forms.len());
        f.debug_struct("Redactor").field("known_spellings", &values).finish()
    }
}

fn hide(found: &Captures<'_>) -> Vec<u8> {
    let whole = &found[0];
    // `sk-` also begins names of packages and files; keys have digits in them.
    if whole.starts_with(b"sk-") && !whole.iter().any(u8::is_ascii_digit) {
        return whole.to_vec();
    }
    let kept = found.iter().skip(1).flatten().next().map_or(&[][..], |kept| kept.as_bytes());
    let mut hidden = [kept, REDACTED.as_bytes()].concat();
    if kept.starts_with(b"://") {
        hidden.push(b'@');
    }
    hidden
}

fn into_text<'a>(original: &'a str, redacted: Cow<'a, [u8]>) -> Cow<'a, str> {
    match redacted {
        Cow::Borrowed(_) => Cow::Borrowed(original),
        // Whole values or ASCII runs were replaced by ASCII: still UTF-8, but for a known value
        // that was itself cut out of the middle of a character, which cannot be.
        Cow::Owned(bytes) => Cow::Owned(match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        }),
    }
}
