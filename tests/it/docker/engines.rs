//! Engines that are slow, cut off, wrong or elsewhere: each is named, with the mend.

use crate::support::{
    engine::{self, BUSYBOX, Engine},
    sandbox,
};
use journeyman::workspace::{BackendSettings, DockerSettings, SandboxSettings, Sandboxes, WorkspaceError};
use std::{
    io::{Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Something at a socket that is no engine.
fn stand_in(meet: impl Fn(UnixStream) + Send + 'static) -> (TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("docker.sock");
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || listener.incoming().flatten().for_each(meet));
    (dir, format!("unix://{}", path.display()))
}

fn settings(data_dir: &Path, address: &str) -> SandboxSettings {
    let mut docker = DockerSettings::new(address.parse().unwrap(), BUSYBOX);
    docker.answer_time = Duration::from_secs(1);
    docker.away_time = Duration::from_secs(1);
    SandboxSettings {
        execd: sandbox::static_execd().to_owned(),
        backend: BackendSettings::Docker(docker),
        ..sandbox::settings(data_dir)
    }
}

async fn refused(address: &str) -> String {
    let data_dir = engine::data_dir();
    let begun = Instant::now();
    let error = Sandboxes::new(settings(data_dir.path(), address)).await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    let WorkspaceError::Setup { .. } = error else { panic!("{error:?}") };
    error.to_string()
}

/// Answers each request alike.
fn always(answer: &'static str) -> impl Fn(UnixStream) + Send + 'static {
    move |mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(answer.as_bytes());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_slow_cut_off_or_wrong_is_named_and_not_waited_for_long() {
    let held = std::sync::Mutex::new(Vec::new());
    let (_dir, slow) = stand_in(move |stream| held.lock().unwrap().push(stream));
    let error = refused(&slow).await;
    assert!(error.contains(&slow) && error.contains("does not answer; see its log"), "{error}");

    let (_dir, cut) = stand_in(drop);
    let error = refused(&cut).await;
    assert!(error.contains(&cut) && error.contains("is not reached"), "{error}");

    let failing = "HTTP/1.1 500 Internal Server Error\r\ncontent-type: application/json\r\ncontent-length: 25\r\n\r\n{\"message\":\"no room left\"}";
    let (_dir, failing) = stand_in(always(failing));
    let error = refused(&failing).await;
    assert!(error.contains(&failing), "{error}");

    let (_dir, wrong) = stand_in(always("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"));
    let error = refused(&wrong).await;
    assert!(error.contains(&wrong), "{error}");

    let (_dir, noise) = stand_in(always("\0\0\0 this is no HTTP"));
    let error = refused(&noise).await;
    assert!(error.contains(&noise), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_does_not_share_the_file_system_is_refused_at_the_start() {
    let data_dir = engine::data_dir();
    let engine = Engine::apart(Some(data_dir.path().to_owned())).await;
    let error = Sandboxes::new(engine.settings(data_dir.path(), BUSYBOX)).await.unwrap_err().to_string();
    assert!(error.contains("must share this machine's file system"), "{error}");
}
