//! The process inside every workspace, and the protocol it speaks.
//!
//! The library is what both ends share: [`frame`] (how bytes are cut into frames), [`flow`] (how
//! many bytes each stream may have under way) [`message`] (what is asked and
//! answered), [`plan`] (how a sandbox is started) and [`carry`] (trees of files as streams). It
//! does no I/O but for the last, and trusts nothing that it decodes: whatever is out of bounds is an error, never
//! a default.
//!
//! # The protocol
//! Both ends begin with a `Hello`. The server then opens streams (odd numbers), each one call:
//! `Open` with the request's length and beginning, `Data` with the rest. execd answers with
//! `Data` (output, contents, JSON lines) and ends the stream by one `Done` or `Failed`. `Cancel`
//! gives up a call; its stream still ends by `Done` or `Failed`. A connection that execd
//! accepted on the workspace's loopback is a stream that execd opens (even numbers, `Accept`);
//! both ends send `Data` and `End`, and it is over when both have. `Data` is counted against the
//! stream's credit; all other frames are small and go first.

pub mod carry;
pub mod flow;
pub mod frame;
pub mod message;
pub mod plan;
