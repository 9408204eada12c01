//! A file's content as lines that remember their endings.

use super::level::Level;
use std::{
    borrow::Cow,
    cell::OnceCell,
    hash::{DefaultHasher, Hash, Hasher},
};

/// The content of a text file. Putting its lines together again gives the same bytes.
#[derive(Clone, Debug)]
pub(super) struct Text<'a> {
    pub(super) lines: Vec<TextLine<'a>>,
    byte_order_mark: bool,
    /// By level, a number for each line that is the same for lines that are.
    prints: [OnceCell<Vec<u64>>; 4],
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TextLine<'a> {
    pub(super) text: Cow<'a, str>,
    /// `\n`, `\r\n`, or nothing at the end of a file that lacks it.
    pub(super) ending: &'static str,
}

impl<'a> Text<'a> {
    pub(super) fn new(content: &'a str) -> Self {
        let (byte_order_mark, content) = content.strip_prefix('\u{feff}').map_or((false, content), |rest| (true, rest));
        let split = |line: &'a str| {
            let (text, ending) = match line.strip_suffix('\n') {
                None => (line, ""),
                Some(text) => text.strip_suffix('\r').map_or((text, "\n"), |text| (text, "\r\n")),
            };
            TextLine { text: Cow::Borrowed(text), ending }
        };
        Self { lines: content.split_inclusive('\n').map(split).collect(), byte_order_mark, prints: Default::default() }
    }

    /// Every line from which on `wanted` fits at `level`, at most `most` of them.
    ///
    /// Knuth, Morris, Pratt: neither the file nor the patch can make this slow.
    pub(super) fn occurrences(&self, wanted: &[&str], level: Level, most: usize) -> Vec<usize> {
        let prints = self.prints[level as usize]
            .get_or_init(|| self.lines.iter().map(|line| print(&level.of(&line.text))).collect());
        let pattern: Vec<u64> = wanted.iter().map(|line| print(&level.of(line))).collect();
        let back = borders(&pattern);
        let mut starts = Vec::new();
        let mut fitting = 0;
        for (at, line) in prints.iter().enumerate() {
            while fitting > 0 && pattern.get(fitting) != Some(line) {
                fitting = back[fitting - 1];
            }
            fitting += usize::from(pattern.get(fitting) == Some(line));
            if fitting == pattern.len() && fitting > 0 {
                let start = at + 1 - fitting;
                let same = |(i, line): (usize, &&str)| level.of(self.line(start + i)) == level.of(line);
                if wanted.iter().enumerate().all(same) {
                    starts.push(start);
                }
                if starts.len() >= most {
                    break;
                }
            }
        }
        starts
    }

    pub(super) fn line(&self, index: usize) -> &str {
        self.lines.get(index).map_or("", |line| &line.text)
    }

    /// The ending that most lines have; `\n` where there is none.
    fn dominant_ending(&self) -> &'static str {
        let crlf = self.lines.iter().filter(|line| line.ending == "\r\n").count();
        let lf = self.lines.iter().filter(|line| line.ending == "\n").count();
        if crlf > lf { "\r\n" } else { "\n" }
    }

    /// The ending for a line that is put before line `index`: its neighbours'.
    fn ending_at(&self, index: usize) -> &'static str {
        let before = index.checked_sub(1).and_then(|i| self.lines.get(i));
        let neighbours = [before, self.lines.get(index)];
        let ending = neighbours.into_iter().flatten().map(|line| line.ending).find(|ending| !ending.is_empty());
        ending.unwrap_or_else(|| self.dominant_ending())
    }

    /// The content with `removed[i]` telling whether line `i` goes and `added[i]` what comes
    /// before it. Without `final_newline` the end of the file stays as it was.
    pub(super) fn edited(&self, removed: &[bool], added: &[Vec<String>], final_newline: Option<bool>) -> String {
        let mut lines: Vec<(&str, &'static str)> = Vec::with_capacity(self.lines.len());
        for index in 0..=self.lines.len() {
            let ending = self.ending_at(index);
            lines.extend(added[index].iter().map(|text| (text.as_str(), ending)));
            if let Some(line) = self.lines.get(index)
                && !removed[index]
            {
                lines.push((&line.text, line.ending));
            }
        }
        let had_newline = self.lines.last().is_none_or(|line| !line.ending.is_empty());
        let newline = final_newline.unwrap_or(had_newline);
        let mut content = String::from(if self.byte_order_mark { "\u{feff}" } else { "" });
        let last = lines.len().saturating_sub(1);
        for (i, (text, ending)) in lines.into_iter().enumerate() {
            content.push_str(text);
            if i < last || newline {
                content.push_str(if ending.is_empty() { self.dominant_ending() } else { ending });
            }
        }
        content
    }
}

fn print(line: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    line.hash(&mut hasher);
    hasher.finish()
}

/// For each beginning of `pattern` the length of the longest shorter one that also ends it.
fn borders(pattern: &[u64]) -> Vec<usize> {
    let mut back = vec![0; pattern.len()];
    for at in 1..pattern.len() {
        let mut length: usize = back[at - 1];
        while length > 0 && pattern[length] != pattern[at] {
            length = back[length - 1];
        }
        back[at] = length + usize::from(pattern[length] == pattern[at]);
    }
    back
}
