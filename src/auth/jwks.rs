//! The key set that tokens are verified with, read again now and then.
//!
//! It comes from the one place that the operator named: nothing that a token says leads anywhere. What cannot be read, is
//! too large or holds no key leaves the last good set in force. Tokens with unknown key ids make it be read
//! again once a minute at most, however many there are.

use super::key_set::KeySet;
use crate::{
    clock,
    net::{self, CheckedClient},
};
use jsonwebtoken::{Algorithm, DecodingKey};
use reqwest::Method;
use std::{
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};
use tokio::{
    io::AsyncReadExt,
    sync::Mutex,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;
use url::Url;

/// Bytes of a set, at most.
const SET_BYTES_MAX: usize = 256 * 1024;

/// How long one reading may take, and how long a request waits for one.
const LOAD_TIMEOUT: Duration = Duration::from_secs(5);

/// Where a set lies.
#[derive(Clone, Debug)]
pub enum JwksPlace {
    File(PathBuf),
    /// Fetched by a client whose addresses are checked; plain http from private addresses alone.
    Url {
        client: CheckedClient,
        url: Url,
    },
}

/// How often a set is read.
#[derive(Clone, Copy, Debug)]
pub struct JwksTimes {
    /// Without anybody asking: so long a key that was withdrawn may go on to hold.
    pub refresh: Duration,
    /// At the soonest because of a token with an unknown key id.
    pub unknown_every: Duration,
    /// At the soonest while none could be read yet.
    pub retry: Duration,
}

impl Default for JwksTimes {
    fn default() -> Self {
        Self {
            refresh: Duration::from_secs(300),
            unknown_every: Duration::from_secs(60),
            retry: Duration::from_secs(5),
        }
    }
}

/// Why there is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoKey {
    Unknown,
    /// No set could be read yet.
    NoSet,
}

/// A key set with its place. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Jwks {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    place: JwksPlace,
    times: JwksTimes,
    current: RwLock<Option<Arc<KeySet>>>,
    /// When somebody's token last had it read; held while it is read.
    asked: Mutex<Option<Instant>>,
}

impl Jwks {
    /// Nothing is read yet: see [`Self::load`].
    pub fn new(place: JwksPlace, times: JwksTimes) -> Self {
        Self { inner: Arc::new(Inner { place, times, current: RwLock::default(), asked: Mutex::default() }) }
    }

    /// Reads the set; what was read before stays in force where that fails.
    ///
    /// # Errors
    /// What is wrong with the set or the way to it, for the operator.
    pub async fn load(&self) -> Result<(), String> {
        let read = match timeout(LOAD_TIMEOUT, self.read()).await {
            Ok(read) => read,
            Err(_) => Err(format!("it took longer than {} s", LOAD_TIMEOUT.as_secs())),
        };
        let set = read.and_then(|bytes| KeySet::parse(&bytes).map_err(str::to_owned));
        let outcome = if set.is_ok() { "read" } else { "failed" };
        metrics::counter!("journeyman_key_set_loads_total", "outcome" => outcome).increment(1);
        let set = Arc::new(set?);
        *self.inner.current.write().unwrap_or_else(PoisonError::into_inner) = Some(set);
        Ok(())
    }

    /// Reads the set again and again, until `stop`.
    pub async fn keep_fresh(self, stop: CancellationToken) {
        loop {
            let pause = if self.current().is_some() { self.inner.times.refresh } else { self.inner.times.retry };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(clock::jitter(pause)) => {}
            }
            self.load_or_say().await;
        }
    }

    /// The key that a token names, or without a name the only one for its algorithm.
    pub(super) async fn key(&self, kid: Option<&str>, algorithm: Algorithm) -> Result<Arc<DecodingKey>, NoKey> {
        if let Some(key) = self.look(kid, algorithm) {
            return Ok(key);
        }
        // Others wait for the one who reads, and see what he found.
        if let Ok(mut asked) = timeout(LOAD_TIMEOUT, self.inner.asked.lock()).await {
            if let Some(key) = self.look(kid, algorithm) {
                return Ok(key);
            }
            let times = &self.inner.times;
            let pause = if self.current().is_some() { times.unknown_every } else { times.retry };
            if asked.is_none_or(|at| at.elapsed() >= pause) {
                *asked = Some(Instant::now());
                self.load_or_say().await;
            }
        }
        self.look(kid, algorithm).ok_or(if self.current().is_some() { NoKey::Unknown } else { NoKey::NoSet })
    }

    /// Reads the set; where it cannot be, says so in the log.
    pub async fn load_or_say(&self) {
        if let Err(reason) = self.load().await {
            let held = self.current().is_some();
            tracing::warn!(%reason, "the key set of JWTs cannot be read{}", if held { ": the last good one holds" } else { "" });
        }
    }

    fn look(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<Arc<DecodingKey>> {
        self.current()?.find(kid, algorithm)
    }

    fn current(&self) -> Option<Arc<KeySet>> {
        self.inner.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn read(&self) -> Result<Vec<u8>, String> {
        match &self.inner.place {
            JwksPlace::File(path) => {
                let file = tokio::fs::File::open(path).await.map_err(|error| error.to_string())?;
                let mut bytes = Vec::new();
                let read = file.take(SET_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).await;
                read.map_err(|error| error.to_string())?;
                if bytes.len() > SET_BYTES_MAX {
                    return Err(format!("it has more than {SET_BYTES_MAX} bytes"));
                }
                Ok(bytes)
            }
            JwksPlace::Url { client, url } => {
                client.vet(url).await.map_err(|error| error.to_string())?;
                let request = client.request(Method::GET, url).map_err(|error| error.to_string())?;
                let request = request.header(http::header::ACCEPT, "application/jwk-set+json, application/json");
                let answer = net::fetch(request, SET_BYTES_MAX).await.map_err(|error| error.to_string())?;
                if answer.status != 200 {
                    return Err(format!("it was answered with {}", answer.status));
                }
                Ok(answer.body)
            }
        }
    }
}
