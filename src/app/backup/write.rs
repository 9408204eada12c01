//! Writing a backup beside a service that runs: the database is of one moment; objects never change, and those that its
//! rows name are taken after it.

use super::{END, End, FORMAT, LeftOut, MANIFEST, Manifest, Place, SECRET_KEY, VERSION, pack::Writer};
use crate::{
    app::{build, keys},
    clock,
    config::Settings,
    objects::{ObjectError, Objects, StoredObject},
    secrets::Keyring,
    service::audit::{self, Action, Subject},
    store::{
        Store,
        backup::{ObjectRow, Snapshot, Table},
        sealed,
    },
};
use anyhow::{Context, bail};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::BytesMut;
use futures::TryStreamExt;
use serde_json::json;

/// Bytes of rows in one entry.
const PART_BYTES: usize = 4 << 20;
/// Rows of objects read at a time.
const PAGE: u32 = 500;
/// Objects that were gone, told by their keys.
const MISSING_MAX: usize = 10_000;

/// Does it and answers lines for people.
pub(in crate::app) async fn backup(
    store: &Store,
    settings: &Settings,
    place: &Place,
    left_out: LeftOut,
) -> anyhow::Result<Vec<String>> {
    let keyring = keys::keyring_for_rotation(settings, &settings.data_dir)?;
    let key = keys::secret(settings, &settings.data_dir)?;
    check_keys(store, &keyring).await?;
    let objects = build::objects(settings, &settings.data_dir).context("[objects]")?;
    let mut out = Writer::start(place)?;
    let mut snapshot = Snapshot::open(store).await?;
    let tables = snapshot.tables().await?;
    let manifest = Manifest {
        format: FORMAT.to_owned(),
        version: VERSION,
        release: env!("CARGO_PKG_VERSION").to_owned(),
        made_at: clock::now(),
        migrations: snapshot.migrations().await?,
        tables,
        key_id: keyring.current_id().to_owned(),
        objects: !left_out.objects,
    };
    out.whole(MANIFEST, serde_json::to_vec_pretty(&manifest)?.into()).await?;
    if !left_out.key {
        out.whole(SECRET_KEY, STANDARD.encode(key).into()).await?;
    }
    let mut end = End::default();
    for table in &manifest.tables {
        end.rows += rows(&mut snapshot, table, &mut out).await.with_context(|| format!("the table {}", table.name))?;
    }
    if !left_out.objects {
        take_objects(&mut snapshot, &objects, &mut out, &mut end).await?;
    }
    drop(snapshot);
    out.whole(END, serde_json::to_vec(&end)?.into()).await?;
    out.finish().await?;
    let detail = json!({ "rows": end.rows, "objects": end.objects, "missing": end.missing.len(),
        "with_objects": !left_out.objects, "with_key": !left_out.key });
    let mut tx = store.across_teams().await?;
    audit::by_operator(&mut tx, None, Action::InstanceBackedUp, Subject::new("instance", ""), detail).await?;
    tx.commit().await?;
    Ok(lines(&manifest, &end, left_out))
}

fn lines(manifest: &Manifest, end: &End, left_out: LeftOut) -> Vec<String> {
    let tables = manifest.tables.len();
    let mut lines = vec![format!("backed up: {} rows of {tables} tables, {} objects", end.rows, end.objects)];
    if left_out.key {
        lines.push(format!("without the master key {}: secrets open with it alone", manifest.key_id));
    } else {
        lines.push("the master key is in it: whoever has the file can open every stored secret".to_owned());
    }
    if left_out.objects {
        lines.push("without the objects: their store needs a backup of its own, taken after this one".to_owned());
    }
    if !end.missing.is_empty() {
        lines.push(format!("{} objects were gone: their contents cannot be read after a restore", end.missing.len()));
    }
    lines
}

/// A backup whose secrets would not open is none.
async fn check_keys(store: &Store, keyring: &Keyring) -> anyhow::Result<()> {
    for (id, count) in sealed::key_ids(store).await? {
        if id != keyring.current_id() {
            bail!(
                "{count} secrets are sealed under the master key {id}, and the present one is {}: run `journeyman admin secrets \
                 rotate` first, with both",
                keyring.current_id()
            );
        }
    }
    Ok(())
}

/// The rows of a table, in parts; how many there are.
async fn rows(snapshot: &mut Snapshot, table: &Table, out: &mut Writer) -> anyhow::Result<u64> {
    let (mut count, mut part, mut held) = (0, 0_u64, BytesMut::new());
    let mut pieces = std::pin::pin!(snapshot.rows(table).await?);
    loop {
        let piece = pieces.try_next().await?;
        let ended = piece.is_none();
        if let Some(piece) = piece {
            // Line breaks within a value are written otherwise.
            count += piece.split(|byte| *byte == b'\n').count() as u64 - 1;
            held.extend_from_slice(&piece);
        }
        if !held.is_empty() && (ended || held.len() >= PART_BYTES) {
            part += 1;
            out.whole(format!("database/{}/{part:08}", table.name), held.split().freeze()).await?;
        }
        if ended {
            return Ok(count);
        }
    }
}

async fn take_objects(
    snapshot: &mut Snapshot,
    objects: &Objects,
    out: &mut Writer,
    end: &mut End,
) -> anyhow::Result<()> {
    let mut after: Option<ObjectRow> = None;
    loop {
        let page = snapshot.objects(after.as_ref().map(|row| (row.team, &row.hash)), PAGE).await?;
        for row in &page {
            let key = row.key.clone().unwrap_or_else(|| Objects::first_key(row.team, &row.hash));
            let object =
                StoredObject { objects: objects.clone(), key: key.clone(), hash: row.hash.clone(), size: row.size };
            match object.stream().await {
                Ok(pieces) => {
                    out.entry(format!("objects/{key}"), row.size).await?;
                    let mut pieces = std::pin::pin!(pieces);
                    while let Some(piece) = pieces.try_next().await.with_context(|| format!("the object {key}"))? {
                        out.bytes(piece).await?;
                    }
                    end.objects += 1;
                }
                // Its row was removed since that moment.
                Err(ObjectError::Missing) if end.missing.len() < MISSING_MAX => end.missing.push(key),
                Err(error) => return Err(error).with_context(|| format!("the object {key}")),
            }
        }
        if page.len() < PAGE as usize {
            return Ok(());
        }
        after = page.into_iter().next_back();
    }
}
