//! What stands in a line: emphasis, code, links, and texts that are to stay texts.

use regex::Regex;
use std::sync::LazyLock;

/// How deep emphasis and links are looked into.
const DEPTH_MAX: usize = 6;
/// A line that is longer stays text.
const LINE_BYTES_MAX: usize = 4_000;

static LINK: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let text = r"\[((?:[^\[\]\\]|\\.|\[[^\[\]]*\])*)\]";
    let address = r"<?([^\s<>()]*(?:\([^\s<>()]*\)[^\s<>()]*)*)>?";
    let title = r#"(?:[ \t]+(?:"[^"]*"|'[^']*'))?"#;
    Regex::new(&format!(r"^!?{text}\([ \t]*{address}{title}[ \t]*\)")).ok()
});
static ADDRESS: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^https?://[^\s<>|\[\]{}]+").ok());
static ENCLOSED: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^<(https?://[^\s<>|\[\]{}]+)>").ok());
static BREAK: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(?i)^<br[ \t]*/?>").ok());
static TAG: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?i)^</?(?:b|i|em|strong|kbd|sub|sup|p|div)(?:[ \t][^<>]*)?>").ok());
/// What Jira makes pictures of.
static PICTURE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^\((?:[yni/x!+?-]|on|off|\*[rgby]?|flag|flagoff)\)").ok());

fn found<'a>(pattern: &LazyLock<Option<Regex>>, text: &'a str) -> Option<&'a str> {
    pattern.as_ref()?.find(text).map(|found| found.as_str())
}

/// One line of Markdown as wiki markup.
pub(super) fn inline(text: &str) -> String {
    if text.len() > LINE_BYTES_MAX {
        return plain(text);
    }
    let mut line = Line { text, out: String::with_capacity(text.len()), depth: 0, in_link: false, before: None };
    line.convert();
    line.out
}

/// What is being converted: a line, or what stands between marks in one.
struct Line<'a> {
    text: &'a str,
    out: String,
    depth: usize,
    /// Links in the text of a link are their texts alone.
    in_link: bool,
    /// The character before the text.
    before: Option<char>,
}

impl Line<'_> {
    fn convert(&mut self) {
        let mut at = 0;
        while let Some(c) = self.text[at..].chars().next() {
            let taken = match c {
                '\\' => self.escaped(at),
                '`' => self.code(at),
                '<' => self.tag(at),
                '[' | '!' => self.link(at),
                'h' => self.address(at),
                '*' | '_' | '~' => self.emphasis(at, c),
                _ => 0,
            };
            if taken == 0 {
                self.literal(at, c);
            }
            at += if taken == 0 { c.len_utf8() } else { taken };
        }
    }

    fn previous(&self, at: usize) -> Option<char> {
        self.text[..at].chars().next_back().or(self.before)
    }

    fn literal(&mut self, at: usize, c: char) {
        literal(self.previous(at), &self.text[at..], c, &mut self.out);
    }

    /// What stands between marks.
    fn within(&self, text: &str, in_link: bool, before: char) -> String {
        if self.depth >= DEPTH_MAX {
            return plain(text);
        }
        let in_link = in_link || self.in_link;
        let out = String::with_capacity(text.len());
        let mut inner = Line { text, out, depth: self.depth + 1, in_link, before: Some(before) };
        inner.convert();
        inner.out
    }

    /// A character behind a backslash is itself (`CommonMark` 2.4).
    fn escaped(&mut self, at: usize) -> usize {
        let Some(c) = self.text[at + 1..].chars().next().filter(char::is_ascii_punctuation) else { return 0 };
        literal(self.previous(at), &self.text[at + 1..], c, &mut self.out);
        2
    }

    fn code(&mut self, at: usize) -> usize {
        let rest = &self.text[at..];
        let ticks = run(rest, '`');
        let Some(end) = closing(&rest[ticks..], '`', ticks) else {
            self.out.push_str(&rest[..ticks]);
            return ticks;
        };
        let inside = &rest[ticks..ticks + end];
        let padded = inside.starts_with(' ') && inside.ends_with(' ') && !inside.trim().is_empty();
        let inside = if padded { &inside[1..inside.len() - 1] } else { inside };
        self.out.push_str("{{");
        self.out.push_str(&plain(inside));
        self.out.push_str("}}");
        ticks * 2 + end
    }

    fn tag(&mut self, at: usize) -> usize {
        let rest = &self.text[at..];
        if let Some(found) = found(&ENCLOSED, rest) {
            self.out.push_str(&found[1..found.len() - 1]);
            return found.len();
        }
        if let Some(found) = found(&BREAK, rest) {
            self.out.push_str("\\\\ ");
            return found.len();
        }
        found(&TAG, rest).map_or(0, str::len)
    }

    /// A picture is a link to it. Addresses that mean something at the forge alone are left out.
    fn link(&mut self, at: usize) -> usize {
        let rest = &self.text[at..];
        let Some(found) = LINK.as_ref().and_then(|link| link.captures(rest)) else { return 0 };
        let (text, address) = (&found[1], &found[2]);
        let reaches = ["https://", "http://", "mailto:"].iter().any(|start| address.starts_with(start));
        let shown = self.within(if text.is_empty() { address } else { text }, true, '[');
        if reaches && !self.in_link {
            let address = address.replace('|', "%7C").replace('[', "%5B").replace(']', "%5D");
            self.out.extend(["[", &shown, "|", &address, "]"]);
        } else {
            self.out.push_str(&shown);
        }
        found[0].len()
    }

    /// One that stands by itself stays as it is.
    fn address(&mut self, at: usize) -> usize {
        if self.previous(at).is_some_and(char::is_alphanumeric) {
            return 0;
        }
        let Some(found) = found(&ADDRESS, &self.text[at..]) else { return 0 };
        let mut address = found.trim_end_matches(['.', ',', ';', ':', '!', '?', '\'', '"', '*', '_', '~']);
        if !address.contains('(') {
            address = address.trim_end_matches(')');
        }
        self.out.push_str(address);
        address.len()
    }

    fn emphasis(&mut self, at: usize, mark: char) -> usize {
        let rest = &self.text[at..];
        let length = run(rest, mark);
        let before = self.previous(at);
        let begins = rest[length..].chars().next().is_some_and(|next| !next.is_whitespace());
        let in_word = before.is_some_and(char::is_alphanumeric);
        let marks: &[char] = match (mark, length) {
            ('*' | '_', 1) => &['_'],
            ('*' | '_', 2) => &['*'],
            ('*' | '_', 3) => &['_', '*'],
            ('~', 2) => &['-'],
            _ => &[],
        };
        let end = closing(&rest[length..], mark, length).filter(|end| {
            let after = rest[length * 2 + end..].chars().next();
            let whole = mark != '_' || !(in_word || after.is_some_and(char::is_alphanumeric));
            begins && *end > 0 && whole && !rest[..length + end].ends_with(char::is_whitespace)
        });
        let Some(end) = end.filter(|_| !marks.is_empty()) else { return self.all_literal(at, length) };
        let after = rest[length * 2 + end..].chars().next();
        // Between letters Jira wants them in braces.
        let apart = in_word || after.is_some_and(char::is_alphanumeric);
        let shown = |mark: &char| if apart { format!("{{{mark}}}") } else { mark.to_string() };
        let inside = self.within(&rest[length..length + end], false, mark);
        let open: String = marks.iter().map(shown).collect();
        let close: String = marks.iter().rev().map(shown).collect();
        self.out.extend([open, inside, close]);
        length * 2 + end
    }

    /// Marks that mark nothing.
    fn all_literal(&mut self, at: usize, length: usize) -> usize {
        for at in at..at + length {
            if let Some(c) = self.text[at..].chars().next() {
                self.literal(at, c);
            }
        }
        length
    }
}

/// How often the text begins with this.
fn run(text: &str, mark: char) -> usize {
    text.chars().take_while(|c| *c == mark).count()
}

/// Where a run of exactly this length is, outside of code and behind no backslash.
fn closing(text: &str, mark: char, length: usize) -> Option<usize> {
    let mut at = 0;
    // Lengths of ticks that nothing closes.
    let mut unclosed = Vec::new();
    while let Some(c) = text[at..].chars().next() {
        let same = run(&text[at..], c);
        if c == mark {
            let behind_space = mark != '`' && text[..at].ends_with(char::is_whitespace);
            if same == length && !behind_space {
                return Some(at);
            }
            at += same;
        } else if c == '\\' && mark != '`' {
            at += 1 + text[at + 1..].chars().next().map_or(0, char::len_utf8);
        } else if c == '`' {
            let look = mark != '`' && !unclosed.contains(&same);
            let inside = if look { closing(&text[at + same..], '`', same) } else { None };
            if inside.is_none() {
                unclosed.push(same);
            }
            at += inside.map_or(same, |end| end + same * 2);
        } else {
            at += c.len_utf8();
        }
    }
    None
}

/// A text that is none but text.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = None;
    for (at, c) in text.char_indices() {
        literal(before, &text[at..], c, &mut out);
        before = Some(c);
    }
    out
}

/// The character that `rest` begins with, behind a backslash where Jira would make something of it. What it can stand before
/// is in `BackslashEscapeRendererComponent` of Jira: `-#*_+?^~|%{}[]()!@`.
fn literal(before: Option<char>, rest: &str, c: char, out: &mut String) {
    let after = rest[c.len_utf8()..].chars().next();
    let begins = || !before.is_some_and(char::is_alphanumeric) && after.is_some_and(|after| !after.is_whitespace());
    let a_face = || {
        let behind = out.trim_end_matches('-');
        out.len() - behind.len() <= 1 && behind.ends_with([':', ';'])
    };
    let meant = match c {
        '{' | '}' | '[' | ']' | '|' => true,
        '*' | '_' | '+' | '^' | '~' | '-' | '!' => begins(),
        '?' => after == Some('?') && before != Some('?'),
        '#' => before.is_none(),
        '(' => found(&PICTURE, rest).is_some() || a_face(),
        ')' => a_face(),
        // A backslash cannot stand before itself.
        '\\' if after.is_some_and(|after| after.is_ascii_punctuation()) => return out.push_str("&#92;"),
        _ => false,
    };
    if meant {
        out.push('\\');
    }
    out.push(c);
}
