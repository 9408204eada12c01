//! A line as it is meant, before it has a width.

/// What a piece of text is for; [`super::paint`] knows the colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    #[default]
    Plain,
    Strong,
    Dim,
    /// Headings and marks of what is going on.
    Accent,
    Good,
    Bad,
    Warn,
    Added,
    Removed,
    /// A hunk's head in a diff.
    Hunk,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    pub text: String,
    pub tone: Tone,
}

/// What happens to text that is wider than the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// Broken between words; the rest stands under the first word.
    #[default]
    Wrap,
    /// Cut, with an ellipsis. Without a width nothing is cut.
    Cut,
    /// Left to the terminal: what must stay whole when it is copied.
    Keep,
}

/// One line: what stands at the left, and what stands at the right edge where there is one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// Columns before the first span.
    pub indent: usize,
    /// More columns before what [`Overflow::Wrap`] moves to the next rows.
    pub hang: usize,
    pub spans: Vec<Span>,
    pub right: Vec<Span>,
    pub overflow: Overflow,
}

impl Line {
    pub fn empty() -> Self {
        Self::default()
    }

    /// A line that starts at this column.
    pub fn at(indent: usize) -> Self {
        Self { indent, ..Self::default() }
    }

    #[must_use]
    pub fn with(mut self, text: impl Into<String>, tone: Tone) -> Self {
        self.spans.push(Span { text: text.into(), tone });
        self
    }

    #[must_use]
    pub fn plain(self, text: impl Into<String>) -> Self {
        self.with(text, Tone::Plain)
    }

    #[must_use]
    pub fn dim(self, text: impl Into<String>) -> Self {
        self.with(text, Tone::Dim)
    }

    #[must_use]
    pub fn right(mut self, text: impl Into<String>, tone: Tone) -> Self {
        self.right.push(Span { text: text.into(), tone });
        self
    }

    #[must_use]
    pub fn hang(mut self, columns: usize) -> Self {
        self.hang = columns;
        self
    }

    #[must_use]
    pub fn cut(mut self) -> Self {
        self.overflow = Overflow::Cut;
        self
    }

    #[must_use]
    pub fn keep(mut self) -> Self {
        self.overflow = Overflow::Keep;
        self
    }
}
