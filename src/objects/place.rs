//! Where objects lie.

use super::ObjectError;
use crate::{
    clock,
    domain::{BlobHash, TeamId, Timestamp},
    secrets::Secret,
};
use bytes::Bytes;
use futures::{StreamExt, stream::BoxStream};
use object_store::{
    BackoffConfig, Certificate, ClientOptions, ObjectStore, ObjectStoreExt, PutPayload, RetryConfig, WriteMultipart,
    aws::AmazonS3Builder, local::LocalFileSystem, path::Path as Key,
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::io::AsyncReadExt;

/// Parts of a large object, of which S3 wants 5 MiB at least, and how many go out at once.
const PART_BYTES: usize = 8 << 20;
const PARTS_AT_ONCE: usize = 4;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const RETRIES: usize = 3;

/// A bucket of S3, or of what speaks as it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    pub name: String,
    /// In front of every key; may be empty.
    pub prefix: String,
    /// Absent: AWS's own for the region.
    pub endpoint: Option<String>,
    pub region: String,
    /// Absent: the role of the machine.
    pub credentials: Option<(String, Secret)>,
    /// How long it may be silent.
    pub timeout: Duration,
    pub proxy: Option<String>,
    pub no_proxy: Option<String>,
    /// Certificates that are trusted besides the usual ones.
    pub ca_pem: Option<Vec<u8>>,
}

/// Writes, reads, lists and removes objects. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    prefix: Key,
    /// The directory, where they lie in one.
    directory: Option<PathBuf>,
}

/// An object that a list gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub key: String,
    pub written_at: Timestamp,
}

impl Objects {
    /// In a directory, which is made.
    pub fn directory(path: &Path) -> Result<Self, ObjectError> {
        let unsound = |error: String| ObjectError::Settings(error);
        std::fs::create_dir_all(path).map_err(|error| unsound(error.kind().to_string()))?;
        let store = LocalFileSystem::new_with_prefix(path).map_err(|error| unsound(error.to_string()))?;
        Ok(Self { store: Arc::new(store), prefix: Key::default(), directory: Some(path.to_owned()) })
    }

    pub fn bucket(bucket: &Bucket) -> Result<Self, ObjectError> {
        let settings = |error: object_store::Error| ObjectError::Settings(error.to_string());
        let mut options = ClientOptions::new()
            .with_connect_timeout(CONNECT_TIMEOUT)
            .with_timeout_disabled()
            .with_read_timeout(bucket.timeout)
            .with_allow_http(bucket.endpoint.as_ref().is_some_and(|url| url.starts_with("http://")));
        if let Some(proxy) = &bucket.proxy {
            options = options.with_proxy_url(proxy);
        }
        if let Some(except) = &bucket.no_proxy {
            options = options.with_proxy_excludes(except);
        }
        for certificate in bucket.ca_pem.iter().map(|pem| Certificate::from_pem_bundle(pem)) {
            for certificate in certificate.map_err(settings)? {
                options = options.with_root_certificate(certificate);
            }
        }
        let retry = RetryConfig {
            backoff: BackoffConfig::default(),
            max_retries: RETRIES,
            retry_timeout: bucket.timeout * (RETRIES as u32 + 1),
        };
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&bucket.name)
            .with_region(&bucket.region)
            // Not all that speak S3 know it.
            .with_disable_bulk_delete(true)
            .with_client_options(options)
            .with_retry(retry);
        if let Some(endpoint) = &bucket.endpoint {
            builder = builder.with_endpoint(endpoint).with_virtual_hosted_style_request(false);
        }
        if let Some((id, secret)) = &bucket.credentials {
            builder = builder.with_access_key_id(id).with_secret_access_key(secret.expose());
        }
        let store = builder.build().map_err(settings)?;
        let prefix =
            Key::parse(bucket.prefix.trim_matches('/')).map_err(|error| ObjectError::Settings(error.to_string()))?;
        Ok(Self { store: Arc::new(store), prefix, directory: None })
    }

    /// A key that no other object has or will have: who removes an object removes nothing that somebody else has just
    /// written.
    pub fn new_key(team: TeamId, hash: &BlobHash) -> String {
        format!("{}-{}", Self::first_key(team, hash), clock::new_id::<uuid::Uuid>().simple())
    }

    /// The key of an object that an earlier build wrote.
    pub fn first_key(team: TeamId, hash: &BlobHash) -> String {
        let shelf = hash.as_str().get(..2).unwrap_or_default();
        format!("{team}/{shelf}/{hash}", hash = hash.as_str())
    }

    /// Writes an object; it is there, whole, when this returns. Cancel safe: else nothing is.
    pub async fn put(&self, key: &str, content: Bytes) -> Result<(), ObjectError> {
        let place = self.place(key)?;
        if content.len() > PART_BYTES && self.directory.is_none() {
            let mut parts = self.parts(&place).await?;
            for part in content.chunks(PART_BYTES) {
                self.part(&mut parts, part).await?;
            }
            return finish(parts).await;
        }
        self.store.put(&place, PutPayload::from(content)).await.map(drop).map_err(|error| ObjectError::unusable(&error))
    }

    /// Writes a file's content; the file is gone then, or else the caller's to remove.
    pub async fn put_file(&self, key: &str, file: &Path) -> Result<(), ObjectError> {
        let read = |error: std::io::Error| ObjectError::Unusable { what: error.kind().to_string() };
        if let Some(directory) = &self.directory {
            let target = directory.join(self.place(key)?.as_ref());
            tokio::fs::create_dir_all(target.parent().unwrap_or(directory)).await.map_err(read)?;
            return tokio::fs::rename(file, target).await.map_err(read);
        }
        let place = self.place(key)?;
        let mut content = tokio::fs::File::open(file).await.map_err(read)?;
        let mut parts = self.parts(&place).await?;
        let mut piece = vec![0; PART_BYTES];
        loop {
            let count = content.read(&mut piece).await.map_err(read)?;
            if count == 0 {
                break;
            }
            self.part(&mut parts, &piece[..count]).await?;
        }
        finish(parts).await?;
        // What stays is swept with the leftovers of uploads.
        let _ = tokio::fs::remove_file(file).await;
        Ok(())
    }

    async fn parts(&self, place: &Key) -> Result<WriteMultipart, ObjectError> {
        let upload = self.store.put_multipart(place).await.map_err(|error| ObjectError::unusable(&error))?;
        Ok(WriteMultipart::new_with_chunk_size(upload, PART_BYTES))
    }

    async fn part(&self, parts: &mut WriteMultipart, piece: &[u8]) -> Result<(), ObjectError> {
        parts.wait_for_capacity(PARTS_AT_ONCE).await.map_err(|error| ObjectError::unusable(&error))?;
        parts.write(piece);
        Ok(())
    }

    /// The bytes as they come, unchecked, and how many there are said to be.
    pub(super) async fn read(
        &self,
        key: &str,
    ) -> Result<(u64, BoxStream<'static, Result<Bytes, object_store::Error>>), ObjectError> {
        let got = self.store.get(&self.place(key)?).await.map_err(|error| ObjectError::unusable(&error))?;
        Ok((got.meta.size, got.into_stream()))
    }

    /// Removes an object; one that is gone is removed.
    pub async fn remove(&self, key: &str) -> Result<(), ObjectError> {
        match self.store.delete(&self.place(key)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(ObjectError::unusable(&error)),
        }
    }

    /// All that there is, in no order.
    pub fn list(&self) -> BoxStream<'static, Result<Found, ObjectError>> {
        let prefix = self.prefix.clone();
        let whole = (!prefix.as_ref().is_empty()).then(|| prefix.clone());
        let found = self.store.list(whole.as_ref()).map(move |found| {
            let found = found.map_err(|error| ObjectError::unusable(&error))?;
            let key = found.location.as_ref().strip_prefix(prefix.as_ref()).unwrap_or(found.location.as_ref());
            let written_at = time::OffsetDateTime::from_unix_timestamp(found.last_modified.timestamp())
                .map_err(|_| ObjectError::Wrong)?;
            Ok(Found { key: key.trim_start_matches('/').to_owned(), written_at: Timestamp(written_at) })
        });
        found.boxed()
    }

    fn place(&self, key: &str) -> Result<Key, ObjectError> {
        let whole = if self.prefix.as_ref().is_empty() { key.to_owned() } else { format!("{}/{key}", self.prefix) };
        Key::parse(whole).map_err(|_| ObjectError::Missing)
    }
}

async fn finish(parts: WriteMultipart) -> Result<(), ObjectError> {
    parts.finish().await.map(drop).map_err(|error| ObjectError::unusable(&error))
}
