//! The output of one command, of which the beginning and the end are kept.

use std::collections::VecDeque;

/// Takes output as it comes; what neither fits the head nor is among the last bytes is counted
/// and forgotten. Memory grows with what is written, up to the limit.
#[derive(Debug)]
pub(crate) struct Kept {
    head_limit: usize,
    head_taken: usize,
    head: Vec<u8>,
    tail_limit: usize,
    tail: VecDeque<u8>,
    omitted_bytes: u64,
}

/// What was kept at one look.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) bytes: Vec<u8>,
    pub(crate) omitted_bytes: u64,
    pub(crate) omitted_at: u64,
}

impl Kept {
    pub(crate) fn new(limit_bytes: usize) -> Self {
        let head_limit = limit_bytes / 2;
        Self {
            head_limit,
            head_taken: 0,
            head: Vec::new(),
            tail_limit: limit_bytes - head_limit,
            tail: VecDeque::new(),
            omitted_bytes: 0,
        }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let to_head = bytes.len().min(self.head_limit - self.head_taken);
        self.head.extend_from_slice(&bytes[..to_head]);
        self.head_taken += to_head;
        let rest = &bytes[to_head..];
        let kept = &rest[rest.len().saturating_sub(self.tail_limit)..];
        let over = (self.tail.len() + kept.len()).saturating_sub(self.tail_limit);
        self.tail.drain(..over);
        self.tail.extend(kept);
        self.omitted_bytes += (over + rest.len() - kept.len()) as u64;
    }

    /// What has come for the head since the last call: it will not change and can be sent.
    pub(crate) fn take_head(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.head)
    }

    /// Something has come for the head that was not taken.
    pub(crate) fn has_head(&self) -> bool {
        !self.head.is_empty()
    }

    /// The head is full: what comes now may be left out.
    pub(crate) fn head_is_full(&self) -> bool {
        self.head_taken == self.head_limit
    }

    /// All that is kept and not yet taken; starts anew.
    pub(crate) fn take(&mut self) -> Taken {
        let omitted_at = self.head_taken as u64;
        let mut bytes = std::mem::take(&mut self.head);
        bytes.extend(std::mem::take(&mut self.tail));
        self.head_taken = 0;
        Taken { bytes, omitted_bytes: std::mem::take(&mut self.omitted_bytes), omitted_at }
    }
}
