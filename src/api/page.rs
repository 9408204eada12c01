//! Lists: one shape, and cursors that only the list that gave them takes back.

use super::{error::ApiError, query::Pairs};
use crate::auth::mac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Serialize, de::DeserializeOwned};
use utoipa::ToSchema;

/// Entries of a page where nobody says otherwise.
const LIMIT_DEFAULT: u32 = 20;

/// Bytes of the code that ends a cursor.
const CODE_BYTES: usize = 16;

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Page<T> {
    pub(crate) data: Vec<T>,
    /// What to pass as `cursor` for the next page; null at the end.
    pub(crate) next_cursor: Option<String>,
}

/// The key under which cursors are signed: the same on all replicas.
#[derive(Clone)]
pub(crate) struct CursorKey([u8; 32]);

impl std::fmt::Debug for CursorKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CursorKey(***)")
    }
}

impl CursorKey {
    pub(crate) fn new(secret: &[u8; 32]) -> Self {
        Self(mac::hmac_sha256(secret, b"cursors"))
    }

    /// `list` names the list with its team and filters: a cursor of another one is foreign.
    fn code(&self, list: &str, position: &[u8]) -> [u8; 32] {
        let mut message = Vec::with_capacity(list.len() + position.len() + 1);
        message.extend_from_slice(list.as_bytes());
        message.push(0);
        message.extend_from_slice(position);
        mac::hmac_sha256(&self.0, &message)
    }

    pub(crate) fn seal<T: Serialize>(&self, list: &str, position: &T) -> String {
        let mut bytes = serde_json::to_vec(position).unwrap_or_default();
        let code = self.code(list, &bytes);
        bytes.extend_from_slice(&code[..CODE_BYTES]);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The position in a cursor, if this list has given it.
    pub(crate) fn open<T: DeserializeOwned>(&self, list: &str, cursor: &str) -> Result<T, ApiError> {
        let read = || {
            let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
            let (position, code) = bytes.split_at_checked(bytes.len().checked_sub(CODE_BYTES)?)?;
            if !mac::equal(&self.code(list, position)[..CODE_BYTES], code) {
                return None;
            }
            serde_json::from_slice(position).ok()
        };
        read().ok_or_else(|| ApiError::field("/cursor", "is not a cursor of this list"))
    }
}

/// `limit` and `cursor`, which every list takes.
#[derive(Clone, Debug)]
pub(crate) struct Paging {
    pub(crate) limit: u32,
    pub(crate) cursor: Option<String>,
}

impl Paging {
    pub(crate) fn from_query(query: &mut Pairs) -> Self {
        Self { limit: query.limit(LIMIT_DEFAULT), cursor: query.text("cursor", 2_000) }
    }

    /// How many rows to read: one more than asked for shows whether there is a next page.
    pub(crate) fn rows(&self) -> u32 {
        self.limit + 1
    }

    pub(crate) fn position<T: DeserializeOwned>(&self, key: &CursorKey, list: &str) -> Result<Option<T>, ApiError> {
        self.cursor.as_deref().map(|cursor| key.open(list, cursor)).transpose()
    }

    /// The page of `rows`, which were read with [`Self::rows`]; `position` is that of the last.
    pub(crate) fn page<T, P: Serialize>(
        &self,
        key: &CursorKey,
        list: &str,
        mut rows: Vec<T>,
        position: impl Fn(&T) -> P,
    ) -> Page<T> {
        let more = rows.len() > self.limit as usize;
        rows.truncate(self.limit as usize);
        let next_cursor = rows.last().filter(|_| more).map(|last| key.seal(list, &position(last)));
        Page { data: rows, next_cursor }
    }
}

impl super::query::FromQuery for Paging {
    fn from_query(query: &mut Pairs) -> Self {
        Self::from_query(query)
    }
}
