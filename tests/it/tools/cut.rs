//! The recorded form of outputs.

use journeyman::tools::{OUTPUT_LIMIT_BYTES, cut};

#[test]
fn short_text_is_kept_as_it_is() {
    assert_eq!(cut(b"a\n\tb \xc3\xa4\n"), ("a\n\tb ä\n".to_owned(), false));
    assert_eq!(cut(b""), (String::new(), false));
}

#[test]
fn terminal_escapes_and_control_characters_are_taken_out_or_written_out() {
    for (output, text) in [
        (&b"\x1b[1;31mred\x1b[0m and \x1b]0;title\x07plain"[..], "red and plain"),
        (b"\x1b(Bx\x1b=y\x1b[?25lz\x1bPq\x1b\\!", "xyz!"),
        (b"\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        (b"a\0b\x01c\x7f", "a\\x00b\\x01c\\x7f"),
        (b"one\r\ntwo\r\n", "one\ntwo\n"),
        (b"10%\r50%\r100%\ndone", "[2 overwritten before] 100%\ndone"),
        (b"a_\x08b bell\x07", "ab bell"),
        (b"bad \xff\xfe utf", "bad \u{fffd}\u{fffd} utf"),
        (b"unended \x1b]title\nnext\x1b", "unended \nnext"),
        (b"\xc2\x9b31mc1\xc2\x85", "c1\\x85"),
    ] {
        assert_eq!(cut(output), (text.to_owned(), true), "{:?}", String::from_utf8_lossy(output));
    }
}

#[test]
fn long_text_loses_its_middle_and_says_so_with_the_full_size() {
    let whole = (0..20_000).fold(String::new(), |text, n| text + &format!("line {n}\n"));
    let (short, lacks) = cut(whole.as_bytes());
    assert!(lacks);
    assert!(short.len() <= OUTPUT_LIMIT_BYTES && short.len() > OUTPUT_LIMIT_BYTES * 9 / 10, "{}", short.len());
    let lines: Vec<&str> = short.lines().collect();
    assert_eq!((lines[0], lines[lines.len() - 1]), ("line 0", "line 19999"));
    let notice = lines.iter().position(|line| line.starts_with("[... ")).expect("it says so");
    assert!(lines[notice].contains("208,890 bytes, about 52,223 tokens, in 20,000 lines"), "{}", lines[notice]);
    let number = |line: &str| line.strip_prefix("line ").and_then(|n| n.parse::<usize>().ok()).expect("a whole line");
    let left_out = number(lines[notice + 1]) - number(lines[notice - 1]) - 1;
    assert!(
        lines[notice].contains(&format!("in {},{:03} lines", left_out / 1000, left_out % 1000)),
        "{}",
        lines[notice]
    );
}

#[test]
fn long_lines_are_cut_between_characters() {
    let whole = "ä€😀".repeat(20_000);
    let (short, lacks) = cut(whole.as_bytes());
    assert!(lacks && short.len() <= OUTPUT_LIMIT_BYTES);
    assert!(short.starts_with("ä€😀") && short.ends_with("ä€😀"));
}

#[test]
fn what_was_cut_once_is_not_cut_again() {
    let whole = "x".repeat(100_000);
    let (once, _) = cut(whole.as_bytes());
    assert_eq!(cut(once.as_bytes()), (once, false));
}
