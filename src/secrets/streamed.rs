//! Redaction of text that comes in pieces: a known value is found also where a border runs through it.

use super::Redactor;

/// A text on its way out, piece by piece. What may be the beginning of a known value is held back until it is clear
/// what it is: at most as much as the longest known spelling.
#[derive(Debug)]
pub struct Streamed {
    redactor: Redactor,
    held: Vec<u8>,
}

impl Streamed {
    pub fn new(redactor: &Redactor) -> Self {
        Self { redactor: redactor.clone(), held: Vec::new() }
    }

    pub fn push(&mut self, piece: &[u8]) {
        self.held.extend_from_slice(piece);
    }

    /// Bytes that have come and not gone.
    pub fn held_bytes(&self) -> usize {
        self.held.len()
    }

    /// What can go now, redacted; never half a character.
    pub fn ready(&mut self) -> String {
        let mut end = self.redactor.safe_end(&self.held);
        if end == self.held.len() {
            end -= unfinished(&self.held);
        }
        self.take(end)
    }

    /// All that is left, redacted: nothing more will come.
    pub fn rest(&mut self) -> String {
        self.take(self.held.len())
    }

    /// What has come so far is void.
    pub fn clear(&mut self) {
        self.held.clear();
    }

    fn take(&mut self, end: usize) -> String {
        let left = self.held.split_off(end);
        let text = std::mem::replace(&mut self.held, left);
        String::from_utf8_lossy(&self.redactor.redact_bytes(&text)).into_owned()
    }
}

/// Bytes at the end that are the beginning of a character: at most three.
fn unfinished(text: &[u8]) -> usize {
    let mut tail = &text[text.len().saturating_sub(3)..];
    loop {
        let Err(error) = std::str::from_utf8(tail) else { return 0 };
        let Some(wrong) = error.error_len() else { return tail.len() - error.valid_up_to() };
        // The tail may begin in the midst of a character.
        tail = &tail[error.valid_up_to() + wrong..];
    }
}
