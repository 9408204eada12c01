//! How many tokens a prompt has at most: what a provider has counted, and of the rest more than it is likely to count.
//!
//! No tokeniser is known here. Until a call of the task was counted, a token is taken to have two bytes, and of what is
//! not ASCII one and a half; then as many as the densest call so far has shown, with a margin. Digits and long runs
//! without a break (base64, hashes, minified names) are dear in every vocabulary, whatever was measured of prose and
//! code: of those a token is never taken to have more than one and a quarter bytes.

use crate::domain::Item;

/// Tokens of a byte that nothing is known of yet: of ASCII, and of the rest.
const ASCII: f64 = 1.0 / 2.0;
const OTHER: f64 = 2.0 / 3.0;
/// The same of digits and unbroken runs, at least: base64 has about 0.75, hexadecimal 0.6.
const DENSE: f64 = 4.0 / 5.0;
/// The loop's rules that know of them.
const DENSE_FROM: u32 = 2;
/// A run of letters and digits of more bytes is no word.
const WORD_BYTES_MAX: usize = 24;
/// What a measured density is taken times, and what it is at least and at most: no token has less than a byte.
const MARGIN: f64 = 1.25;
const DENSITY_MIN: f64 = 1.0 / 4.0;
const DENSITY_MAX: f64 = 1.0;
/// What a wire puts around an item, in tokens.
const AROUND_ITEM: u64 = 8;
/// Fewer bytes say nothing of how dense a text is.
const MEASURED_BYTES_MIN: u64 = 1_000;
/// Of a measured text that is not ASCII, in hundredths, from which on it tells of such texts.
const OTHER_PERCENT_MIN: u64 = 20;

/// The size of a part of a prompt, by what it is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Size {
    /// Of words, signs and blanks.
    pub(super) ascii: u64,
    /// Of digits and unbroken runs.
    pub(super) dense: u64,
    pub(super) other: u64,
    pub(super) items: u64,
}

impl Size {
    pub(super) fn of_ascii(bytes: u64) -> Self {
        Self { ascii: bytes, ..Self::default() }
    }

    pub(super) fn of_text(text: &str) -> Self {
        let of_a_run = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'=');
        let (mut plain, mut dense) = (0, 0);
        for part in text.as_bytes().chunk_by(|one, next| of_a_run(one) == of_a_run(next)) {
            let ascii = part.iter().filter(|byte| byte.is_ascii()).count();
            let digits = part.iter().filter(|byte| byte.is_ascii_digit()).count();
            let is_run = part.len() > WORD_BYTES_MAX && of_a_run(&part[0]);
            dense += if is_run { ascii } else { digits };
            plain += if is_run { 0 } else { ascii - digits };
        }
        let other = text.len() - plain - dense;
        Self { ascii: plain as u64, dense: dense as u64, other: other as u64, items: 0 }
    }

    pub(super) fn of_item(item: &Item) -> Self {
        let size = match item {
            Item::Developer { text } | Item::User { text } | Item::Result { output: text, .. } => Self::of_text(text),
            Item::Reply(reply) => reply.raw.iter().map(|raw| Self::of_text(raw)).sum(),
        };
        Self { items: 1, ..size }
    }

    fn bytes(self) -> u64 {
        self.ascii + self.dense + self.other
    }
}

impl std::ops::Add for Size {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        Self {
            ascii: self.ascii + more.ascii,
            dense: self.dense + more.dense,
            other: self.other + more.other,
            items: self.items + more.items,
        }
    }
}

impl std::iter::Sum for Size {
    fn sum<I: Iterator<Item = Self>>(sizes: I) -> Self {
        sizes.fold(Self::default(), std::ops::Add::add)
    }
}

/// What is known of how much a prompt weighs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Weight {
    /// Tokens of the part that a provider has counted: nothing before the first call and after a compaction.
    pub(super) counted: u64,
    /// The rest.
    pub(super) rest: Size,
    /// Of the rest, what the call under way has sent.
    sent: Size,
    density: Option<Density>,
}

/// Tokens of a byte, as the densest call so far has shown.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Density {
    ascii: f64,
    other: f64,
}

impl Weight {
    /// The prompt begins anew with so much, which nobody has counted.
    pub(super) fn anew(&mut self, rest: Size) {
        (self.counted, self.rest) = (0, rest);
    }

    pub(super) fn add(&mut self, more: Size) {
        self.rest = self.rest + more;
    }

    /// A call goes out; `head` is what stands before all items.
    pub(super) fn sends(&mut self, head: Size) {
        self.sent = if self.counted == 0 { self.rest + head } else { self.rest };
    }

    /// A call was counted: its prompt, and all of it with the reply, which is a part of the next prompt.
    pub(super) fn counts(&mut self, prompt_tokens: u64, all_tokens: u64) {
        let grown = prompt_tokens.saturating_sub(self.counted);
        let bytes = self.sent.bytes();
        if grown > 0 && bytes >= MEASURED_BYTES_MIN {
            let measured = (grown as f64 / bytes as f64 * MARGIN).clamp(DENSITY_MIN, DENSITY_MAX);
            let before = self.density.unwrap_or(Density { ascii: 0.0, other: 0.0 });
            let tells_of_other = self.sent.other * 100 >= bytes * OTHER_PERCENT_MIN;
            let other = if tells_of_other { before.other.max(measured) } else { before.other };
            self.density = Some(Density { ascii: before.ascii.max(measured), other });
        }
        (self.counted, self.rest) = (all_tokens, Size::default());
    }

    /// Another model counts otherwise.
    pub(super) fn forget_density(&mut self) {
        self.density = None;
    }

    /// The prompt with so much more, in tokens, at most.
    pub(super) fn at_most(&self, more: Size, head: Size, loop_version: u32) -> u64 {
        let head = if self.counted == 0 { head } else { Size::default() };
        let mut rest = self.rest + more + head;
        if loop_version < DENSE_FROM {
            (rest.ascii, rest.dense) = (rest.ascii + rest.dense, 0);
        }
        self.counted.saturating_add(self.tokens(rest))
    }

    fn tokens(&self, size: Size) -> u64 {
        let (ascii, other) = match self.density {
            None => (ASCII, OTHER),
            // Texts of a kind that was not measured stay as dear as they were.
            Some(Density { ascii, other }) => (ascii, if other > 0.0 { other } else { OTHER.max(ascii) }),
        };
        let dense = size.dense as f64 * DENSE.max(ascii);
        let tokens = (size.ascii as f64 * ascii + dense + size.other as f64 * other).ceil() as u64;
        tokens + size.items * AROUND_ITEM
    }
}

/// Tokens of a text of which nothing is known, at most.
pub fn tokens_at_most(text: &str) -> u64 {
    Weight::default().tokens(Size::of_text(text))
}
