//! Reading a text from front to back.

use crate::llm::fields::Fields;
use serde::Deserialize;
use serde_json::value::RawValue;

/// What is left of a text.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a>(pub(super) &'a str);

impl<'a> Cursor<'a> {
    pub(super) fn blanks(&mut self) {
        self.0 = self.0.trim_start();
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.0.trim_start().is_empty()
    }

    /// Passes over `token` and the blanks before it.
    pub(super) fn eat(&mut self, token: &str) -> bool {
        match self.0.trim_start().strip_prefix(token) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    /// As [`Cursor::eat`], or `None`.
    pub(super) fn need(&mut self, token: &str) -> Option<()> {
        self.eat(token).then_some(())
    }

    /// Passes over `end` or is at the end of the text: models' stop tokens often swallow it.
    pub(super) fn close(&mut self, end: &str) -> Option<()> {
        (self.eat(end) || self.is_at_end()).then_some(())
    }

    /// What stands before the next `end`, which is passed over.
    pub(super) fn until(&mut self, end: &str) -> Option<&'a str> {
        let (before, rest) = self.0.split_once(end)?;
        self.0 = rest;
        Some(before)
    }

    /// A name: letters, digits, `_`, `-`, `.` and `:`.
    pub(super) fn name(&mut self) -> Option<&'a str> {
        self.blanks();
        let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
        let end = self.0.find(|c| !sound(c)).unwrap_or(self.0.len());
        let (name, rest) = self.0.split_at(end);
        self.0 = rest;
        (!name.is_empty()).then_some(name)
    }

    /// One JSON value of the shape `T`.
    pub(super) fn json<T: Deserialize<'a>>(&mut self) -> Option<T> {
        let mut values = serde_json::Deserializer::from_str(self.0).into_iter::<T>();
        let value = values.next()?.ok()?;
        self.0 = &self.0[values.byte_offset()..];
        Some(value)
    }

    /// One JSON object as its text.
    pub(super) fn object(&mut self) -> Option<String> {
        let raw: &RawValue = self.json()?;
        object_text(raw)
    }
}

/// The text of a value that is an object, or a text that holds one.
pub(super) fn object_text(raw: &RawValue) -> Option<String> {
    let inner: Option<String> = serde_json::from_str(raw.get()).ok();
    let text = inner.unwrap_or_else(|| raw.get().to_owned());
    serde_json::from_str::<Fields>(&text).ok().map(|_| text.trim().to_owned())
}
