//! Query parameters: each known by name, each checked, unknown ones refused.

use super::error::{ApiError, FieldError};
use crate::domain::Timestamp;
use axum::{extract::FromRequestParts, http::request::Parts};
use std::{fmt::Display, str::FromStr};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// A query string read as `T`.
#[derive(Debug)]
pub(crate) struct Query<T>(pub(crate) T);

/// What can be read from a query string.
pub(crate) trait FromQuery: Sized {
    fn from_query(query: &mut Pairs) -> Self;
}

impl FromQuery for () {
    fn from_query(_: &mut Pairs) -> Self {}
}

impl<S, T> FromRequestParts<S> for Query<T>
where
    S: Send + Sync,
    T: FromQuery,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let mut pairs = Pairs::parse(parts.uri.query().unwrap_or_default());
        let value = T::from_query(&mut pairs);
        pairs.finish()?;
        Ok(Self(value))
    }
}

/// No route that changes something takes parameters.
pub(crate) fn refuse_on_writes(parts: &Parts) -> Result<(), ApiError> {
    match parts.uri.query() {
        Some(query) if !parts.method.is_safe() => Pairs::parse(query).finish(),
        _ => Ok(()),
    }
}

/// The pairs of a query string that nobody has taken yet, and what was wrong with those taken.
#[derive(Debug)]
pub(crate) struct Pairs {
    left: Vec<(String, String)>,
    errors: Vec<FieldError>,
}

impl Pairs {
    fn parse(query: &str) -> Self {
        let left = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        Self { left, errors: Vec::new() }
    }

    fn take(&mut self, name: &str) -> Vec<String> {
        let (taken, left) = std::mem::take(&mut self.left).into_iter().partition(|(key, _)| key == name);
        self.left = left;
        let taken: Vec<(String, String)> = taken;
        taken.into_iter().map(|(_, value)| value).collect()
    }

    pub(crate) fn error(&mut self, name: &str, detail: impl Into<String>) {
        self.errors.push(FieldError::new(format!("/{name}"), detail));
    }

    /// A parameter that may stand once.
    pub(crate) fn one<T>(&mut self, name: &str) -> Option<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        let mut values = self.take(name);
        if values.len() > 1 {
            self.error(name, "may be given once");
            return None;
        }
        self.read(name, &values.pop()?)
    }

    /// A parameter that may be repeated or hold several words between commas.
    pub(crate) fn words<T>(&mut self, name: &str) -> Vec<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        let values = self.take(name);
        values.iter().flat_map(|value| value.split(',')).filter_map(|word| self.read(name, word)).collect()
    }

    /// A parameter that may be repeated, each value whole.
    pub(crate) fn texts(&mut self, name: &str) -> Vec<String> {
        let values = self.take(name);
        values.iter().filter_map(|value| self.read(name, value)).collect()
    }

    /// A text of at most `limit_chars`.
    pub(crate) fn text(&mut self, name: &str, limit_chars: usize) -> Option<String> {
        let text: String = self.one(name)?;
        if text.chars().count() > limit_chars {
            self.error(name, format!("may have at most {limit_chars} characters"));
            return None;
        }
        Some(text)
    }

    /// A point in time (RFC 3339).
    pub(crate) fn time(&mut self, name: &str) -> Option<Timestamp> {
        let text: String = self.one(name)?;
        // A plus sign that was not encoded arrives as a space.
        let at = OffsetDateTime::parse(&text.replace(' ', "+"), &Rfc3339).ok();
        if at.is_none() {
            self.error(name, "must be a time as in RFC 3339, such as 2026-01-31T12:00:00Z");
        }
        at.map(Into::into)
    }

    /// `limit`, from 1 to 100; `default` where it is absent.
    pub(crate) fn limit(&mut self, default: u32) -> u32 {
        let Some(limit) = self.one::<i64>("limit") else { return default };
        if (1..=100).contains(&limit) {
            return limit as u32;
        }
        self.error("limit", "must be from 1 to 100");
        default
    }

    fn read<T>(&mut self, name: &str, value: &str) -> Option<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        if value.contains('\0') {
            self.error(name, "may not contain NUL characters");
            return None;
        }
        match value.parse() {
            Ok(value) => Some(value),
            Err(reason) => {
                self.error(name, reason.to_string());
                None
            }
        }
    }

    fn finish(mut self) -> Result<(), ApiError> {
        for (name, _) in std::mem::take(&mut self.left) {
            let mut pointer = String::new();
            super::body::push(&mut pointer, &name);
            self.errors.push(FieldError::new(pointer, "is not a parameter of this route"));
        }
        if self.errors.is_empty() { Ok(()) } else { Err(ApiError::invalid(self.errors)) }
    }
}
