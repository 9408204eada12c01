//! A server of the HTTP interface with a client, and a worker's pen.

use crate::support;
use axum::{Router, routing::get};
use futures::FutureExt;
use journeyman::{
    api::{self, ApiState, Rates},
    auth::{self, Authenticator, JwtSettings},
    clock,
    domain::{
        EventData, Limits, Phase, Role, Scope, Seq, Status, TaskId, TeamId, UserId, WaitingFor,
        item::Wire,
        task::{LOG_VERSION, TaskDetail},
        usage::Prices,
    },
    events::Hub,
    net::AddressPolicy,
    objects::Objects,
    service::{Hooks, ModelView, Service, Settings, TreeQuestion},
    store::{
        self, Store, accounts, jobs,
        log::{self, Appended, JobChange, Lease, NewEvent, TaskChange},
    },
    telemetry::Metrics,
    workspace::repository::{validate_ref, validate_url},
};
use jsonwebtoken::{EncodingKey, Header};
use reqwest::{Method, StatusCode, header::HeaderMap};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio_util::sync::{CancellationToken, DropGuard};

pub(super) const ADMIN: &str = "the-first-admins-key";
pub(super) const JWT_SECRET: &[u8] = b"a secret that only the tests know, of 48 bytes..";
pub(super) const AUDIENCE: &str = "journeyman";

/// A running interface on a database of its own; gone when it is dropped.
pub(super) struct Server {
    pub(super) base: String,
    pub(super) client: reqwest::Client,
    pub(super) store: Store,
    pub(super) hub: Hub,
    pub(super) url: String,
    pub(super) draining: CancellationToken,
    _objects: tempfile::TempDir,
    _stop: DropGuard,
}

/// An answer, its body read.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) bytes: Vec<u8>,
}

impl Reply {
    #[track_caller]
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    #[track_caller]
    pub(super) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", String::from_utf8_lossy(&self.bytes));
        self
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The pointers of a 422, sorted.
    #[track_caller]
    pub(super) fn pointers(&self) -> Vec<String> {
        assert_eq!(self.status.as_u16(), 422, "{}", String::from_utf8_lossy(&self.bytes));
        let body = self.json();
        let errors = body["errors"].as_array().unwrap_or_else(|| panic!("no errors: {body}"));
        let mut pointers: Vec<String> =
            errors.iter().map(|error| error["pointer"].as_str().unwrap().to_owned()).collect();
        pointers.sort();
        pointers
    }

    #[track_caller]
    pub(super) fn id(&self) -> String {
        self.json()["id"].as_str().unwrap().to_owned()
    }
}

pub(super) async fn server() -> Server {
    server_with(Some(AUDIENCE), false).await
}

pub(super) async fn server_with(audience: Option<&str>, new_teams: bool) -> Server {
    server_taking(JwtSettings::hs256(JWT_SECRET, None, audience, new_teams)).await
}

/// One that takes these tokens.
pub(super) async fn server_taking(jwt: JwtSettings) -> Server {
    server_made(jwt, |state| state).await
}

/// One that holds callers to these rates, and users to so many streams.
pub(super) async fn server_limited(rates: Rates, streams_per_user: usize) -> Server {
    let jwt = JwtSettings::hs256(JWT_SECRET, None, Some(AUDIENCE), false);
    server_made(jwt, |state| state.limiting(rates, streams_per_user)).await
}

async fn server_made(jwt: JwtSettings, more: impl FnOnce(ApiState) -> ApiState) -> Server {
    let url = support::database().await;
    let store = Store::connect(&store::Settings { connections: 8, ..store::Settings::new(&url) }, true).await.unwrap();
    auth::bootstrap(&store, Some(ADMIN)).await.unwrap();
    let draining = CancellationToken::new();
    let objects = tempfile::tempdir().unwrap();
    let hub = Hub::new(store.clone());
    let authenticator = Authenticator::new(store.clone(), Some(jwt));
    let settings = Settings {
        network: journeyman::domain::network::NetworkCap::default(),
        models: vec![model("small", false), model("large", true)],
        learns: false,
        limits: Limits::default(),
        objects: Objects::directory(&objects.path().join("objects")).unwrap(),
        files: objects.path().to_owned(),
        recall: journeyman::memory::Recall::new(1_500, None),
        public_url: "https://journeyman.example.org".to_owned(),
        keyring: journeyman::secrets::Keyring::new(&[7; 32], &[]),
        secret: [7; 32],
    };
    let service = Service::new(store.clone(), authenticator.clone(), settings, hooks(hub.clone()));
    let state =
        ApiState::new(service, authenticator, hub.clone(), Some(Metrics::install()), &[7; 32], draining.clone())
            .trusting(&["127.0.0.1/32".parse().unwrap()]);
    let state = more(state);
    let more = Router::new().route("/panics", get(async || -> String { panic!("a secret reason") }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    tokio::spawn(api::serve(listener, api::router(state, more), stop.clone()));
    let (tailing, tail_stop) = (hub.clone(), stop.clone());
    let horizon = hub.horizon().await.unwrap();
    tokio::spawn(async move { tailing.tail(horizon, tail_stop).await });
    let (relaying, relay_stop) = (hub.clone(), stop.clone());
    tokio::spawn(async move { relaying.relay_pieces(relay_stop).await });
    Server {
        base,
        client: reqwest::Client::builder().no_proxy().build().unwrap(),
        store,
        hub,
        url,
        draining,
        _objects: objects,
        _stop: stop.drop_guard(),
    }
}

fn model(name: &str, default: bool) -> ModelView {
    ModelView {
        name: name.to_owned(),
        wire: Wire::Chat,
        window_tokens: 128_000,
        max_output_tokens: 8_000,
        // The default alone has a price.
        prices: default.then_some(Prices { input: 1.0, cached_input: 0.1, output: 4.0, cache_write: None }),
        default,
    }
}

fn hooks(hub: Hub) -> Hooks {
    Hooks {
        repository_url: Arc::new(|url| {
            validate_url(url, &AddressPolicy::default(), &[]).map(drop).map_err(|error| error.to_string())
        }),
        repository_ref: Arc::new(|text| validate_ref(text).map_err(|error| error.to_string())),
        webhook_url: Arc::new(|url| {
            async move {
                let policy = AddressPolicy::new(&["127.0.0.0/8"]).unwrap();
                policy.check_url(&url).map_err(|error| error.to_string())?;
                policy.refuse_plain(&url).await.map_err(|error| error.to_string())
            }
            .boxed()
        }),
        committed: Arc::new(move |team, task, seq| hub.wrote(team, task, seq)),
        deleted: None,
        archive: None,
        tree: Some(Arc::new(|question| {
            async move {
                Ok(match question {
                    TreeQuestion::BaseFile { path, .. } => (path == "README").then(|| b"of the base\n".to_vec()),
                    TreeQuestion::Patch { from, to } => {
                        Some(format!("{} to {}", from.delta.map_or(0, |d| d.changed.len()), to.changed.len()).into())
                    }
                })
            }
            .boxed()
        })),
    }
}

/// Seconds since 1970, so many seconds from now.
pub(super) fn seconds_from_now(seconds: i64) -> i64 {
    clock::now().0.unix_timestamp() + seconds
}

/// Claims that hold for an hour.
pub(super) fn claims(subject: &str, team: &str, role: &str) -> Value {
    json!({
        "sub": subject, "email": format!("{subject}@example.org"), "team": team, "role": role,
        "exp": seconds_from_now(3_600), "aud": AUDIENCE,
    })
}

pub(super) fn token(claims: &Value) -> String {
    jsonwebtoken::encode(&Header::default(), claims, &EncodingKey::from_secret(JWT_SECRET)).unwrap()
}

impl Server {
    pub(super) fn request(&self, method: Method, path: &str, key: &str) -> reqwest::RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.base));
        if key.is_empty() { request } else { request.bearer_auth(key) }
    }

    pub(super) async fn send(&self, request: reqwest::RequestBuilder) -> Reply {
        let answer = request.send().await.unwrap();
        Reply {
            status: answer.status(),
            headers: answer.headers().clone(),
            bytes: answer.bytes().await.unwrap().into(),
        }
    }

    pub(super) async fn get(&self, path: &str, key: &str) -> Reply {
        self.send(self.request(Method::GET, path, key)).await
    }

    pub(super) async fn post(&self, path: &str, key: &str, body: &Value) -> Reply {
        self.send(self.request(Method::POST, path, key).json(body)).await
    }

    pub(super) async fn patch(&self, path: &str, key: &str, body: &Value) -> Reply {
        self.send(self.request(Method::PATCH, path, key).json(body)).await
    }

    pub(super) async fn delete(&self, path: &str, key: &str) -> Reply {
        self.send(self.request(Method::DELETE, path, key)).await
    }

    /// A task of the key's team; its id.
    pub(super) async fn task(&self, key: &str, request: &str) -> TaskId {
        let made = self.post("/v1/tasks", key, &json!({ "request": request })).await.expect(201);
        made.id().parse().unwrap()
    }

    /// A user with a key in a team, which is made where it is missing.
    pub(super) async fn user(&self, team: &str, name: &str, role: Role, scopes: Option<&[Scope]>) -> (UserId, String) {
        let team = self.team(team).await;
        let identity = accounts::Identity { issuer: "local", subject: name, name, email: None };
        let user = accounts::ensure_user(&self.store, clock::new_id(), identity).await.unwrap();
        accounts::set_member(&self.store, team, user, role).await.unwrap();
        let (_, key) = auth::issue(&self.store, team, user, "test", scopes, None).await.unwrap();
        (user, key.expose().to_owned())
    }

    /// An operator of the instance with a key in a team.
    pub(super) async fn operator(&self, team: &str, name: &str) -> (UserId, String) {
        let (user, key) = self.user(team, name, Role::Viewer, None).await;
        let mut tx = self.store.across_teams().await.unwrap();
        assert!(store::users::set_operator(&mut tx, user, true).await.unwrap());
        tx.commit().await.unwrap();
        (user, key)
    }

    pub(super) async fn team(&self, name: &str) -> TeamId {
        accounts::ensure_team(&self.store, clock::new_id(), name).await.unwrap()
    }

    /// Claims tasks that are due, as a worker does.
    pub(super) async fn claim(&self) -> Vec<Worker> {
        let claimed =
            jobs::claim_tasks(&self.store, clock::new_id(), clock::new_id(), LOG_VERSION, Duration::from_secs(60), 100);
        let claimed = claimed.await.unwrap();
        claimed
            .into_iter()
            .map(|job| Worker {
                store: self.store.clone(),
                hub: self.hub.clone(),
                lease: Lease { team: job.team, task: job.task, epoch: job.epoch },
                run: 1,
            })
            .collect()
    }

    /// Claims the one task that is due and lets it run.
    pub(super) async fn run(&self) -> Worker {
        let mut workers = self.claim().await;
        assert_eq!(workers.len(), 1, "one task is due");
        let worker = workers.remove(0);
        worker.status(Status::Running, None, &TaskDetail::default()).await;
        worker
    }
}

/// Writes a task's log as the worker that holds it.
pub(super) struct Worker {
    store: Store,
    hub: Hub,
    pub(super) lease: Lease,
    pub(super) run: u32,
}

impl Worker {
    pub(super) async fn append(&self, events: Vec<NewEvent>, change: &TaskChange<'_>, job: JobChange) -> Appended {
        let done = log::append(&self.store, self.lease, None, &events, change, job).await.unwrap();
        if let Appended::At { last, .. } = done {
            self.hub.wrote(self.lease.team, self.lease.task, last);
        }
        done
    }

    pub(super) async fn say(&self, turn: u32, data: EventData) -> Seq {
        let event = NewEvent { run: self.run, turn, data, private: None };
        match self.append(vec![event], &TaskChange::default(), JobChange::Keep).await {
            Appended::At { last, .. } => last,
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn phase(&self, phase: Phase) {
        let event = NewEvent { run: self.run, turn: 0, data: EventData::TaskPhase { phase }, private: None };
        let change = TaskChange { phase: Some(phase), ..TaskChange::default() };
        assert!(matches!(self.append(vec![event], &change, JobChange::Keep).await, Appended::At { .. }));
    }

    pub(super) async fn status(&self, status: Status, waiting_for: Option<WaitingFor>, detail: &TaskDetail) {
        let data = EventData::TaskStatus { status, waiting_for, error: detail.error.clone() };
        let event = NewEvent { run: self.run, turn: 0, data, private: None };
        let change = TaskChange { status: Some((status, waiting_for)), detail: Some(detail), ..TaskChange::default() };
        let job = if status == Status::Running { JobChange::Keep } else { JobChange::Remove };
        assert!(matches!(self.append(vec![event], &change, job).await, Appended::At { .. }));
    }

    pub(super) async fn succeed(&self) {
        self.status(Status::Succeeded, None, &TaskDetail::default()).await;
    }
}
