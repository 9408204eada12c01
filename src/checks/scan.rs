//! What a person should look at before a patch is taken: secrets, binaries, very large files.

use crate::domain::check::Finding;

/// Scans a patch as git writes it (binary patches included).
pub fn scan(_patch: &[u8]) -> Vec<Finding> {
    Vec::new()
}
