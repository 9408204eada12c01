//! The event stream decoder.

use journeyman::llm::sse::{EventTooLarge, SseDecoder, SseEvent};
use proptest::prelude::*;

fn decode(pieces: &[&[u8]]) -> Vec<(String, String)> {
    let mut decoder = SseDecoder::new(1 << 20);
    let mut events = Vec::new();
    let mut each = |SseEvent { event, data }| events.push((event, data));
    for piece in pieces {
        decoder.push(piece, &mut each).expect("small events");
    }
    decoder.finish().into_iter().for_each(each);
    events
}

fn event(event: &str, data: &str) -> (String, String) {
    (event.to_owned(), data.to_owned())
}

#[test]
fn streams_are_read_as_the_standard_says() {
    let table: [(&str, Vec<(String, String)>); 12] = [
        ("data: a\n\n", vec![event("", "a")]),
        ("data:a\r\n\r\ndata: b\r\rdata:  c\n\n", vec![event("", "a"), event("", "b"), event("", " c")]),
        ("event: x\ndata: 1\ndata: 2\ndata\n\n", vec![event("x", "1\n2\n")]),
        (": comment\n\n:\n\ndata: a\n: inside\n\n", vec![event("", "a")]),
        ("\u{feff}data: a\n\n", vec![event("", "a")]),
        ("event: lost\n\ndata: a\n\n", vec![event("", "a")]),
        ("id: 7\nretry: 10\nfoo: bar\ndata: a\n\n", vec![event("", "a")]),
        ("data: whole\n", vec![event("", "whole")]),
        ("data: whole\n\ndata: cu", vec![event("", "whole")]),
        ("data:\n\n", vec![event("", "")]),
        ("hello world", vec![]),
        ("", vec![]),
    ];
    for (stream, events) in table {
        assert_eq!(decode(&[stream.as_bytes()]), events, "{stream:?}");
        let bytes: Vec<&[u8]> = stream.as_bytes().chunks(1).collect();
        assert_eq!(decode(&bytes), events, "{stream:?} byte by byte");
    }
}

#[test]
fn an_event_beyond_the_limit_is_refused_however_it_comes() {
    let mut none = |_: SseEvent| ();
    for stream in ["data: 0123456789", "data: 0\ndata: 1\ndata: 2\ndata: 3\ndata: 4\ndata: 5", "event:..........."] {
        let mut whole = SseDecoder::new(12);
        assert_eq!(whole.push(stream.as_bytes(), &mut none), Err(EventTooLarge { limit_bytes: 12 }), "{stream}");
        let mut drip = SseDecoder::new(12);
        let outcome = stream.bytes().try_for_each(|byte| drip.push(&[byte], &mut none));
        assert_eq!(outcome, Err(EventTooLarge { limit_bytes: 12 }), "{stream}");
    }
    let mut many = SseDecoder::new(12);
    assert_eq!(many.push("data: 12345\n\n".repeat(100).as_bytes(), &mut none), Ok(()));
}

proptest! {
    #[test]
    fn the_same_bytes_split_anyhow_are_the_same_events(
        stream in "(data: ?|event: ?|: |\r|\n|\r\n|ü|x|\u{feff}|\n\n){0,40}",
        borders in proptest::collection::vec(0_usize..200, 0..8),
    ) {
        let bytes = stream.as_bytes();
        let mut ends: Vec<usize> = borders.iter().map(|end| end % (bytes.len() + 1)).collect();
        ends.extend([0, bytes.len()]);
        ends.sort_unstable();
        let pieces: Vec<&[u8]> = ends.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        prop_assert_eq!(decode(&pieces), decode(&[bytes]));
    }
}
