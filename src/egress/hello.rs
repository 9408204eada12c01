//! The server name that a TLS client asks for in its first message (RFC 8446, RFC 6066).
//!
//! Reads just that, of bytes that are not trusted; nothing of TLS is spoken here.

/// The most bytes of records that a first message may take: post-quantum keys and padding have room.
pub const HELLO_BYTES_MAX: usize = 32 * 1024;
/// The longest fragment of a record (RFC 8446, 5.1).
const FRAGMENT_BYTES_MAX: usize = 1 << 14;
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
/// Encrypted Client Hello (RFC 9849) and its forerunner.
const ENCRYPTED: [u16; 2] = [0xfe0d, 0xffce];

/// What the first bytes of a connection are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hello {
    /// Not yet a whole message.
    More,
    NotTls,
    Malformed,
    Found {
        /// In lower case; absent where the client names none.
        name: Option<String>,
        /// The client offers another, encrypted name, or pretends to: many send it as noise.
        encrypted: bool,
    },
}

/// Reads the first bytes of a connection.
pub fn read(bytes: &[u8]) -> Hello {
    if bytes.first().is_some_and(|kind| *kind != HANDSHAKE) {
        return Hello::NotTls;
    }
    let mut message = Vec::new();
    let mut rest = bytes;
    loop {
        match whole(&message) {
            Ok(Some(body)) => return client_hello(body).unwrap_or(Hello::Malformed),
            Ok(None) => {}
            Err(NoHello) => return Hello::Malformed,
        }
        let [kind, major, _, high, low, after @ ..] = rest else {
            let wrong = rest.first().is_some_and(|kind| *kind != HANDSHAKE) || rest.get(1).is_some_and(|it| *it != 3);
            return incomplete(bytes, wrong);
        };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if *kind != HANDSHAKE || *major != 3 || length == 0 || length > FRAGMENT_BYTES_MAX {
            return Hello::Malformed;
        }
        let Some(fragment) = after.get(..length) else { return incomplete(bytes, false) };
        message.extend_from_slice(fragment);
        rest = &after[length..];
    }
}

fn incomplete(bytes: &[u8], wrong: bool) -> Hello {
    if wrong || bytes.len() >= HELLO_BYTES_MAX { Hello::Malformed } else { Hello::More }
}

/// The first handshake message is another, or too long.
struct NoHello;

/// The body of the first handshake message, once it is whole.
fn whole(message: &[u8]) -> Result<Option<&[u8]>, NoHello> {
    let [kind, a, b, c, body @ ..] = message else { return Ok(None) };
    let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
    if *kind != CLIENT_HELLO || length > HELLO_BYTES_MAX {
        return Err(NoHello);
    }
    Ok(body.get(..length))
}

fn client_hello(body: &[u8]) -> Option<Hello> {
    let mut reader = Reader(body);
    reader.take(2 + 32)?;
    reader.list8()?;
    let suites = reader.list16()?;
    let compressions = reader.list8()?;
    if suites.0.is_empty() || suites.0.len() % 2 != 0 || compressions.0.is_empty() {
        return None;
    }
    let mut found = (None, false);
    if !reader.0.is_empty() {
        let mut extensions = reader.list16()?;
        if !reader.0.is_empty() {
            return None;
        }
        let mut named = false;
        while !extensions.0.is_empty() {
            let kind = extensions.number()?;
            let content = extensions.list16()?;
            if kind == SERVER_NAME {
                // One name for the judge and another for the server is what a second one would be for.
                if std::mem::replace(&mut named, true) {
                    return None;
                }
                found.0 = Some(server_name(content)?);
            }
            found.1 |= ENCRYPTED.contains(&kind);
        }
    }
    Some(Hello::Found { name: found.0, encrypted: found.1 })
}

/// The one host name of a list that has nothing else.
fn server_name(mut content: Reader<'_>) -> Option<String> {
    let mut list = content.list16()?;
    let kind = *list.take(1)?.first()?;
    let name = list.list16()?.0;
    let sane = name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
    let alone = content.0.is_empty() && list.0.is_empty();
    if kind != 0 || !alone || !sane || name.is_empty() || name.len() > 253 {
        return None;
    }
    Some(String::from_utf8_lossy(name).to_ascii_lowercase())
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u16> {
        let bytes = self.take(2)?;
        Some(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn list8(&mut self) -> Option<Reader<'a>> {
        let length = usize::from(*self.take(1)?.first()?);
        self.take(length).map(Reader)
    }

    fn list16(&mut self) -> Option<Reader<'a>> {
        let length = usize::from(self.number()?);
        self.take(length).map(Reader)
    }
}
