//! Lines: headings, lists, tables, quotes, blocks of code.

use super::inline::inline;
use crate::trackers::voice::unfolded::{Fence, unfolded};
use regex::Regex;
use std::sync::LazyLock;

/// How deep quotes are looked into.
const DEPTH_MAX: usize = 4;
/// What every Jira colours; another word after `{code:` is an error that the reader sees.
const LANGUAGES: &str = "actionscript ada applescript bash c c# c++ cpp css erlang go groovy haskell html java javascript js json \
                         lua objc perl php python r ruby scala sh sql swift xml";

static HEADING: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^ {0,3}(#{1,6})[ \t]+(.*?)[ \t#]*$").ok());
static RULE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^ {0,3}(?:(?:-[ \t]*){3,}|(?:\*[ \t]*){3,}|(?:_[ \t]*){3,})$").ok());
static ITEM: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^([ \t]*)([-*+]|\d{1,9}[.)])[ \t]+(?:\[([ xX])\][ \t]+)?(.*)$").ok());
static DELIMITERS: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$").ok());

fn caught<'a>(pattern: &LazyLock<Option<Regex>>, line: &'a str) -> Option<regex::Captures<'a>> {
    pattern.as_ref()?.captures(line)
}

/// Markdown as wiki markup. What is folded is laid open.
pub fn from_markdown(markdown: &str) -> String {
    let markdown = unfolded(markdown);
    let lines: Vec<&str> = markdown.lines().collect();
    converted(&lines, 0).join("\n").trim_end().to_owned()
}

fn converted(lines: &[&str], depth: usize) -> Vec<String> {
    let mut out = Vec::new();
    let mut list = List::default();
    let mut rest = lines;
    while let Some((line, after)) = rest.split_first() {
        let taken = block(rest, depth, &mut out);
        if taken > 0 {
            list = List::default();
            rest = &rest[taken..];
            continue;
        }
        rest = after;
        if RULE.as_ref().is_some_and(|rule| rule.is_match(line)) {
            out.push("----".to_owned());
        } else if let Some(item) = caught(&ITEM, line) {
            out.push(list.item(&item));
            continue;
        } else if line.trim().is_empty() {
            // A list goes on behind an empty line; Jira's would end.
            if list.is_open() && after.first().is_some_and(|next| caught(&ITEM, next).is_some()) {
                continue;
            }
            out.push(String::new());
        } else if list.is_open() && line.starts_with([' ', '\t']) {
            out.push(inline(line.trim()));
            continue;
        } else {
            out.push(inline(line.trim_end()));
        }
        list = List::default();
    }
    out
}

/// What is made of several lines, or of a heading: how many lines it took, none if there is none.
fn block(lines: &[&str], depth: usize, out: &mut Vec<String>) -> usize {
    let line = lines[0];
    let mut fence = Fence::default();
    if fence.holds(line) {
        let inside = lines[1..].iter().take_while(|line| fence.holds(line) && fence.is_open()).count();
        code(line, &lines[1..=inside], out);
        // The last line may be missing.
        return (inside + 2).min(lines.len());
    }
    if let Some(heading) = caught(&HEADING, line) {
        out.push(format!("h{}. {}", heading[1].len(), inline(&heading[2])));
        return 1;
    }
    if line.contains('|') && lines.get(1).is_some_and(|next| delimits(next, cells(line).len())) {
        let rows = lines[2..].iter().take_while(|line| line.contains('|')).count();
        out.push(row(line, "||"));
        out.extend(lines[2..2 + rows].iter().map(|line| row(line, "|")));
        return 2 + rows;
    }
    if line.starts_with('>') && depth < DEPTH_MAX {
        let quoted: Vec<&str> = lines.iter().map_while(|line| line.strip_prefix('>')).collect();
        let bare: Vec<&str> = quoted.iter().map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
        out.push("{quote}".to_owned());
        out.extend(converted(&bare, depth + 1));
        out.push("{quote}".to_owned());
        return quoted.len();
    }
    0
}

/// Whether a line stands between the head and the rows of a table with so many columns.
fn delimits(line: &str, columns: usize) -> bool {
    caught(&DELIMITERS, line).is_some() && cells(line).len() == columns
}

/// A block of code as it is; what would end it is set apart.
fn code(fence: &str, lines: &[&str], out: &mut Vec<String>) {
    let word = fence.trim().trim_start_matches(['`', '~']).split_whitespace().next().unwrap_or_default();
    let language = LANGUAGES.split(' ').find(|language| word.eq_ignore_ascii_case(language));
    let (open, close) = match language {
        Some(language) => (format!("{{code:{language}}}"), "{code}"),
        None => ("{noformat}".to_owned(), "{noformat}"),
    };
    let apart = format!("{{ {}", &close[1..]);
    out.push(open);
    out.extend(lines.iter().map(|line| line.replace(close, &apart)));
    out.push(close.to_owned());
}

fn row(line: &str, bar: &str) -> String {
    let cells = cells(line);
    let shown = cells.iter().map(|cell| {
        let text = inline(cell.trim());
        if text.is_empty() { " ".to_owned() } else { text }
    });
    format!("{bar}{}{bar}", shown.collect::<Vec<_>>().join(bar))
}

/// A bar with a backslash before it is none (GitHub Flavored Markdown 4.10).
fn cells(line: &str) -> Vec<String> {
    let line = line.trim();
    let line = line.strip_prefix('|').unwrap_or(line);
    let mut cells = vec![String::new()];
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if chars.peek() == Some(&'|') => {
                chars.next();
                push(&mut cells, '|');
            }
            '|' => cells.push(String::new()),
            c => push(&mut cells, c),
        }
    }
    if cells.len() > 1 && cells.last().is_some_and(|last| last.trim().is_empty()) {
        cells.pop();
    }
    cells
}

fn push(cells: &mut [String], c: char) {
    if let Some(last) = cells.last_mut() {
        last.push(c);
    }
}

/// Where in a list the lines are: each level's indent and mark.
#[derive(Default)]
struct List {
    levels: Vec<(usize, char)>,
}

impl List {
    fn is_open(&self) -> bool {
        !self.levels.is_empty()
    }

    /// Captures of [`ITEM`].
    fn item(&mut self, item: &regex::Captures<'_>) -> String {
        let indent = item[1].chars().map(|c| if c == '\t' { 4 } else { 1 }).sum();
        let mark = if item[2].starts_with(|c: char| c.is_ascii_digit()) { '#' } else { '*' };
        // One that is further in than another by less than two columns stands beside it.
        while self.levels.last().is_some_and(|(before, _)| *before > indent) {
            self.levels.pop();
        }
        match self.levels.last_mut() {
            Some((before, own)) if indent < *before + 2 => *own = mark,
            _ => self.levels.push((indent, mark)),
        }
        let marks: String = self.levels.iter().map(|(_, mark)| mark).collect();
        let done = match item.get(3).map(|done| done.as_str()) {
            None => "",
            Some(" ") => "☐ ",
            Some(_) => "☑ ",
        };
        format!("{marks} {done}{}", inline(item[4].trim_end()))
    }
}
