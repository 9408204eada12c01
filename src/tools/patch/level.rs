//! How nearly two lines are the same, and what that means for the indentation of new lines.

use std::borrow::Cow;

/// From the strictest to the loosest; a looser one is only tried where no stricter one fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Exact,
    /// But for white space at the end.
    TrimRight,
    /// But for white space at both ends.
    Trim,
    /// And with typographic quotes, dashes and spaces as their plain forms.
    Plain,
}

impl Level {
    pub(super) const ALL: [Self; 4] = [Self::Exact, Self::TrimRight, Self::Trim, Self::Plain];

    /// What of a line counts; two lines are the same where this is.
    pub(super) fn of(self, line: &str) -> Cow<'_, str> {
        match self {
            Self::Exact => Cow::Borrowed(line),
            Self::TrimRight => Cow::Borrowed(line.trim_end()),
            Self::Trim => Cow::Borrowed(line.trim()),
            Self::Plain => plain(line.trim()),
        }
    }
}

fn plain(line: &str) -> Cow<'_, str> {
    if line.is_ascii() {
        return Cow::Borrowed(line);
    }
    let mut out = String::with_capacity(line.len());
    for c in line.chars() {
        match c {
            '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}' => out.push('-'),
            '\u{2018}'..='\u{201b}' | '\u{2032}' => out.push('\''),
            '\u{201c}'..='\u{201f}' | '\u{2033}' => out.push('"'),
            '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => out.push(' '),
            '\u{2026}' => out.push_str("..."),
            '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}' => {}
            c => out.push(c),
        }
    }
    Cow::Owned(out.trim().to_owned())
}

/// How indentation as the patch writes it becomes the file's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Indent {
    Same,
    /// The file has this much more at the beginning of every line.
    More(String),
    /// The file has this much less.
    Less(String),
    /// The patch has spaces, this many for each of the file's tabs.
    Tabs(usize),
    /// The patch has tabs, the file this many spaces for each.
    Spaces(usize),
}

impl Indent {
    /// The one rule that turns the indentation of all lines of the patch into that of the lines
    /// they stand for; none where there is no such rule and most lines differ.
    pub(super) fn between<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Option<Self> {
        let pairs: Vec<(&str, &str)> = pairs
            .filter(|(patch, file)| !patch.trim().is_empty() && !file.trim().is_empty())
            .map(|(patch, file)| (indentation(patch), indentation(file)))
            .collect();
        let equal = pairs.iter().filter(|(patch, file)| patch == file).count();
        if equal == pairs.len() {
            return Some(Self::Same);
        }
        Self::candidates(&pairs)
            .into_iter()
            .find(|rule| pairs.iter().all(|(patch, file)| rule.turn(patch).as_deref() == Some(*file)))
            .or((equal * 2 > pairs.len()).then_some(Self::Same))
    }

    fn candidates(pairs: &[(&str, &str)]) -> Vec<Self> {
        let Some((patch, file)) = pairs.iter().find(|(patch, file)| patch != file) else {
            return Vec::new();
        };
        let mut rules = Vec::new();
        rules.extend(file.strip_suffix(patch).map(|more| Self::More(more.to_owned())));
        rules.extend(patch.strip_suffix(file).map(|less| Self::Less(less.to_owned())));
        let only = |text: &str, c: char| !text.is_empty() && text.chars().all(|t| t == c);
        if only(patch, ' ') && only(file, '\t') && patch.len().is_multiple_of(file.len()) {
            rules.push(Self::Tabs(patch.len() / file.len()));
        }
        if only(patch, '\t') && only(file, ' ') && file.len().is_multiple_of(patch.len()) {
            rules.push(Self::Spaces(file.len() / patch.len()));
        }
        rules
    }

    /// A whole line of the patch as it has to be written into the file; none where the rule does
    /// not fit it.
    pub(super) fn line(&self, line: &str) -> Option<String> {
        if line.trim().is_empty() || *self == Self::Same {
            return Some(line.to_owned());
        }
        let own = indentation(line);
        Some(self.turn(own)? + &line[own.len()..])
    }

    fn turn(&self, indent: &str) -> Option<String> {
        match self {
            Self::Same => Some(indent.to_owned()),
            Self::More(more) => Some(format!("{more}{indent}")),
            Self::Less(less) => indent.strip_prefix(less.as_str()).map(str::to_owned),
            Self::Tabs(width) => {
                let spaces = indent.chars().all(|c| c == ' ');
                // What is left over aligns, it does not indent: it stays.
                spaces.then(|| "\t".repeat(indent.len() / width) + &" ".repeat(indent.len() % width))
            }
            Self::Spaces(width) => Some(indent.replace('\t', &" ".repeat(*width))),
        }
    }
}

pub(super) fn indentation(line: &str) -> &str {
    &line[..line.len() - line.trim_start().len()]
}
