//! Frames: 8 bytes of header (payload length u16, kind u8, zero u8, stream u32; little endian)
//! and at most 32,760 bytes of payload, so that a frame is never larger than 32 KiB.

use std::fmt;

/// Of the protocol. An end that hears another hangs up.
pub const VERSION: u16 = 1;
pub const FRAME_LIMIT_BYTES: usize = 32 * 1024;
pub const HEADER_BYTES: usize = 8;
pub const PAYLOAD_LIMIT_BYTES: usize = FRAME_LIMIT_BYTES - HEADER_BYTES;
/// In front of an `Open`'s first bytes: the length of the whole request (u32).
pub const OPEN_PREFIX_BYTES: usize = 4;

const MAGIC: [u8; 6] = *b"jmexec";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// The first frame of both ends: magic and version.
    Hello = 1,
    Ping = 2,
    Pong = 3,
    /// The sender of `Data` may have this many more bytes (u32) under way.
    Credit = 4,
    /// A call: the request's length (u32) and its beginning.
    Open = 5,
    Data = 6,
    /// No more `Data` in this direction (relayed connections alone).
    End = 7,
    /// The call's answer; the stream is over.
    Done = 8,
    /// The call's failure; the stream is over.
    Failed = 9,
    /// Give up the call, or cut the relayed connection.
    Cancel = 10,
    /// Kill everything and end.
    Shutdown = 11,
    /// execd accepted a connection on the port (u16).
    Accept = 12,
    /// A piece of output that is also, or was, in the ring: best effort, not counted.
    Live = 13,
}

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        use Kind::{Accept, Cancel, Credit, Data, Done, End, Failed, Hello, Live, Open, Ping, Pong, Shutdown};
        [Hello, Ping, Pong, Credit, Open, Data, End, Done, Failed, Cancel, Shutdown, Accept, Live]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }

    /// The least and the most bytes of payload.
    fn payload_bounds(self) -> (usize, usize) {
        match self {
            Self::Hello => (MAGIC.len() + 2, MAGIC.len() + 2),
            Self::Ping | Self::Pong | Self::End | Self::Cancel | Self::Shutdown => (0, 0),
            Self::Credit => (4, 4),
            Self::Accept => (2, 2),
            Self::Open => (OPEN_PREFIX_BYTES, PAYLOAD_LIMIT_BYTES),
            Self::Data | Self::Live => (1, PAYLOAD_LIMIT_BYTES),
            Self::Done | Self::Failed => (2, PAYLOAD_LIMIT_BYTES),
        }
    }

    /// Belongs to the connection, not to a stream.
    fn is_of_connection(self) -> bool {
        matches!(self, Self::Hello | Self::Ping | Self::Pong | Self::Shutdown)
    }
}

/// A frame's header that has passed every check that needs no state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub kind: Kind,
    /// 0 for the connection's own frames alone.
    pub stream: u32,
    pub payload_bytes: usize,
}

impl Header {
    pub fn decode(bytes: [u8; HEADER_BYTES]) -> Result<Self, FrameError> {
        let payload_bytes = usize::from(u16::from_le_bytes([bytes[0], bytes[1]]));
        let kind = Kind::of(bytes[2]).ok_or(FrameError("unknown kind of frame"))?;
        let stream = u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
        if bytes[3] != 0 {
            return Err(FrameError("reserved byte is not zero"));
        }
        let (least, most) = kind.payload_bounds();
        if !(least..=most).contains(&payload_bytes) {
            return Err(FrameError("length does not fit the kind of frame"));
        }
        if kind.is_of_connection() != (stream == 0) {
            return Err(FrameError("stream number does not fit the kind of frame"));
        }
        Ok(Self { kind, stream, payload_bytes })
    }

    pub fn encode(self) -> [u8; HEADER_BYTES] {
        let [low, high] = (self.payload_bytes as u16).to_le_bytes();
        let stream = self.stream.to_le_bytes();
        [low, high, self.kind as u8, 0, stream[0], stream[1], stream[2], stream[3]]
    }
}

/// Appends a frame to `out`. `payload` must be within the bounds of its kind.
pub fn push(out: &mut Vec<u8>, kind: Kind, stream: u32, payload: &[u8]) {
    debug_assert!(payload.len() <= PAYLOAD_LIMIT_BYTES, "a frame that its own decoder refuses");
    out.extend_from_slice(&Header { kind, stream, payload_bytes: payload.len() }.encode());
    out.extend_from_slice(payload);
}

pub fn hello() -> Vec<u8> {
    let mut payload = MAGIC.to_vec();
    payload.extend_from_slice(&VERSION.to_le_bytes());
    let mut out = Vec::with_capacity(HEADER_BYTES + payload.len());
    push(&mut out, Kind::Hello, 0, &payload);
    out
}

/// Refuses another version, naming it.
pub fn check_hello(payload: &[u8]) -> Result<(), FrameError> {
    match payload.split_at_checked(MAGIC.len()) {
        Some((magic, version)) if magic == MAGIC && version == VERSION.to_le_bytes() => Ok(()),
        Some((magic, _)) if magic == MAGIC => Err(FrameError("another version of the protocol")),
        _ => Err(FrameError("not the workspace protocol")),
    }
}

/// A number of 4 bytes, as `Credit` and `Open` begin with.
pub fn number(payload: &[u8]) -> Result<u32, FrameError> {
    match payload.first_chunk() {
        Some(bytes) => Ok(u32::from_le_bytes(*bytes)),
        None => Err(FrameError("number is cut off")),
    }
}

/// Cuts a stream of bytes into frames. Holds at most one frame and what was fed at once.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    start: usize,
}

impl Decoder {
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame; `None`: more bytes are needed. After an error the stream is lost.
    pub fn next_frame(&mut self) -> Result<Option<(Header, &[u8])>, FrameError> {
        let rest = &self.buffer[self.start..];
        let Some(header) = rest.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
        let header = Header::decode(*header)?;
        let end = HEADER_BYTES + header.payload_bytes;
        if rest.len() < end {
            return Ok(None);
        }
        let payload = self.start + HEADER_BYTES..self.start + end;
        self.start = payload.end;
        Ok(Some((header, &self.buffer[payload])))
    }
}

/// Bytes that are not this protocol; the connection cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameError(pub &'static str);

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for FrameError {}
