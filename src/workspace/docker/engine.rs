//! The engine: its client, and what its failures mean.

use super::settings::{DockerSettings, EngineAddress};
use crate::workspace::WorkspaceError;
use bollard::{API_DEFAULT_VERSION, Docker, errors::Error};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::{Instant, sleep, timeout};

/// Between two looks for an engine that is away.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// How often an engine that says that it has failed is asked once more.
const FAILURES_MAX: u32 = 2;

/// What the engine did not do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum EngineError {
    /// There is no connection, or it broke off.
    #[error("is not reached: {0}")]
    Away(String),
    #[error("does not answer")]
    Slow,
    #[error("answers {status}: {message}")]
    Answered { status: u16, message: String },
    /// It makes a directory of its host that nobody has asked for.
    #[error("makes a volume of its own at {0}")]
    Volume(String),
}

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Engine {
    pub(super) settings: Arc<DockerSettings>,
    /// Made at the first call that reaches it: it speaks the version of the engine.
    client: Arc<Mutex<Option<Docker>>>,
}

impl Engine {
    pub(super) fn new(settings: DockerSettings) -> Result<Self, WorkspaceError> {
        if settings.cert_dir.is_none() && !settings.address.is_loopback() {
            return Err(WorkspaceError::Setup {
                what: format!("the engine at {} would be spoken to without TLS", settings.address),
                mend: "set JOURNEYMAN_DOCKER_CERT_DIR: whoever speaks to an engine is root on its host".to_owned(),
            });
        }
        Ok(Self { settings: Arc::new(settings), client: Arc::default() })
    }

    /// Asks for one thing.
    pub(super) async fn ask<T, F>(&self, what: impl FnOnce(Docker) -> F) -> Result<T, EngineError>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let asking = async { what(self.client().await?).await.map_err(EngineError::from) };
        timeout(self.settings.answer_time, asking).await.unwrap_or(Err(EngineError::Slow))
    }

    /// Does `work` until it succeeds, while the engine is away and for as long as that is waited for. One that
    /// was never reached is not waited for: it is the wrong one, or not started.
    pub(super) async fn patiently<T, F>(&self, mut work: impl FnMut() -> F) -> Result<T, EngineError>
    where
        F: Future<Output = Result<T, EngineError>>,
    {
        let patience = if self.known().is_some() { self.settings.away_time } else { Duration::ZERO };
        let until = Instant::now() + patience;
        let mut failures = 0;
        loop {
            let error = match work().await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            match &error {
                EngineError::Away(_) if Instant::now() < until => {}
                EngineError::Answered { status: 500.., .. } if failures < FAILURES_MAX => failures += 1,
                _ => return Err(error),
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    async fn client(&self) -> Result<Docker, EngineError> {
        if let Some(client) = self.known() {
            return Ok(client);
        }
        let seconds = self.settings.answer_time.as_secs().max(1);
        let client = match (&self.settings.address, &self.settings.cert_dir) {
            (EngineAddress::Unix(path), _) => {
                Docker::connect_with_unix(&path.to_string_lossy(), seconds, API_DEFAULT_VERSION)
            }
            (address, None) => Docker::connect_with_http(&address.to_string(), seconds, API_DEFAULT_VERSION),
            (address, Some(dir)) => Docker::connect_with_ssl(
                &address.to_string(),
                &dir.join("key.pem"),
                &dir.join("cert.pem"),
                &dir.join("ca.pem"),
                seconds,
                API_DEFAULT_VERSION,
            ),
        }?;
        let client = client.negotiate_version().await?;
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = Some(client.clone());
        Ok(client)
    }

    fn known(&self) -> Option<Docker> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What an operator is told.
    pub(super) fn explain(&self, error: &EngineError) -> WorkspaceError {
        let address = &self.settings.address;
        let what = format!("the container engine at {address} {error}");
        let mend = match error {
            EngineError::Away(why) if why.contains("ermission denied") => {
                "let the service's user use its socket (on Docker: usermod -aG docker USER), knowing that this makes it \
                 root on this machine"
                    .to_owned()
            }
            EngineError::Away(_) => "start it (systemctl start docker), or set JOURNEYMAN_DOCKER_HOST".to_owned(),
            EngineError::Slow => "see its log: it is stuck or overloaded".to_owned(),
            EngineError::Answered { message, .. } => self.mend(message),
            EngineError::Volume(_) => "have the image declare none (VOLUME), or choose another".to_owned(),
        };
        WorkspaceError::Setup { what, mend }
    }

    fn mend(&self, message: &str) -> String {
        let message = message.to_ascii_lowercase();
        if message.contains("runtime name") || message.contains("unknown runtime") {
            let runtime = self.settings.runtime.as_deref().unwrap_or_default();
            return format!("make the runtime \"{runtime}\" known to it, or unset JOURNEYMAN_DOCKER_RUNTIME");
        }
        if message.contains("bind source path does not exist") || message.contains("no such file or directory") {
            return "the engine must share this machine's file system: run the service where the engine is".to_owned();
        }
        "see its log".to_owned()
    }
}

impl From<Error> for EngineError {
    fn from(error: Error) -> Self {
        match error {
            Error::DockerResponseServerError { status_code, message } => {
                Self::Answered { status: status_code, message: message.trim().to_owned() }
            }
            Error::DockerStreamError { error } => Self::Answered { status: 500, message: error },
            Error::RequestTimeoutError => Self::Slow,
            error => Self::Away(chain(&error)),
        }
    }
}

impl EngineError {
    pub(super) fn is_status(&self, wanted: u16) -> bool {
        matches!(self, Self::Answered { status, .. } if *status == wanted)
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
