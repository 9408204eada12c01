//! Remotes over HTTP, served by git's own `http-backend`.

use super::{House, try_git};
use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use journeyman::{
    net::AddressPolicy,
    workspace::repository::{Repositories, RepositoryError, RepositorySettings},
};
use std::{
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

pub(super) struct Server {
    port: u16,
    pub(super) state: Arc<Served>,
}

pub(super) struct Served {
    remotes: PathBuf,
    git: PathBuf,
    pub(super) fetches: AtomicUsize,
    requests: AtomicUsize,
    /// Requests that brought a credential.
    pub(super) authorized: AtomicUsize,
}

impl Server {
    pub(super) async fn start(house: &House) -> Self {
        let exec_path = String::from_utf8(try_git(house.root.path(), &["--exec-path"]).stdout).unwrap();
        let state = Arc::new(Served {
            remotes: house.root.path().join("remotes"),
            git: PathBuf::from(exec_path.trim()).join("git-http-backend"),
            fetches: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
            authorized: AtomicUsize::new(0),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let router = Router::new().fallback(serve).with_state(Arc::clone(&state));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { port, state }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }
}

async fn serve(State(state): State<Arc<Served>>, request: Request) -> Response {
    state.requests.fetch_add(1, Ordering::SeqCst);
    let (parts, body) = request.into_parts();
    let mut path = parts.uri.path().to_owned();
    let answer = |status: StatusCode| Response::builder().status(status);
    let authorized = parts.headers.contains_key(header::AUTHORIZATION);
    state.authorized.fetch_add(usize::from(authorized), Ordering::SeqCst);
    if let Some(rest) = path.strip_prefix("/guarded").filter(|_| authorized) {
        path = rest.to_owned();
    }
    if path.starts_with("/private") || path.starts_with("/guarded") {
        return answer(StatusCode::UNAUTHORIZED).header(header::WWW_AUTHENTICATE, "Basic").body(Body::empty()).unwrap();
    }
    if let Some(rest) = path.strip_prefix("/moved") {
        let query = parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        return answer(StatusCode::FOUND)
            .header(header::LOCATION, format!("{rest}{query}"))
            .body(Body::empty())
            .unwrap();
    }
    if path.starts_with("/slow") {
        std::future::pending::<()>().await;
    }
    let body = to_bytes(body, 1 << 20).await.unwrap();
    let header =
        |name| parts.headers.get(name).map(HeaderValue::to_str).and_then(Result::ok).unwrap_or_default().to_owned();
    if body.windows(13).any(|window| window == b"command=fetch") {
        state.fetches.fetch_add(1, Ordering::SeqCst);
    }
    #[expect(clippy::disallowed_methods, reason = "the tests' own git plays the server")]
    let mut command = Command::new(&state.git);
    command
        .env("GIT_PROJECT_ROOT", &state.remotes)
        .envs([("GIT_HTTP_EXPORT_ALL", "1"), ("REQUEST_METHOD", parts.method.as_str()), ("PATH_INFO", &path)])
        .env("QUERY_STRING", parts.uri.query().unwrap_or_default())
        .env("CONTENT_TYPE", header("content-type"))
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("GIT_PROTOCOL", header("git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let output = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(&body).unwrap();
        child.wait_with_output().unwrap().stdout
    });
    let output = output.await.unwrap();
    let split = output.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let mut response = Response::builder();
    for line in std::str::from_utf8(&output[..split]).unwrap().lines() {
        let (name, value) = line.split_once(": ").unwrap();
        response = match name {
            "Status" => response.status(&value[..3]),
            _ => response.header(name, value),
        };
    }
    response.body(Body::from(output[split + 4..].to_vec())).unwrap()
}

/// Repositories that may reach this machine.
pub(super) fn repositories(house: &House, change: impl FnOnce(&mut RepositorySettings)) -> Repositories {
    let mut settings = RepositorySettings::new(house.root.path().join("data"));
    change(&mut settings);
    Repositories::new(settings, AddressPolicy::new(&["127.0.0.1", "localhost"]).unwrap())
}

#[tokio::test]
async fn a_remote_over_http_is_fetched_once_by_many_and_not_again() {
    let house = House::new();
    let remote = house.remote("one", &[("a", "1")]);
    let server = Server::start(&house).await;
    let repositories = repositories(&house, |_| {});
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (repositories, team, url) = (repositories.clone(), house.team, server.url("one"));
        tasks.spawn(async move { repositories.resolve(team, &url, None).await.unwrap() });
    }
    tasks.join_all().await;
    assert_eq!(server.state.fetches.load(Ordering::SeqCst), 1);
    super::commit(&remote, &[("a", "2")]);
    let base = repositories.resolve(house.team, &server.url("one"), None).await.unwrap();
    assert_eq!(base.read("a").unwrap().unwrap(), b"2");
    assert_eq!(server.state.fetches.load(Ordering::SeqCst), 2);
    repositories.resolve(house.team, &server.url("one"), Some("main")).await.unwrap();
    assert_eq!(server.state.fetches.load(Ordering::SeqCst), 2);
    let by_name = format!("http://localhost:{}/one", server.port);
    repositories.resolve(house.team, &by_name, None).await.unwrap();
}

#[tokio::test]
async fn private_addresses_are_not_even_connected_to() {
    let house = House::new();
    house.remote("one", &[("a", "1")]);
    let server = Server::start(&house).await;
    for host in ["127.0.0.1", "0x7f.1", "2130706433", "[::ffff:7f00:1]", "localhost", "[::1]", "0", "127.1"] {
        let url = format!("http://{host}:{}/one", server.port);
        let error = house.repositories.resolve(house.team, &url, None).await.unwrap_err();
        assert!(matches!(error, RepositoryError::Source(_)), "{host}: {error:?}");
    }
    assert_eq!(server.state.requests.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn redirects_are_not_followed_and_passwords_not_asked_for() {
    let house = House::new();
    house.remote("one", &[("a", "1")]);
    let server = Server::start(&house).await;
    let repositories = repositories(&house, |settings| settings.connect_timeout = Duration::from_millis(1500));
    for path in ["moved/one", "private/one", "absent", "slow/one"] {
        let error = repositories.resolve(house.team, &server.url(path), None).await.unwrap_err();
        assert!(matches!(error, RepositoryError::Unreachable { .. }), "{path}: {error:?}");
        let message = error.public_message();
        assert!(!message.contains(house.root.path().to_str().unwrap()), "{message}");
    }
    assert_eq!(server.state.fetches.load(Ordering::SeqCst), 0);
    let url = format!("http://user:s3cret@127.0.0.1:{}/one", server.port);
    let message = repositories.resolve(house.team, &url, None).await.unwrap_err().public_message();
    assert!(!message.contains("s3cret"), "{message}");
    let left = std::fs::read_dir(house.root.path().join("data/mirrors").join(house.team.to_string()));
    assert_eq!(left.into_iter().flatten().count(), 0, "no mirror of what was never reached");
}
