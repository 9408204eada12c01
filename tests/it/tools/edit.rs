//! The pure core of `edit`.

use journeyman::tools::patch::replace;

fn edited(content: &str, old: &str, new: &str) -> Result<String, String> {
    replace(content, old, new, false).map(|replaced| replaced.content)
}

#[test]
fn one_place_is_replaced() {
    for (content, old, new, wanted) in [
        ("a\nb\nc\n", "b", "B", "a\nB\nc\n"),
        ("a\nb\nc\n", "b\nc\n", "", "a\n"),
        ("let x = 1;", "1", "2", "let x = 2;"),
        ("a\r\nb\r\nc\r\n", "a\nb", "A\nB\nB2", "A\r\nB\r\nB2\r\nc\r\n"),
        ("a\r\nb\r\n", "b\r\n", "c\r\n", "a\r\nc\r\n"),
        ("a\nb\r\nc\r\n", "b", "b\nB", "a\nb\r\nB\r\nc\r\n"),
        ("a\nb", "b\n", "c\n", "a\nc"),
        ("\u{feff}a\n", "a", "b", "\u{feff}b\n"),
    ] {
        assert_eq!(edited(content, old, new).as_deref(), Ok(wanted), "{content:?} {old:?}");
    }
}

#[test]
fn white_space_and_typographic_differences_are_tolerated_where_one_place_fits() {
    for (content, old, new, wanted) in [
        ("a  \nb\n", "a\nb", "A\nb", "A\nb\n"),
        (
            "if x:\n\tif y:\n\t\treturn 1\n",
            "    if y:\n        return 1",
            "    if y:\n        return 2",
            "if x:\n\tif y:\n\t\treturn 2\n",
        ),
        ("say “hi”\n", "say \"hi\"", "say \"ho\"", "say \"ho\"\n"),
        ("    x\n    y\n", "x\ny", "x\nz\n  w", "    x\n    z\n      w\n"),
    ] {
        assert_eq!(edited(content, old, new).as_deref(), Ok(wanted), "{content:?} {old:?}");
    }
    let note = replace("a  \nb\n", "a\nb", "A\nb", false).expect("applied").note.expect("it says so");
    assert!(note.contains("white space"), "{note}");
}

#[test]
fn several_places_are_refused_with_their_lines_unless_all_are_meant() {
    let content = "x = 1\ny\nx = 1\n";
    let why = edited(content, "x = 1", "x = 2").expect_err("two places");
    assert!(why.contains("2 places, lines 1 and 3") && why.contains("replace_all"), "{why}");
    let all = replace(content, "x = 1", "x = 2", true).expect("all");
    assert_eq!((all.content.as_str(), all.times, all.line), ("x = 2\ny\nx = 2\n", 2, 1));
    let why = edited("aaa", "aa", "b").expect_err("places that overlap are two");
    assert!(why.contains("2 places"), "{why}");
    assert_eq!(replace("aaaa", "aa", "b", true).expect("all").content, "bb");
    let why = edited("  a\n\ta\n", "    a\n", "b\n").expect_err("two but for white space");
    assert!(why.contains("lines 1 and 2"), "{why}");
}

#[test]
fn no_place_is_refused_with_the_nearest_lines_and_the_likely_mistake() {
    let why =
        edited("def add(x, y):\n    return x - y\n", "def add(a, b):\n    return a - b\n", "z").expect_err("stale");
    assert!(why.contains("* 1| def add(x, y):") && why.contains("`def add(a, b):`"), "{why}");
    let why = edited("one\ntwo\n", "     1\tone\n     2\ttwo", "x").expect_err("numbers");
    assert!(why.contains("line numbers"), "{why}");
    let why = edited("one\ntwo\n", "one\\ntwo", "x").expect_err("escapes");
    assert!(why.contains("backslash"), "{why}");
    assert!(edited("a", "a", "a").expect_err("same").contains("the same"));
    assert!(edited("a", "", "b").expect_err("empty").contains("`old` is empty"));
}

#[test]
fn what_would_make_a_file_too_large_is_refused_before_it_is_made() {
    let content = "a".repeat(1 << 20);
    // A tebibyte, were it made.
    let why = replace(&content, "a", &"b".repeat(1 << 20), true).expect_err("too large");
    assert!(why.contains("1048576 places") && why.contains("16777216"), "{why}");
    assert_eq!(replace(&content, "a", "bb", true).expect("it fits").content.len(), 2 << 20);
    let crlf = "a\r\n".repeat(1 << 20);
    let why = replace(&crlf, "a", "\n\n\n\n\n\n\n\n", true).expect_err("too large with its line endings");
    assert!(why.contains("16777216"), "{why}");
}

#[test]
fn many_places_on_one_long_line_are_replaced_in_one_pass() {
    // A pass for each place would take hours.
    let content = format!("x\r\n{}", "a,".repeat(1 << 21));
    let replaced = replace(&content, ",", "\n", true).expect("it fits");
    assert_eq!(replaced.times, 1 << 21);
    assert!(replaced.content.starts_with("x\r\na\r\na\r\n"));
}
