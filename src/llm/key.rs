//! A provider's key: given once, or in a file that is read again when it is replaced.

use serde::{Deserialize, Deserializer};
use std::{
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

/// The largest file that is taken for a key.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// A provider's key. `Debug` hides it, nothing serialises it. Clones share what was read last.
#[derive(Clone)]
pub struct ApiKey {
    held: Arc<Mutex<Held>>,
    file: Option<Arc<PathBuf>>,
}

struct Held {
    key: Arc<str>,
    /// When the file was changed and its size, as it was read last.
    stamp: Option<(SystemTime, u64)>,
}

impl ApiKey {
    /// `key` without the blanks around it, which come with keys read from files.
    pub fn new(key: &str) -> Self {
        Self { held: Arc::new(Mutex::new(Held { key: key.trim().into(), stamp: None })), file: None }
    }

    /// A key that stood in `path` when the settings were read: the file is looked at before each
    /// call, and read again when it has changed or the provider refuses the key.
    pub fn in_file(key: &str, path: PathBuf) -> Self {
        Self { file: Some(Arc::new(path)), ..Self::new(key) }
    }

    /// What tells this key's provider from another at the same address: the file, or the key's hash.
    pub(super) fn provider(&self) -> String {
        let mut hasher = DefaultHasher::new();
        match &self.file {
            Some(path) => path.hash(&mut hasher),
            None => self.expose().hash(&mut hasher),
        }
        format!("{:016x}", hasher.finish())
    }

    /// The key as it was read last.
    pub(super) fn expose(&self) -> Arc<str> {
        Arc::clone(&self.held.lock().unwrap_or_else(PoisonError::into_inner).key)
    }

    /// Reads the file again if it has changed since. A file that cannot be read leaves the key as it is.
    pub(super) async fn refresh(&self) {
        let Some(path) = &self.file else { return };
        let Ok(found) = tokio::fs::metadata(path.as_path()).await else { return };
        let stamp = found.modified().ok().map(|changed| (changed, found.len()));
        let known = self.held.lock().unwrap_or_else(PoisonError::into_inner).stamp;
        if stamp.is_some() && stamp == known || found.len() > FILE_BYTES_MAX {
            return;
        }
        self.read(stamp).await;
    }

    /// Reads the file again, changed or not; whether the key is another than `used`.
    pub(super) async fn is_another(&self, used: &str) -> bool {
        if self.file.is_some() {
            self.read(None).await;
        }
        *self.expose() != *used
    }

    async fn read(&self, stamp: Option<(SystemTime, u64)>) {
        let Some(path) = &self.file else { return };
        let Ok(text) = tokio::fs::read_to_string(path.as_path()).await else {
            tracing::warn!(path = %path.display(), "a key's file cannot be read: the key of before is used");
            return;
        };
        // A file that is being replaced may be empty for a moment.
        if !text.trim().is_empty() {
            *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Held { key: text.trim().into(), stamp };
        }
    }
}

impl PartialEq for ApiKey {
    fn eq(&self, other: &Self) -> bool {
        *self.expose() == *other.expose()
    }
}

impl Eq for ApiKey {}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(***)")
    }
}

impl<'de> Deserialize<'de> for ApiKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|key| Self::new(&key))
    }
}
