//! The server's end of execd: requests put together from frames, answers cut into frames, small
//! frames before data, data as far as each stream's credit goes.

use crate::{
    entry::Pipes,
    heart::{Beat, Heart},
};
use execd::{
    flow,
    frame::{self, Decoder, FrameError, Kind, OPEN_PREFIX_BYTES, PAYLOAD_LIMIT_BYTES},
    message::{Answer, CALLS_LIMIT, Failure, FailureKind, REQUEST_LIMIT_BYTES},
};
use rustix::io::Errno;
use std::{
    collections::{BTreeMap, HashMap},
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

const READ_BYTES: usize = 16 * 1024;
/// Above this no live pieces are queued.
const LIVE_QUEUE_BYTES: usize = 64 * 1024;

/// What the server said, whole.
#[derive(Debug)]
pub(crate) enum Heard {
    /// A complete request: JSON and what is attached.
    Request {
        stream: u32,
        json: Vec<u8>,
        attached: Vec<u8>,
    },
    Cancel(u32),
    /// On a stream that execd opened.
    Data(u32, Vec<u8>),
    End(u32),
    Shutdown,
}

#[derive(Debug)]
struct Incoming {
    total_bytes: usize,
    bytes: Vec<u8>,
    credit: flow::Receiver,
}

#[derive(Debug, Default)]
struct Outgoing {
    credit: flow::Sender,
    data: Vec<u8>,
    sent: usize,
    /// The frame that follows the last byte, and whether the stream is then forgotten.
    last: Option<(Kind, Vec<u8>)>,
}

#[derive(Debug)]
pub(crate) struct Connection {
    /// Absent: the server is gone, and what is said goes nowhere.
    pipes: Option<Pipes>,
    heart: Heart,
    decoder: Decoder,
    greeted: bool,
    incoming: HashMap<u32, Incoming>,
    outgoing: BTreeMap<u32, Outgoing>,
    /// Streams that execd opened, with what the server may still send on each.
    relayed: HashMap<u32, flow::Receiver>,
    /// Whole frames that go first.
    control: Vec<u8>,
    /// Whole frames under way.
    writing: Vec<u8>,
    written: usize,
    last_served: u32,
}

impl Connection {
    /// A fresh connection, of which nothing has been heard. `beat`: how often the server is asked whether it is there,
    /// where it has said that.
    pub(crate) fn new(pipes: Option<Pipes>, beat: Option<Duration>) -> Self {
        Self {
            pipes,
            heart: Heart::new(beat),
            decoder: Decoder::default(),
            greeted: false,
            incoming: HashMap::new(),
            outgoing: BTreeMap::new(),
            relayed: HashMap::new(),
            control: frame::hello(),
            writing: Vec::new(),
            written: 0,
            last_served: 0,
        }
    }

    pub(crate) fn input(&self) -> Option<BorrowedFd<'_>> {
        self.pipes.as_ref().map(|pipes| pipes.input.as_fd())
    }

    /// Where there is something to write.
    pub(crate) fn output(&self) -> Option<BorrowedFd<'_>> {
        self.pipes.as_ref().filter(|_| self.wants_to_write()).map(|pipes| pipes.output.as_fd())
    }

    /// From now on the server is asked so often.
    pub(crate) fn beats(&mut self, beat: Option<Duration>) {
        self.heart = Heart::new(beat);
    }

    /// When [`Self::lives`] is to be asked next.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.pipes.as_ref().map(|_| self.heart.due())
    }

    /// Asks a silent server for a sign of life; `false`: it has given none for too long.
    pub(crate) fn lives(&mut self, now: Instant) -> bool {
        if self.pipes.is_none() {
            return true;
        }
        match self.heart.look(now) {
            Beat::Wait => true,
            Beat::Ask => {
                frame::push(&mut self.control, Kind::Ping, 0, &[]);
                true
            }
            Beat::Silent => false,
        }
    }

    /// Reads once. `Ok(false)`: the server hung up.
    pub(crate) fn read(&mut self, heard: &mut Vec<Heard>) -> io::Result<bool> {
        let mut bytes = [0; READ_BYTES];
        let Some(pipes) = &self.pipes else { return Ok(true) };
        match rustix::io::read(&pipes.input, &mut bytes) {
            Ok(0) => return Ok(false),
            Ok(count) => {
                self.heart.heard();
                self.decoder.feed(&bytes[..count]);
            }
            Err(Errno::AGAIN | Errno::INTR) => return Ok(true),
            Err(errno) => return Err(errno.into()),
        }
        let mut decoder = std::mem::take(&mut self.decoder);
        while let Some((header, payload)) = decoder.next_frame().map_err(io::Error::other)? {
            self.hear(header, payload, heard).map_err(io::Error::other)?;
        }
        self.decoder = decoder;
        Ok(true)
    }

    fn hear(&mut self, header: frame::Header, payload: &[u8], heard: &mut Vec<Heard>) -> Result<(), FrameError> {
        let stream = header.stream;
        if !self.greeted {
            if header.kind != Kind::Hello {
                return Err(FrameError("no hello"));
            }
            frame::check_hello(payload)?;
            self.greeted = true;
            return Ok(());
        }
        match header.kind {
            Kind::Ping => frame::push(&mut self.control, Kind::Pong, 0, &[]),
            Kind::Pong => {}
            Kind::Shutdown => heard.push(Heard::Shutdown),
            Kind::Credit => {
                if let Some(outgoing) = self.outgoing.get_mut(&stream) {
                    outgoing.credit.grant(frame::number(payload)?)?;
                }
            }
            Kind::Open => self.open(stream, payload, heard)?,
            Kind::Data if self.incoming.contains_key(&stream) => self.attach(stream, payload, heard)?,
            Kind::Data => {
                // Data for a relayed connection that has just been cut here is no offence.
                if let Some(credit) = self.relayed.get_mut(&stream) {
                    credit.receive(payload.len())?;
                    heard.push(Heard::Data(stream, payload.to_vec()));
                } else if stream % 2 == 1 {
                    return Err(FrameError("data without a request"));
                }
            }
            Kind::End => heard.push(Heard::End(stream)),
            Kind::Cancel => {
                if self.incoming.remove(&stream).is_some() {
                    self.answer(stream, Err(refused("the call was given up")));
                }
                heard.push(Heard::Cancel(stream));
            }
            Kind::Hello | Kind::Done | Kind::Failed | Kind::Accept | Kind::Live => {
                return Err(FrameError("not for execd to hear"));
            }
        }
        Ok(())
    }

    fn open(&mut self, stream: u32, payload: &[u8], heard: &mut Vec<Heard>) -> Result<(), FrameError> {
        let total_bytes = frame::number(payload)? as usize;
        let begin = &payload[OPEN_PREFIX_BYTES..];
        if stream.is_multiple_of(2) || self.outgoing.contains_key(&stream) {
            return Err(FrameError("stream number is taken or not the server's"));
        }
        if self.outgoing.len() > CALLS_LIMIT + self.relayed.len() {
            return Err(FrameError("too many calls at once"));
        }
        if total_bytes > REQUEST_LIMIT_BYTES || begin.len() > total_bytes {
            return Err(FrameError("request is longer than allowed"));
        }
        self.outgoing.insert(stream, Outgoing::default());
        let incoming = Incoming { total_bytes, bytes: begin.to_vec(), credit: flow::Receiver::default() };
        self.incoming.insert(stream, incoming);
        self.complete(stream, heard)
    }

    fn attach(&mut self, stream: u32, payload: &[u8], heard: &mut Vec<Heard>) -> Result<(), FrameError> {
        if let Some(incoming) = self.incoming.get_mut(&stream) {
            incoming.credit.receive(payload.len())?;
            if incoming.bytes.len() + payload.len() > incoming.total_bytes {
                return Err(FrameError("request is longer than announced"));
            }
            incoming.bytes.extend_from_slice(payload);
            if let Some(credit) = incoming.credit.take(payload.len()) {
                frame::push(&mut self.control, Kind::Credit, stream, &credit.to_le_bytes());
            }
        }
        self.complete(stream, heard)
    }

    fn complete(&mut self, stream: u32, heard: &mut Vec<Heard>) -> Result<(), FrameError> {
        let whole = self.incoming.get(&stream).is_some_and(|incoming| incoming.bytes.len() == incoming.total_bytes);
        if !whole {
            return Ok(());
        }
        if let Some(mut incoming) = self.incoming.remove(&stream) {
            let json_bytes = frame::number(&incoming.bytes)? as usize;
            if json_bytes > incoming.bytes.len() - 4 {
                return Err(FrameError("request is cut off"));
            }
            let attached = incoming.bytes.split_off(4 + json_bytes);
            let json = incoming.bytes.split_off(4);
            heard.push(Heard::Request { stream, json, attached });
        }
        Ok(())
    }

    /// Queues data of a stream.
    pub(crate) fn data(&mut self, stream: u32, bytes: &[u8]) {
        if let Some(outgoing) = self.outgoing.get_mut(&stream) {
            if outgoing.sent == outgoing.data.len() {
                outgoing.data.clear();
                outgoing.sent = 0;
            }
            outgoing.data.extend_from_slice(bytes);
        }
    }

    /// A piece of live output, unless the server is behind.
    pub(crate) fn live(&mut self, stream: u32, bytes: &[u8]) {
        if self.control.len() < LIVE_QUEUE_BYTES && !bytes.is_empty() {
            let piece = &bytes[bytes.len().saturating_sub(PAYLOAD_LIMIT_BYTES / 4)..];
            frame::push(&mut self.control, Kind::Live, stream, piece);
        }
    }

    /// Ends a call by its answer, behind its data.
    pub(crate) fn answer(&mut self, stream: u32, result: Result<Answer, Failure>) {
        let (kind, json) = match result {
            Ok(answer) => (Kind::Done, serde_json::to_vec(&answer)),
            Err(failure) => (Kind::Failed, serde_json::to_vec(&shortened(failure))),
        };
        let Ok(json) = json else { return };
        if let Some(outgoing) = self.outgoing.get_mut(&stream) {
            outgoing.last = Some((kind, json));
        }
    }

    /// Opens a stream for a connection accepted on `port`.
    pub(crate) fn accept(&mut self, stream: u32, port: u16) {
        self.outgoing.insert(stream, Outgoing::default());
        self.relayed.insert(stream, flow::Receiver::default());
        frame::push(&mut self.control, Kind::Accept, stream, &port.to_le_bytes());
    }

    /// The relayed connection has nothing more to say to the server.
    pub(crate) fn end(&mut self, stream: u32) {
        if let Some(outgoing) = self.outgoing.get_mut(&stream) {
            outgoing.last = Some((Kind::End, Vec::new()));
        }
    }

    /// Forgets a relayed connection.
    pub(crate) fn forget(&mut self, stream: u32) {
        self.relayed.remove(&stream);
    }

    /// Cuts a relayed connection and says so.
    pub(crate) fn cut(&mut self, stream: u32) {
        self.outgoing.remove(&stream);
        if self.relayed.remove(&stream).is_some() {
            frame::push(&mut self.control, Kind::Cancel, stream, &[]);
        }
    }

    /// The relayed connection took this much of what the server sent.
    pub(crate) fn took(&mut self, stream: u32, bytes: usize) {
        if let Some(credit) = self.relayed.get_mut(&stream).and_then(|credit| credit.take(bytes)) {
            frame::push(&mut self.control, Kind::Credit, stream, &credit.to_le_bytes());
        }
    }

    /// How many bytes a stream has queued.
    pub(crate) fn queued(&self, stream: u32) -> usize {
        self.outgoing.get(&stream).map_or(0, |outgoing| outgoing.data.len() - outgoing.sent)
    }

    fn wants_to_write(&self) -> bool {
        self.written < self.writing.len() || !self.control.is_empty() || self.outgoing.values().any(Outgoing::has_frame)
    }

    /// Writes as much as the pipe takes.
    pub(crate) fn write(&mut self) -> io::Result<()> {
        let Some(pipes) = self.pipes.take() else { return Ok(()) };
        let result = self.write_to(&pipes.output);
        self.pipes = Some(pipes);
        result
    }

    fn write_to(&mut self, output: &OwnedFd) -> io::Result<()> {
        loop {
            if self.written == self.writing.len() {
                self.writing.clear();
                self.written = 0;
                self.fill();
                if self.writing.is_empty() {
                    return Ok(());
                }
            }
            match rustix::io::write(output, &self.writing[self.written..]) {
                Ok(count) => self.written += count,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// The next frames to write: control, else one frame of the stream whose turn it is.
    fn fill(&mut self) {
        if !self.control.is_empty() {
            std::mem::swap(&mut self.writing, &mut self.control);
        }
        let ready = |(stream, outgoing): (&u32, &Outgoing)| outgoing.has_frame().then_some(*stream);
        let after = self.outgoing.range(self.last_served.saturating_add(1)..).find_map(ready);
        let Some(stream) = after.or_else(|| self.outgoing.iter().find_map(ready)) else { return };
        self.last_served = stream;
        let Some(outgoing) = self.outgoing.get_mut(&stream) else { return };
        let rest = &outgoing.data[outgoing.sent..];
        let count = rest.len().min(outgoing.credit.available()).min(PAYLOAD_LIMIT_BYTES);
        if count > 0 {
            frame::push(&mut self.writing, Kind::Data, stream, &rest[..count]);
            outgoing.sent += count;
            outgoing.credit.spend(count);
        }
        if outgoing.sent == outgoing.data.len()
            && let Some((kind, payload)) = outgoing.last.take()
        {
            frame::push(&mut self.writing, kind, stream, &payload);
            self.outgoing.remove(&stream);
        }
    }
}

impl Outgoing {
    fn has_frame(&self) -> bool {
        let all_sent = self.sent == self.data.len();
        if all_sent { self.last.is_some() } else { self.credit.available() > 0 }
    }
}

/// A failure that fits a frame.
fn shortened(mut failure: Failure) -> Failure {
    for text in [&mut failure.what, &mut failure.why] {
        if text.len() > 2_000 {
            let end = (0..=2_000).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
            text.truncate(end);
        }
    }
    failure
}

pub(crate) fn refused(why: impl Into<String>) -> Failure {
    Failure { kind: FailureKind::Refused, what: String::new(), why: why.into() }
}
