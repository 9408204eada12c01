//! The process inside every workspace, and the protocol it speaks.
//!
//! The library is what both ends share: [`message`] (what is asked and answered), later the
//! frames that carry it. It does no I/O and trusts nothing that it decodes.

pub mod message;
