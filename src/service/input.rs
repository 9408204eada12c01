//! Helpers for reading what callers send: objects that are objects, and a collector of what is
//! wrong, so that a caller learns of all his mistakes at once.

use super::error::{Error, FieldError};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, MapAccess, Visitor, value::MapAccessDeserializer},
};
use std::{fmt, marker::PhantomData};

/// Reads a struct from a JSON object only: serde's derived code would take an array too.
pub fn object<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_map(ObjectVisitor(PhantomData))
}

/// As [`object`], or null.
pub fn optional_object<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    struct Wrapped<T>(T);
    impl<'de, T: DeserializeOwned> Deserialize<'de> for Wrapped<T> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            object(deserializer).map(Self)
        }
    }
    Ok(Option::<Wrapped<T>>::deserialize(deserializer)?.map(|wrapped| wrapped.0))
}

/// A field of an edit that tells null, which takes the value away, from being absent.
pub fn given<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

/// As [`given`] for an object.
pub fn given_object<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    optional_object(deserializer).map(Some)
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

/// Collects what is wrong with an input.
#[derive(Debug, Default)]
pub struct Faults(Vec<FieldError>);

impl Faults {
    pub fn add(&mut self, pointer: impl Into<String>, detail: impl Into<String>) {
        self.0.push(FieldError::new(pointer, detail));
    }

    /// A text of at least one character that is no white space, at most `limit_chars`.
    pub fn text(&mut self, pointer: &str, text: &str, limit_chars: usize) {
        if text.trim().is_empty() {
            self.add(pointer, "may not be empty");
        }
        self.long(pointer, text, limit_chars);
    }

    /// A text of at most `limit_chars`, perhaps empty.
    pub fn long(&mut self, pointer: &str, text: &str, limit_chars: usize) {
        if text.len() > limit_chars && text.chars().count() > limit_chars {
            self.add(pointer, format!("may have at most {limit_chars} characters"));
        }
    }

    /// One line: no control characters, which would garble terminals and headers.
    pub fn line(&mut self, pointer: &str, text: &str, limit_chars: usize) {
        self.text(pointer, text, limit_chars);
        if text.chars().any(char::is_control) {
            self.add(pointer, "may not contain control characters");
        }
    }

    pub fn count(&mut self, pointer: &str, count: usize, limit: usize) {
        if count > limit {
            self.add(pointer, format!("may have at most {limit} entries"));
        }
    }

    pub fn finish(self) -> Result<(), Error> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::Invalid(self.0)) }
    }
}
