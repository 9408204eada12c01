//! Contents that are too large for the database: in a directory, or in a bucket that every replica reaches.
//!
//! An object is written once under a key of its own, whole or not at all, and never changes; what is read is held against the
//! hash that its row has. Knows nothing of rows: which objects are wanted is `store::blobs`'s to say. Start with
//! [`Objects`].

mod checked;
mod place;

pub use checked::StoredObject;
pub use place::{Bucket, Found, Objects};

/// Why an object could not be written or read. Words say neither keys nor addresses.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    #[error("the object is not in the store")]
    Missing,
    /// Its bytes are not those of its hash, or not as many.
    #[error("the object's bytes are not what was stored")]
    Wrong,
    /// It cannot be reached, answers too slowly, or refuses; a later try may do.
    #[error("the object store cannot be used: {what}")]
    Unusable { what: String },
    #[error("the settings of the object store are not sound: {0}")]
    Settings(String),
}

impl ObjectError {
    fn unusable(error: &object_store::Error) -> Self {
        use object_store::Error as E;
        let what = match error {
            E::NotFound { .. } => return Self::Missing,
            E::PermissionDenied { .. } => "it denies access",
            E::Unauthenticated { .. } => "it does not take the credentials",
            _ => "it does not answer as it should",
        };
        tracing::debug!(%error, "the object store failed");
        Self::Unusable { what: what.to_owned() }
    }
}

impl From<ObjectError> for std::io::Error {
    fn from(error: ObjectError) -> Self {
        let kind = match error {
            ObjectError::Missing => std::io::ErrorKind::NotFound,
            ObjectError::Wrong => std::io::ErrorKind::InvalidData,
            ObjectError::Unusable { .. } | ObjectError::Settings(_) => std::io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}
