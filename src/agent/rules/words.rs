//! The shell's words: quotes, escapes and what is substituted into them.

use super::shell::{Known, Reader, Unreadable, Word};

impl Reader {
    pub(super) fn word(&mut self) -> Result<Word, Unreadable> {
        let mut word = Word::default();
        let mut brace = None;
        while let Some(c) = self.peek() {
            match c {
                ' ' | '\t' | '\r' | '\n' | ';' | '&' | '|' | '(' | ')' | '<' | '>' => break,
                '\'' => {
                    self.at += 1;
                    self.until('\'', &mut word.text)?;
                }
                '"' => self.double(&mut word)?,
                '\\' => {
                    self.at += 1;
                    word.text.extend(self.next().filter(|c| *c != '\n'));
                }
                '$' => self.dollar(&mut word, false)?,
                '`' => self.backticks(&mut word, false)?,
                _ => {
                    self.at += 1;
                    let within = brace
                        .is_some_and(|start| word.text[start..].contains(',') || word.text[start..].contains(".."));
                    if matches!(c, '*' | '?' | '[') || (c == '}' && within) {
                        word.known = Known::Open;
                    }
                    if c == '{' {
                        brace = Some(word.text.len());
                    }
                    word.text.push(c);
                }
            }
        }
        Ok(word)
    }

    /// What stands up to the next `end`, as it is.
    fn until(&mut self, end: char, into: &mut String) -> Result<(), Unreadable> {
        loop {
            match self.next() {
                None => return Err(Unreadable),
                Some(c) if c == end => return Ok(()),
                Some(c) => into.push(c),
            }
        }
    }

    fn double(&mut self, word: &mut Word) -> Result<(), Unreadable> {
        self.at += 1;
        loop {
            match self.peek() {
                None => return Err(Unreadable),
                Some('"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some('\\') => {
                    self.at += 1;
                    match self.next() {
                        Some('\n') => {}
                        Some(c @ ('$' | '`' | '"' | '\\')) => word.text.push(c),
                        Some(c) => word.text.extend(['\\', c]),
                        None => return Err(Unreadable),
                    }
                }
                Some('$') => self.dollar(word, true)?,
                Some('`') => self.backticks(word, true)?,
                Some(c) => {
                    self.at += 1;
                    word.text.push(c);
                }
            }
        }
    }

    /// Everything that begins with a dollar sign.
    pub(super) fn dollar(&mut self, word: &mut Word, quoted: bool) -> Result<(), Unreadable> {
        let start = self.at;
        self.at += 1;
        let mut known = if quoted { Known::One } else { Known::Open };
        match self.peek() {
            Some('\'') if !quoted => {
                self.at += 1;
                return self.ansi(&mut word.text);
            }
            Some('"') if !quoted => return self.double(word),
            Some('(') => {
                self.at += 1;
                self.list(Some(')'))?;
            }
            Some('{') => {
                self.at += 1;
                self.braced()?;
                let inner: String = self.chars[start..self.at].iter().collect();
                if inner.contains('@') {
                    known = Known::Open;
                }
            }
            Some(c) if c.is_ascii_alphabetic() || c == '_' => {
                while self.peek().is_some_and(|c| c.is_ascii_alphanumeric() || c == '_') {
                    self.at += 1;
                }
            }
            Some(c) if c.is_ascii_digit() || "@*#?-$!".contains(c) => {
                self.at += 1;
                if c == '@' {
                    known = Known::Open;
                }
            }
            _ => {
                word.text.push('$');
                return Ok(());
            }
        }
        word.text.extend(&self.chars[start..self.at]);
        word.known = word.known.max(known);
        Ok(())
    }

    /// The rest of `${…}`.
    fn braced(&mut self) -> Result<(), Unreadable> {
        let mut inside = Word::default();
        loop {
            match self.peek() {
                None => return Err(Unreadable),
                Some('}') => {
                    self.at += 1;
                    return Ok(());
                }
                Some('\\') => self.at += 2,
                Some('\'') => {
                    self.at += 1;
                    self.until('\'', &mut inside.text)?;
                }
                Some('"') => self.double(&mut inside)?,
                Some('$') => self.dollar(&mut inside, true)?,
                Some('`') => self.backticks(&mut inside, true)?,
                Some(_) => self.at += 1,
            }
        }
    }

    pub(super) fn backticks(&mut self, word: &mut Word, quoted: bool) -> Result<(), Unreadable> {
        let start = self.at;
        self.at += 1;
        let mut inner = String::new();
        loop {
            match self.next() {
                None => return Err(Unreadable),
                Some('`') => break,
                Some('\\') => match self.next() {
                    Some(c @ ('$' | '`' | '\\')) => inner.push(c),
                    Some(c) => inner.extend(['\\', c]),
                    None => return Err(Unreadable),
                },
                Some(c) => inner.push(c),
            }
        }
        word.text.extend(&self.chars[start..self.at]);
        word.known = word.known.max(if quoted { Known::One } else { Known::Open });
        let chars = std::mem::replace(&mut self.chars, inner.chars().collect());
        let at = std::mem::take(&mut self.at);
        self.list(None)?;
        self.chars = chars;
        self.at = at;
        Ok(())
    }

    /// `$'…'`: escapes as in C.
    fn ansi(&mut self, into: &mut String) -> Result<(), Unreadable> {
        loop {
            match self.next().ok_or(Unreadable)? {
                '\'' => return Ok(()),
                '\\' => match self.next().ok_or(Unreadable)? {
                    'n' => into.push('\n'),
                    't' => into.push('\t'),
                    'r' => into.push('\r'),
                    'x' => into.extend(self.number(16, 2)),
                    'u' => into.extend(self.number(16, 4)),
                    'U' => into.extend(self.number(16, 8)),
                    c @ '0'..='7' => {
                        self.at -= 1;
                        let octal = self.number(8, 3);
                        into.push(octal.unwrap_or(c));
                    }
                    c => into.push(c),
                },
                c => into.push(c),
            }
        }
    }

    fn number(&mut self, radix: u32, digits: usize) -> Option<char> {
        let mut value = 0;
        for _ in 0..digits {
            let Some(digit) = self.peek().and_then(|c| c.to_digit(radix)) else { break };
            self.at += 1;
            value = value * radix + digit;
        }
        char::from_u32(value)
    }
}
