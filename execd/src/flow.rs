//! Credit: how many bytes of `Data` a stream may have under way in one direction.

use crate::frame::FrameError;

/// What each direction of a stream begins with, and the most that it may ever have.
pub const WINDOW_BYTES: u32 = 256 * 1024;

/// The sender's side.
#[derive(Clone, Copy, Debug)]
pub struct Sender {
    available: u32,
}

impl Default for Sender {
    fn default() -> Self {
        Self { available: WINDOW_BYTES }
    }
}

impl Sender {
    /// How many bytes may be sent now.
    pub fn available(self) -> usize {
        self.available as usize
    }

    /// Counts what is sent; never more than [`Self::available`].
    pub fn spend(&mut self, bytes: usize) {
        self.available = self.available.saturating_sub(bytes as u32);
    }

    /// The other end took `bytes`. More than the window is a lie.
    pub fn grant(&mut self, bytes: u32) -> Result<(), FrameError> {
        match self.available.checked_add(bytes) {
            Some(sum) if bytes > 0 && sum <= WINDOW_BYTES => {
                self.available = sum;
                Ok(())
            }
            _ => Err(FrameError("credit beyond the window")),
        }
    }
}

/// The receiver's side.
#[derive(Clone, Copy, Debug, Default)]
pub struct Receiver {
    /// Received and not yet granted again.
    outstanding: u32,
    /// Of these, what has been taken.
    taken: u32,
}

impl Receiver {
    /// Counts what came. More than was granted is an offence.
    pub fn receive(&mut self, bytes: usize) -> Result<(), FrameError> {
        match u32::try_from(bytes).ok().and_then(|bytes| self.outstanding.checked_add(bytes)) {
            Some(sum) if sum <= WINDOW_BYTES => {
                self.outstanding = sum;
                Ok(())
            }
            _ => Err(FrameError("more data than there was credit for")),
        }
    }

    /// Counts what was taken from the buffer; gives the credit to send, once it is worth a frame.
    pub fn take(&mut self, bytes: usize) -> Option<u32> {
        self.taken = self.taken.saturating_add(bytes as u32).min(self.outstanding);
        if self.taken < WINDOW_BYTES / 2 {
            return None;
        }
        self.outstanding -= self.taken;
        Some(std::mem::take(&mut self.taken))
    }
}
