//! What `scripts/setup.sh --tests` fetches beside the build.

use std::path::{Path, PathBuf};

/// The path of something that was fetched; a test that needs it fails where it is not there.
pub(crate) fn fetched(path: &str) -> PathBuf {
    let tools = std::env::current_exe().unwrap().ancestors().nth(3).unwrap().join("test-tools");
    let found = tools.join(path);
    assert!(found.exists(), "{} is missing: run scripts/setup.sh --tests (make setup-tests)", found.display());
    found
}

/// The embedding model's directory.
pub(crate) fn model() -> PathBuf {
    fetched("minilm/vocab.txt");
    let weights = fetched("minilm/model.safetensors");
    weights.parent().map(Path::to_owned).unwrap()
}
