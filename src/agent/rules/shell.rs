//! Takes a command line apart into its simple commands, as far as that can be seen without running it.
//!
//! A reader of the shell's words and of nothing else: quotes, lists, pipes, groups, substitutions, redirections,
//! here-documents, comments (POSIX 2.2 to 2.9 and bash's additions). Nothing is expanded: a word that holds an
//! expansion is known as such. It errs on the side of finding more commands than would run.

/// Deeper nesting, more commands or a longer line is not taken apart.
const DEPTH_MAX: usize = 20;
const COMMANDS_MAX: usize = 500;
const LINE_CHARS_MAX: usize = 64 << 10;

/// How much is known of a word before it is expanded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Known {
    /// Its text is what the command gets.
    #[default]
    Whole,
    /// It is one word, whatever is in it.
    One,
    /// It may become any number of words.
    Open,
}

/// One word, without its quotes and escapes; an expansion stands as it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) text: String,
    pub(super) known: Known,
}

impl Word {
    /// Words that come when the command runs.
    pub(super) fn open() -> Self {
        Self { text: String::new(), known: Known::Open }
    }
}

/// One simple command: assignments and reserved words before it are among its words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Simple {
    pub(super) words: Vec<Word>,
    /// Files that its redirections write.
    pub(super) targets: Vec<Word>,
    /// What it reads, where the line itself says so.
    pub(super) stdin: Option<String>,
    /// It reads what another command writes.
    pub(super) piped: bool,
    documents: Vec<usize>,
}

/// The line cannot be taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

/// All simple commands of a line, those in substitutions too.
pub(super) fn take_apart(line: &str) -> Result<Vec<Simple>, Unreadable> {
    if line.len() > LINE_CHARS_MAX {
        return Err(Unreadable);
    }
    let mut reader = Reader { chars: line.chars().collect(), ..Reader::default() };
    reader.list(None)?;
    reader.documents()?;
    let bodies = reader.bodies;
    for simple in &mut reader.found {
        let texts = simple.documents.iter().filter_map(|id| bodies.get(*id).cloned().flatten());
        let text: Vec<String> = simple.stdin.take().into_iter().chain(texts).collect();
        simple.stdin = (!text.is_empty()).then(|| text.join("\n"));
    }
    Ok(reader.found)
}

/// A here-document that begins after the present line.
struct Document {
    id: usize,
    end: String,
    tabs: bool,
    expands: bool,
}

#[derive(Default)]
pub(super) struct Reader {
    pub(super) chars: Vec<char>,
    pub(super) at: usize,
    depth: usize,
    found: Vec<Simple>,
    due: Vec<Document>,
    bodies: Vec<Option<String>>,
    /// The next command is behind a pipe.
    piped: bool,
}

impl Reader {
    pub(super) fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    pub(super) fn second(&self) -> Option<char> {
        self.chars.get(self.at + 1).copied()
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += 1;
        Some(c)
    }

    /// Commands up to `end`, or to the end of the text where there is none.
    pub(super) fn list(&mut self, end: Option<char>) -> Result<(), Unreadable> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Unreadable);
        }
        loop {
            self.blanks();
            match self.peek() {
                None if end.is_none() => break,
                None => return Err(Unreadable),
                Some(c) if Some(c) == end => {
                    self.at += 1;
                    break;
                }
                Some('\n') => {
                    self.at += 1;
                    self.documents()?;
                }
                Some('#') => self.comment(),
                Some('|') => {
                    self.at += 1;
                    let or = self.peek() == Some('|');
                    self.at += usize::from(or || self.peek() == Some('&'));
                    self.piped = !or;
                }
                // A parenthesis that closes nothing ends a pattern of `case`.
                Some(';' | ')') => self.at += 1,
                Some('&') if self.second() != Some('>') => self.at += 1,
                Some('(') => {
                    self.at += 1;
                    self.list(Some(')'))?;
                }
                Some(_) => self.simple()?,
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn blanks(&mut self) {
        while let Some(c) = self.peek() {
            match c {
                ' ' | '\t' | '\r' => self.at += 1,
                '\\' if self.second() == Some('\n') => self.at += 2,
                _ => return,
            }
        }
    }

    fn comment(&mut self) {
        while self.peek().is_some_and(|c| c != '\n') {
            self.at += 1;
        }
    }

    fn simple(&mut self) -> Result<(), Unreadable> {
        let mut simple = Simple { piped: std::mem::take(&mut self.piped), ..Simple::default() };
        loop {
            self.blanks();
            match self.peek() {
                None | Some('\n' | ';' | '|' | '(' | ')') => break,
                Some('&') if self.second() != Some('>') => break,
                Some('#') => self.comment(),
                Some('<' | '>' | '&') => self.redirection(&mut simple)?,
                Some(_) => {
                    let word = self.word()?;
                    let number = word.text.bytes().all(|byte| byte.is_ascii_digit());
                    // The number of a descriptor is no word of the command.
                    if !(number && matches!(self.peek(), Some('<' | '>'))) {
                        simple.words.push(word);
                    }
                }
            }
        }
        self.found.push(simple);
        if self.found.len() > COMMANDS_MAX { Err(Unreadable) } else { Ok(()) }
    }

    fn redirection(&mut self, simple: &mut Simple) -> Result<(), Unreadable> {
        let start = self.at;
        if matches!((self.peek(), self.second()), (Some('<' | '>'), Some('('))) {
            self.at += 2;
            self.list(Some(')'))?;
            simple.words.push(Word { text: self.chars[start..self.at].iter().collect(), known: Known::One });
            return Ok(());
        }
        while self.at < start + 3 && matches!(self.peek(), Some('<' | '>' | '&' | '|')) {
            self.at += 1;
        }
        let operator: String = self.chars[start..self.at].iter().collect();
        if operator == "<<" {
            return self.document(simple);
        }
        self.blanks();
        let target = self.word()?;
        match operator.as_str() {
            "<<<" => simple.stdin = Some(target.text),
            "<" | "<&" => {}
            _ => simple.targets.push(target),
        }
        Ok(())
    }

    fn document(&mut self, simple: &mut Simple) -> Result<(), Unreadable> {
        let tabs = self.peek() == Some('-');
        self.at += usize::from(tabs);
        self.blanks();
        let start = self.at;
        let end = self.word()?.text;
        let expands = !self.chars[start..self.at].iter().any(|c| matches!(c, '\'' | '"' | '\\'));
        let id = self.bodies.len();
        self.bodies.push(None);
        simple.documents.push(id);
        self.due.push(Document { id, end, tabs, expands });
        Ok(())
    }

    /// The bodies of here-documents, which begin here.
    fn documents(&mut self) -> Result<(), Unreadable> {
        for Document { id, end, tabs, expands } in std::mem::take(&mut self.due) {
            let mut body = String::new();
            while self.at < self.chars.len() {
                let mut line = String::new();
                while let Some(c) = self.next().filter(|c| *c != '\n') {
                    line.push(c);
                }
                let line = if tabs { line.trim_start_matches('\t') } else { line.as_str() };
                if line == end {
                    break;
                }
                body.push_str(line);
                body.push('\n');
            }
            if expands {
                self.expansions_of(&body)?;
            }
            if let Some(place) = self.bodies.get_mut(id) {
                *place = Some(body);
            }
        }
        Ok(())
    }

    /// Commands that are substituted into a text.
    fn expansions_of(&mut self, text: &str) -> Result<(), Unreadable> {
        let chars = std::mem::replace(&mut self.chars, text.chars().collect());
        let at = std::mem::take(&mut self.at);
        let mut word = Word::default();
        while let Some(c) = self.peek() {
            match c {
                '\\' => self.at += 2,
                '$' => self.dollar(&mut word, true)?,
                '`' => self.backticks(&mut word, true)?,
                _ => self.at += 1,
            }
        }
        self.chars = chars;
        self.at = at;
        Ok(())
    }
}
