//! A small HTTP server in the place of an API server, on this machine, in the clear.

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use journeyman::workspace::{BackendSettings, KubernetesSettings, SandboxSettings, Sandboxes, WorkspaceError};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tempfile::TempDir;

use crate::support::{engine::data_dir, sandbox};

pub(in crate::kubernetes) const TOKEN: &str = "of-a-test";
/// Of the recorded conversation: the user's number is told in it.
pub(in crate::kubernetes) const RECORDED_UID_BASE: u32 = 7_000_000;

/// What is answered to a method and a path, of which so many came before.
pub(super) type Answers = Arc<dyn Fn(&Method, &str, usize) -> (u16, Value) + Send + Sync>;

pub(super) struct StandIn {
    pub(super) url: String,
    /// Method, path and body of what was asked, in its order.
    pub(super) asked: Arc<Mutex<Vec<(String, String, Value)>>>,
}

struct Shared {
    answers: Answers,
    asked: Arc<Mutex<Vec<(String, String, Value)>>>,
}

impl StandIn {
    pub(super) async fn start(answers: Answers) -> Self {
        let asked = Arc::default();
        let shared = Arc::new(Shared { answers, asked: Arc::clone(&asked) });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(shared);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, asked }
    }

    /// How often a method was asked for.
    pub(super) fn count(&self, method: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|(asked, ..)| asked == method).count()
    }
}

async fn answer(State(shared): State<Arc<Shared>>, method: Method, uri: Uri, body: Bytes) -> Response {
    let before = {
        let mut asked = shared.asked.lock().unwrap();
        let before = asked.iter().filter(|(known, ..)| known == method.as_str()).count();
        let body = serde_json::from_slice(&body).unwrap_or_default();
        asked.push((method.to_string(), uri.path().to_owned(), body));
        before
    };
    let (status, body) = (shared.answers)(&method, uri.path(), before);
    (StatusCode::from_u16(status).unwrap(), axum::Json(body)).into_response()
}

/// As the API server words what it refuses.
pub(super) fn status(code: u16, reason: &str, message: &str) -> (u16, Value) {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code,
    });
    (code, body)
}

/// A Pod in this state.
pub(super) fn pod(status: Value) -> (u16, Value) {
    (
        200,
        json!({ "kind": "Pod", "apiVersion": "v1", "metadata": { "name": "pod" }, "spec": { "containers": [] }, "status": status }),
    )
}

pub(in crate::kubernetes) fn kubeconfig(dir: &Path, url: &str) -> PathBuf {
    let path = dir.join("kubeconfig");
    let config = json!({
        "apiVersion": "v1", "kind": "Config",
        "clusters": [{ "name": "test", "cluster": { "server": url } }],
        "users": [{ "name": "test", "user": { "token": TOKEN } }],
        "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test" } }],
        "current-context": "test",
    });
    std::fs::write(&path, config.to_string()).unwrap();
    path
}

/// Of workspaces by the API server at this address, which is waited for no longer than a test can.
pub(super) fn settings(data_dir: &Path, url: &str) -> SandboxSettings {
    let mut kubernetes =
        KubernetesSettings::new("journeyman-workspaces", "example/image:1", "example/execd:1", "of-a-test");
    kubernetes.kubeconfig = Some(kubeconfig(data_dir, url));
    kubernetes.answer_time = Duration::from_secs(1);
    kubernetes.away_time = Duration::from_secs(1);
    kubernetes.start_time = Duration::from_secs(2);
    kubernetes.pull_time = Duration::from_millis(500);
    SandboxSettings { backend: BackendSettings::Kubernetes(kubernetes), ..sandbox::settings(data_dir) }
}

/// Why a service does not start on it.
pub(super) async fn refused(url: &str) -> (TempDir, String) {
    let data_dir = data_dir();
    let begun = Instant::now();
    let error = Sandboxes::new(settings(data_dir.path(), url)).await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    let WorkspaceError::Setup { .. } = error else { panic!("{error:?}") };
    (data_dir, error.to_string())
}
