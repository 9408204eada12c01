//! Restoring a backup: into an empty database, a data directory that no service uses, and the object store. The database
//! is filled in one transaction that is committed last: what breaks off can be done again.

use super::{END, End, FORMAT, MANIFEST, Manifest, Place, SECRET_KEY, VERSION, pack::Reader};
use crate::{
    app::{
        build::{self, RunningDatabase},
        keys, operate,
    },
    config::Settings,
    domain::TeamId,
    objects::Objects,
    postgres::{DataDirLock, PostgresError},
    secrets::Keyring,
    service::audit::{self, Action, Subject},
    store::{self, Store, StoreError, backup::Restoring, switches},
};
use anyhow::{Context, bail};
use bytes::Bytes;
use futures::stream;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::path::Path;
use tokio::io::AsyncWriteExt;

const MANIFEST_BYTES_MAX: u64 = 1 << 20;
const KEY_BYTES_MAX: u64 = 1 << 10;
const END_BYTES_MAX: u64 = 4 << 20;

/// Does it and answers lines for people.
pub(in crate::app) async fn restore(settings: &Settings, place: &Place) -> anyhow::Result<Vec<String>> {
    let lock = match DataDirLock::take(&settings.data_dir) {
        Err(held @ PostgresError::InUse { .. }) => {
            return Err(held).context("a service uses the data directory: stop it first");
        }
        lock => lock?,
    };
    let database = RunningDatabase::start(settings, &lock).await?;
    let done = into(settings, lock.dir(), &database.url, place).await;
    database.stop().await;
    done
}

async fn into(settings: &Settings, data_dir: &Path, url: &str, place: &Place) -> anyhow::Result<Vec<String>> {
    let mut input = Reader::start(place)?;
    let manifest = manifest(&mut input).await?;
    let objects = build::objects(settings, data_dir).context("[objects]")?;
    let mut restoring = Restoring::begin(url, &manifest.migrations).await.context("the database")?;
    let mut entry = input.entry().await?;
    let mut key = None;
    if let Some((name, _)) = &entry
        && name == SECRET_KEY
    {
        key = Some(String::from_utf8(input.whole(KEY_BYTES_MAX).await?).context("the backup's master key")?);
        entry = input.entry().await?;
    }
    let key = check_key(settings, data_dir, &manifest, key)?;
    let mut found = End::default();
    for table in &manifest.tables {
        let own = format!("database/{}/", table.name);
        if !entry.as_ref().is_some_and(|(name, _)| name.starts_with(&own)) {
            continue;
        }
        let mut parts = Parts { input, own, next: None, failed: None };
        let rows = restoring.rows(table, parts.rows()).await;
        if let Some(failed) = parts.failed {
            return Err(failed);
        }
        found.rows += rows.with_context(|| format!("the table {}", table.name))?;
        (input, entry) = (parts.input, parts.next);
    }
    let end = loop {
        let Some((name, size)) = entry else { bail!("the backup is cut short: it has no end") };
        if name == END {
            break serde_json::from_slice::<End>(&input.whole(END_BYTES_MAX).await?).context("the backup's end")?;
        }
        let Some(own) = name.strip_prefix("objects/") else {
            bail!("the backup has an entry {name} where none belongs")
        };
        object(&mut input, &objects, data_dir, own, size).await.with_context(|| format!("the object {own}"))?;
        found.objects += 1;
        entry = input.entry().await?;
    };
    found.missing.clone_from(&end.missing);
    if found != end {
        bail!(
            "the backup says {} rows and {} objects, and has {} and {}",
            end.rows,
            end.objects,
            found.rows,
            found.objects
        );
    }
    if let Some(key) = key {
        keys::keep_secret(data_dir, &key)?;
    }
    restoring.commit().await.context("the database")?;
    finish(url, &manifest, &end).await
}

async fn manifest(input: &mut Reader) -> anyhow::Result<Manifest> {
    let first = input.entry().await.context("this is no backup")?;
    if first.is_none_or(|(name, _)| name != MANIFEST) {
        bail!("this is no backup: it does not begin with {MANIFEST}");
    }
    let manifest: Manifest = serde_json::from_slice(&input.whole(MANIFEST_BYTES_MAX).await?).context(MANIFEST)?;
    if manifest.format != FORMAT || manifest.version != VERSION {
        bail!(
            "this release reads {FORMAT} version {VERSION}, and this is {} version {}",
            manifest.format,
            manifest.version
        );
    }
    Ok(manifest)
}

/// The key that is to be written into the data directory; none where the settings have it, or it is there.
fn check_key(
    settings: &Settings,
    data_dir: &Path,
    manifest: &Manifest,
    key: Option<String>,
) -> anyhow::Result<Option<String>> {
    let id = &manifest.key_id;
    if let Some(key) = &key {
        let bytes = keys::key_of(key).context("the backup's master key is not 32 bytes in base64")?;
        if Keyring::new(&bytes, &[]).current_id() != id {
            bail!("the backup's master key is not the one that it names");
        }
    }
    let Ok(own) = keys::keyring_for_rotation(settings, data_dir) else {
        if key.is_none() {
            bail!("the backup is without its master key {id}: set JOURNEYMAN_SECRET_KEY to it");
        }
        return Ok(key);
    };
    if own.knows(id) {
        return Ok(None);
    }
    bail!(
        "the backup's secrets are sealed under the master key {id}, which is not set here: set JOURNEYMAN_SECRET_KEY to it, or \
         JOURNEYMAN_SECRET_KEY_OLD beside another one; where a `secret-key` was made in {}, remove it",
        data_dir.display()
    )
}

/// The parts of one table, as they come; what does not belong to it is left as the next.
struct Parts {
    input: Reader,
    own: String,
    next: Option<(String, u64)>,
    failed: Option<anyhow::Error>,
}

impl Parts {
    fn rows(&mut self) -> impl futures::Stream<Item = Result<Bytes, StoreError>> + '_ {
        stream::try_unfold(self, |parts| async move {
            match parts.piece().await {
                Ok(piece) => Ok(piece.map(|piece| (piece, parts))),
                Err(error) => {
                    let told = StoreError::Schema(error.to_string());
                    parts.failed = Some(error);
                    Err(told)
                }
            }
        })
    }

    async fn piece(&mut self) -> anyhow::Result<Option<Bytes>> {
        if self.next.is_some() {
            return Ok(None);
        }
        loop {
            if let Some(piece) = self.input.piece().await? {
                return Ok(Some(piece));
            }
            match self.input.entry().await? {
                Some((name, _)) if name.starts_with(&self.own) => {}
                next => {
                    self.next = next;
                    return Ok(None);
                }
            }
        }
    }
}

/// Writes an object under its key, once it is known to be what its name says.
async fn object(input: &mut Reader, objects: &Objects, data_dir: &Path, key: &str, size: u64) -> anyhow::Result<()> {
    let mut parts = key.split('/');
    let (team, shelf, last, more) = (parts.next(), parts.next(), parts.next(), parts.next());
    let hash = last.map(|last| last.split('-').next().unwrap_or(last));
    let (Some(team), Some(shelf), Some(hash), None) = (team, shelf, hash, more) else {
        bail!("no object has such a key")
    };
    if team.parse::<TeamId>().is_err() || hash.len() != 64 || !hash.starts_with(shelf) {
        bail!("no object has such a key");
    }
    // Beside its place: from there it is moved, or sent.
    let directory = data_dir.join("restoring");
    tokio::fs::create_dir_all(&directory).await?;
    let path = directory.join(hash);
    let mut file = tokio::fs::File::create(&path).await?;
    let (mut sum, mut written) = (Sha256::new(), 0);
    while let Some(piece) = input.piece().await? {
        sum.update(&piece);
        written += piece.len() as u64;
        file.write_all(&piece).await?;
    }
    file.sync_all().await?;
    drop(file);
    let found = sum.finalize().iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    if written != size || found != hash {
        bail!("its bytes are not those of its hash");
    }
    objects.put_file(key, &path).await?;
    // Of the last object; else what is left is removed with it.
    let _ = tokio::fs::remove_dir(&directory).await;
    Ok(())
}

/// What a later release changed of the schema is changed, and the restore is noted.
async fn finish(url: &str, manifest: &Manifest, end: &End) -> anyhow::Result<Vec<String>> {
    let mut database = store::Settings::new(url);
    database.connections = 2;
    let store = Store::connect(&database, true).await.context("the database")?;
    let mut tx = store.across_teams().await?;
    let detail =
        json!({ "made_at": manifest.made_at, "release": manifest.release, "rows": end.rows, "objects": end.objects });
    audit::by_operator(&mut tx, None, Action::InstanceRestored, Subject::new("instance", ""), detail).await?;
    tx.commit().await?;
    let set = switches::all(&store).await?;
    store.close().await;
    let mut lines = vec![format!(
        "restored as of {}: {} rows of {} tables, {} objects",
        manifest.made_at,
        end.rows,
        manifest.tables.len(),
        end.objects
    )];
    if !manifest.objects {
        lines.push("the backup is without the objects: bring their store back before the service starts".to_owned());
    }
    if !end.missing.is_empty() {
        lines.push(format!("{} objects were gone already when it was made", end.missing.len()));
    }
    lines.extend(set.iter().map(|set| format!("still set: {}", operate::told(set))));
    lines.push("users who were erased since then are back: erase them again".to_owned());
    Ok(lines)
}
