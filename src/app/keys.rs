//! What a data directory holds of its own: the master key that seals and signs, and the directory's name.

use crate::{
    clock,
    config::{Settings, settings::SecretKey},
    secrets::Keyring,
    store::{self, Store},
};
use anyhow::{Context, bail};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::{
    fs,
    io::Write,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};
use uuid::Uuid;

/// The master key that was made there.
const SECRET_KEY_FILE: &str = "secret-key";

/// The master keys. A key that was made in the data directory before one was set still opens what it has sealed.
pub(super) fn keyring(settings: &Settings, data_dir: &Path) -> anyhow::Result<Keyring> {
    let current = secret(settings, data_dir)?;
    let mut old: Vec<[u8; 32]> = settings.auth.secret_keys_old.iter().map(|key| key.0).collect();
    let made = fs::read_to_string(data_dir.join(SECRET_KEY_FILE)).ok();
    old.extend(made.as_deref().and_then(key_of));
    Ok(Keyring::new(&current, &old))
}

/// The master keys for a change of them, which makes none: what is wrapped under a key that nobody has is lost.
pub(super) fn keyring_for_rotation(settings: &Settings, data_dir: &Path) -> anyhow::Result<Keyring> {
    if settings.auth.secret_key.is_none() && !data_dir.join(SECRET_KEY_FILE).exists() {
        bail!("there is no master key here: set JOURNEYMAN_SECRET_KEY to the one that the service is to use");
    }
    keyring(settings, data_dir)
}

/// Says in the log which secrets nobody here can open.
pub(super) async fn look_over_secrets(store: &Store, keyring: &Keyring) -> anyhow::Result<()> {
    for (key_id, count) in store::sealed::key_ids(store).await.context("the database")? {
        if !keyring.knows(&key_id) {
            tracing::error!(
                secrets = count,
                key.id = key_id,
                "secrets are sealed under a master key that this process does not have: tasks that need them will \
                 fail; give all replicas one JOURNEYMAN_SECRET_KEY, and earlier ones as JOURNEYMAN_SECRET_KEY_OLD"
            );
        } else if key_id != keyring.current_id() {
            tracing::warn!(
                secrets = count,
                key.id = key_id,
                "secrets are sealed under an earlier master key: journeyman admin secrets rotate"
            );
        }
    }
    Ok(())
}

/// The key that seals and signs: from the settings, else made once in the data directory.
pub(super) fn secret(settings: &Settings, data_dir: &Path) -> anyhow::Result<[u8; 32]> {
    if let Some(SecretKey(key)) = &settings.auth.secret_key {
        return Ok(*key);
    }
    let path = data_dir.join(SECRET_KEY_FILE);
    let text = once(&path, || STANDARD.encode(clock::random_bytes::<32>()))?;
    let metadata = fs::metadata(&path).with_context(|| path.display().to_string())?;
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        bail!(
            "{} belongs to another user (uid {}), who can change it: chown it to the service's own",
            path.display(),
            metadata.uid()
        );
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        bail!("{} can be read by others: chmod 600, and change the key if somebody may have read it", path.display());
    }
    key_of(&text).with_context(|| format!("{} does not hold 32 bytes in base64", path.display()))
}

pub(super) fn key_of(text: &str) -> Option<[u8; 32]> {
    STANDARD.decode(text.trim()).ok().and_then(|bytes| bytes.try_into().ok())
}

/// Keeps a master key that came from a backup, as if it had been made here.
pub(super) fn keep_secret(data_dir: &Path, key: &str) -> anyhow::Result<()> {
    once(&data_dir.join(SECRET_KEY_FILE), || key.trim().to_owned()).map(drop)
}

/// Names the data directory, so that a restarted process knows its own old leases.
pub(super) fn host_id(data_dir: &Path) -> anyhow::Result<Uuid> {
    let text = once(&data_dir.join("host-id"), || clock::new_id::<Uuid>().to_string())?;
    text.trim().parse().with_context(|| format!("{} does not hold an id", data_dir.join("host-id").display()))
}

/// On the disk, whole, and over nothing: written beside its place, then linked to it.
fn write_whole(path: &Path, text: &str) -> std::io::Result<()> {
    let directory = path.parent().unwrap_or(path);
    let mut file = tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o600)).tempfile_in(directory)?;
    writeln!(file, "{text}")?;
    file.as_file().sync_all()?;
    fs::hard_link(file.path(), path)?;
    fs::File::open(directory)?.sync_all()
}

/// A small file, readable by its owner alone, made once. Its directory is locked by this process.
pub(super) fn once(path: &Path, make: impl FnOnce() -> String) -> anyhow::Result<String> {
    match fs::read_to_string(path) {
        Ok(text) if !text.trim().is_empty() => Ok(text),
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| path.display().to_string())
        }
        Ok(_) => bail!("{} is empty: bring it back from a backup, or remove it to have another made", path.display()),
        Err(_) => {
            let text = make();
            write_whole(path, &text).with_context(|| path.display().to_string())?;
            Ok(text)
        }
    }
}
