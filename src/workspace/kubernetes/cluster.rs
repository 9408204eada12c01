//! The API server: its client, and what its failures mean.

use super::settings::KubernetesSettings;
use crate::workspace::WorkspaceError;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, Config, Error,
    client::UpgradeConnectionError,
    config::{KubeConfigOptions, Kubeconfig},
};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::OnceCell,
    time::{Instant, sleep, timeout},
};

/// Between two looks for a server that is away.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// How often a server that says that it has failed is asked once more, and for how long one that is overloaded says so.
const FAILURES_MAX: u32 = 3;

/// What the API server did not do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ClusterError {
    /// There is no connection, or it broke off.
    #[error("is not reached: {0}")]
    Away(String),
    #[error("does not answer")]
    Slow,
    #[error("answers {status} {reason}: {message}")]
    Answered { status: u16, reason: String, message: String },
    /// How it is reached is not known.
    #[error("is not known: {0}")]
    Unknown(String),
}

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct Cluster {
    pub(super) settings: Arc<KubernetesSettings>,
    client: Arc<OnceCell<Client>>,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Cluster {
    /// Asks nothing yet.
    pub(super) fn new(settings: KubernetesSettings) -> Self {
        Self { settings: Arc::new(settings), client: Arc::default() }
    }

    /// Asks for one thing.
    pub(super) async fn ask<T, F>(&self, what: impl FnOnce(Client) -> F) -> Result<T, ClusterError>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let asking = async { what(self.client().await?).await.map_err(ClusterError::from) };
        timeout(self.settings.answer_time, asking).await.unwrap_or(Err(ClusterError::Slow))
    }

    /// The same of the Pods of workspaces.
    pub(super) async fn ask_pods<T, F>(&self, what: impl FnOnce(Api<Pod>) -> F) -> Result<T, ClusterError>
    where
        F: Future<Output = Result<T, Error>>,
    {
        self.ask(|client| what(Api::namespaced(client, &self.settings.namespace))).await
    }

    /// Does `work` until it succeeds, while the server is away or overloaded and for as long as that is waited for.
    pub(super) async fn patiently<T, F>(&self, mut work: impl FnMut() -> F) -> Result<T, ClusterError>
    where
        F: Future<Output = Result<T, ClusterError>>,
    {
        let until = Instant::now() + self.settings.away_time;
        let mut failures = 0;
        loop {
            let error = match work().await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            match &error {
                ClusterError::Away(_) | ClusterError::Answered { status: 429, .. } if Instant::now() < until => {}
                ClusterError::Answered { status: 500.., .. } if failures < FAILURES_MAX => failures += 1,
                _ => return Err(error),
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// The address, as people know it.
    pub(super) async fn address(&self) -> Option<String> {
        Some(config(&self.settings).await.ok()?.cluster_url.to_string())
    }

    async fn client(&self) -> Result<Client, ClusterError> {
        let made = self.client.get_or_try_init(|| async {
            let mut config = config(&self.settings).await?;
            config.connect_timeout = Some(self.settings.answer_time);
            // What is tried again, and for how long, is decided here.
            config.default_retry = false;
            Client::try_from(config).map_err(|error| ClusterError::Unknown(chain(&error)))
        });
        made.await.cloned()
    }

    /// What an operator is told.
    pub(super) fn explain(&self, error: &ClusterError) -> WorkspaceError {
        let namespace = &self.settings.namespace;
        let what = format!("the cluster's API server {error}");
        let mend = match error {
            ClusterError::Unknown(_) => {
                "set JOURNEYMAN_KUBERNETES_CONFIG to a kubeconfig, or run the service in the cluster with a service \
                 account whose token is mounted"
                    .to_owned()
            }
            ClusterError::Away(_) => "see that it runs, and that this service may connect to it".to_owned(),
            ClusterError::Slow => "see its log: it is stuck or overloaded".to_owned(),
            ClusterError::Answered { status: 401, .. } => "its token or certificate is not taken: renew it".to_owned(),
            ClusterError::Answered { message, .. } if message.contains("RuntimeClass") => {
                "make that RuntimeClass, or unset JOURNEYMAN_KUBERNETES_RUNTIME_CLASS".to_owned()
            }
            ClusterError::Answered { status: 403, message, .. } if message.contains("exceeded quota") => {
                format!("give the ResourceQuota of the namespace {namespace} more room, or run fewer tasks at once")
            }
            ClusterError::Answered { status: 403, message, .. } if message.contains("violates PodSecurity") => {
                format!("the namespace {namespace} takes Pods of the level restricted at least: see deploy/base")
            }
            ClusterError::Answered { status: 403, .. } => {
                format!("give the service's account the Role of deploy/base in the namespace {namespace}")
            }
            ClusterError::Answered { status: 404, message, .. } if message.contains("namespaces") => {
                format!(
                    "make the namespace {namespace} (kubectl apply -k deploy/base), or set JOURNEYMAN_KUBERNETES_NAMESPACE"
                )
            }
            ClusterError::Answered { status: 422, .. } => {
                "mend the setting (JOURNEYMAN_KUBERNETES_…) or the image that it names".to_owned()
            }
            ClusterError::Answered { .. } => "see its log".to_owned(),
        };
        WorkspaceError::Setup { what, mend }
    }
}

async fn config(settings: &KubernetesSettings) -> Result<Config, ClusterError> {
    let Some(path) = &settings.kubeconfig else {
        return Config::incluster().map_err(|error| ClusterError::Unknown(chain(&error)));
    };
    let unknown =
        |error: &dyn std::error::Error| ClusterError::Unknown(format!("{}: {}", path.display(), chain(error)));
    let file = path.clone();
    let read = tokio::task::spawn_blocking(move || Kubeconfig::read_from(file)).await;
    let kubeconfig = read.map_err(|error| unknown(&error))?.map_err(|error| unknown(&error))?;
    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.map_err(|error| unknown(&error))
}

impl From<Error> for ClusterError {
    fn from(error: Error) -> Self {
        match error {
            Error::Api(status) => {
                Self::Answered { status: status.code, reason: status.reason, message: status.message }
            }
            Error::UpgradeConnection(UpgradeConnectionError::ProtocolSwitch(status)) => Self::Answered {
                status: status.as_u16(),
                reason: status.canonical_reason().unwrap_or_default().to_owned(),
                message: "no process could be begun in the Pod".to_owned(),
            },
            Error::SerdeError(error) => {
                Self::Answered { status: 200, reason: "what is no API object".to_owned(), message: error.to_string() }
            }
            error => Self::Away(chain(&error)),
        }
    }
}

impl ClusterError {
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
