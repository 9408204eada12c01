//! A file's content as lines that remember their endings.

use std::borrow::Cow;

/// The content of a text file. Putting its lines together again gives the same bytes.
#[derive(Clone, Debug)]
pub(super) struct Text<'a> {
    pub(super) lines: Vec<TextLine<'a>>,
    byte_order_mark: bool,
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
        Self { lines: content.split_inclusive('\n').map(split).collect(), byte_order_mark }
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
