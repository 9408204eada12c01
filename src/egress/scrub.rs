//! Takes values out of bytes as they pass, over the borders of their pieces too.
//!
//! What is found becomes as many stars, so that lengths stay what they were announced to be.

use regex::bytes::{Regex, RegexBuilder};
use std::{fmt::Write, sync::Arc};

/// Beyond this the automaton would not be worth its memory: secrets are short.
const PATTERN_BYTES_MAX: usize = 64 << 20;

/// For one stream of bytes.
#[derive(Clone, Debug, Default)]
pub struct Scrubber {
    known: Option<Arc<Known>>,
    /// The end of what came, which may be the beginning of a value.
    held: Vec<u8>,
}

#[derive(Debug)]
struct Known {
    values: Vec<Vec<u8>>,
    pattern: Regex,
    longest: usize,
}

impl Scrubber {
    pub fn new(values: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let mut values: Vec<Vec<u8>> = values.into_iter().filter(|value| !value.is_empty()).collect();
        // Of two that begin alike the whole of the longer one goes.
        values.sort_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
        values.dedup();
        let Some(longest) = values.first().map(Vec::len) else { return Self::default() };
        let literals: Vec<String> = values.iter().map(|value| literal(value)).collect();
        let pattern = RegexBuilder::new(&format!("(?-u){}", literals.join("|")))
            .unicode(false)
            .size_limit(PATTERN_BYTES_MAX)
            .build()
            .expect("bytes in hexadecimal are a pattern, and secrets are short");
        Self { known: Some(Arc::new(Known { values, pattern, longest })), held: Vec::new() }
    }

    /// A scrubber of the same values for another stream.
    #[must_use]
    pub fn fresh(&self) -> Self {
        Self { known: self.known.clone(), held: Vec::new() }
    }

    pub fn is_idle(&self) -> bool {
        self.known.is_none()
    }

    /// The next piece; gives what can be passed on by now.
    pub fn push(&mut self, piece: &[u8]) -> Vec<u8> {
        let Some(known) = &self.known else { return piece.to_vec() };
        self.held.extend_from_slice(piece);
        known.star(&mut self.held);
        let keep = known.begun(&self.held);
        let rest = self.held.split_off(self.held.len() - keep);
        std::mem::replace(&mut self.held, rest)
    }

    /// What was held back, once nothing more comes.
    pub fn finish(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }

    /// The same for bytes that are whole.
    pub fn whole(&self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        if let Some(known) = &self.known {
            known.star(&mut bytes);
        }
        bytes
    }
}

/// Bytes as a pattern that matches them alone.
fn literal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(4 * bytes.len()), |mut pattern, byte| {
        let _ = write!(pattern, "\\x{byte:02x}");
        pattern
    })
}

impl Known {
    fn star(&self, bytes: &mut [u8]) {
        let found: Vec<_> = self.pattern.find_iter(bytes).map(|found| found.range()).collect();
        for range in found {
            bytes[range].fill(b'*');
        }
    }

    /// How many bytes at the end may be the beginning of a value.
    fn begun(&self, bytes: &[u8]) -> usize {
        let most = bytes.len().min(self.longest - 1);
        (1..=most)
            .rev()
            .find(|count| {
                let end = &bytes[bytes.len() - count..];
                self.values.iter().any(|value| value.len() > *count && value.starts_with(end))
            })
            .unwrap_or(0)
    }
}
