//! Server-sent events from bytes that come in any pieces
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream>).

/// One event; `event` is empty where the stream does not name it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SseEvent {
    pub event: String,
    pub data: String,
}

/// An event or a line is larger than the decoder's limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event of more than {limit_bytes} bytes")]
pub struct EventTooLarge {
    pub limit_bytes: usize,
}

/// Decodes a stream. `id` and `retry` are not read: a POST is not resumed.
#[derive(Clone, Debug)]
pub struct SseDecoder {
    limit_bytes: usize,
    /// The line that has begun, without its end.
    line: Vec<u8>,
    /// The last byte was a carriage return: a line feed that follows belongs to it.
    after_cr: bool,
    first_line: bool,
    event: String,
    data: Option<String>,
}

impl SseDecoder {
    /// A decoder that refuses events of more than `limit_bytes`.
    pub fn new(limit_bytes: usize) -> Self {
        Self { limit_bytes, line: Vec::new(), after_cr: false, first_line: true, event: String::new(), data: None }
    }

    /// Takes the next bytes and gives each event that they complete to `each`.
    pub fn push(&mut self, mut bytes: &[u8], each: &mut dyn FnMut(SseEvent)) -> Result<(), EventTooLarge> {
        while !bytes.is_empty() {
            if self.after_cr && bytes[0] == b'\n' {
                bytes = &bytes[1..];
            }
            self.after_cr = false;
            let end = bytes.iter().position(|b| matches!(b, b'\n' | b'\r'));
            let part = &bytes[..end.unwrap_or(bytes.len())];
            let held = self.line.len() + self.data.as_ref().map_or(0, String::len);
            if held + part.len() > self.limit_bytes {
                return Err(EventTooLarge { limit_bytes: self.limit_bytes });
            }
            self.line.extend_from_slice(part);
            let Some(end) = end else { return Ok(()) };
            self.after_cr = bytes[end] == b'\r';
            bytes = &bytes[end + 1..];
            let line = std::mem::take(&mut self.line);
            if let Some(event) = self.take_line(&line) {
                each(event);
            }
        }
        Ok(())
    }

    /// The stream has ended. An event whose lines are whole but that lacks the blank line after
    /// it still counts; a line that was cut does not.
    pub fn finish(&mut self) -> Option<SseEvent> {
        self.line.clear();
        self.dispatch()
    }

    fn take_line(&mut self, line: &[u8]) -> Option<SseEvent> {
        let line = if std::mem::take(&mut self.first_line) {
            line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line)
        } else {
            line
        };
        if line.is_empty() {
            return self.dispatch();
        }
        let colon = line.iter().position(|b| *b == b':').unwrap_or(line.len());
        let value = line.get(colon + 1..).unwrap_or_default();
        let value = String::from_utf8_lossy(value.strip_prefix(b" ").unwrap_or(value));
        match &line[..colon] {
            b"event" => self.event = value.into_owned(),
            b"data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(&value);
                }
                None => self.data = Some(value.into_owned()),
            },
            _ => {}
        }
        None
    }

    fn dispatch(&mut self) -> Option<SseEvent> {
        let event = std::mem::take(&mut self.event);
        self.data.take().map(|data| SseEvent { event, data })
    }
}
