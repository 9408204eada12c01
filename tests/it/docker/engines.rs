//! Engines that are slow, cut off, wrong or elsewhere: each is named, with the mend.

use crate::support::{
    engine::{self, BUSYBOX, Engine},
    sandbox::{self, Copy, output},
};
use journeyman::workspace::{BackendSettings, DockerSettings, SandboxSettings, Sandboxes, WorkspaceError};
use std::{
    collections::HashSet,
    io::{Read, Write},
    net::Shutdown,
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
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
    let engine = Engine::apart(data_dir.path().to_owned()).await;
    let error = Sandboxes::new(engine.settings(data_dir.path(), BUSYBOX)).await.unwrap_err().to_string();
    assert!(error.contains("must share this machine's file system"), "{error}");
}

/// A way to an engine on which, while it hangs, nothing that is said comes through, then or later.
fn way(engine: &Engine, hangs: &Arc<AtomicBool>) -> (TempDir, String) {
    let (socket, hangs) = (engine.socket(), Arc::clone(hangs));
    stand_in(move |client| {
        let engine = UnixStream::connect(&socket).unwrap();
        let carry = |mut from: UnixStream, mut to: UnixStream, hangs: Option<Arc<AtomicBool>>| {
            std::thread::spawn(move || {
                let mut bytes = [0; 64 * 1024];
                while let Ok(count @ 1..) = from.read(&mut bytes) {
                    let lost = hangs.as_ref().is_some_and(|hangs| hangs.load(Ordering::Relaxed));
                    if !lost && to.write_all(&bytes[..count]).is_err() {
                        break;
                    }
                }
                let _ = to.shutdown(Shutdown::Write);
            })
        };
        carry(client.try_clone().unwrap(), engine.try_clone().unwrap(), Some(Arc::clone(&hangs)));
        carry(engine, client, None);
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_workspace_that_a_hanging_engine_does_not_end_is_ended_before_the_next_is_opened() {
    let engine = engine::shared().await;
    let hangs = Arc::new(AtomicBool::new(false));
    let (_dir, address) = way(engine, &hangs);
    let copy = Copy::with(|data_dir| settings(data_dir, &address)).await;
    let workspace = copy.open().await;
    output(&workspace, "setsid sh -c 'while :; do echo x >> grows; sleep 0.01; done' >/dev/null 2>&1 & echo").await;
    let size = || std::fs::metadata(copy.path.join("grows")).map_or(0, |metadata| metadata.len());
    hangs.store(true, Ordering::Relaxed);
    let begun = Instant::now();
    workspace.close().await;
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    // It runs on, and its working copy is not taken from under it.
    let then = size();
    let begun = Instant::now();
    while size() == then {
        assert!(begun.elapsed() < Duration::from_secs(5));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(copy.sandboxes.sweep(&HashSet::new()).await.is_err());
    assert!(copy.path.exists());
    assert!(copy.sandboxes.open(copy.options()).await.is_err());
    hangs.store(false, Ordering::Relaxed);
    let again = copy.open().await;
    assert_eq!(engine.containers(&copy.task.to_string()).await.len(), 1);
    let then = size();
    output(&again, "sleep 0.5").await;
    assert_eq!(size(), then, "nobody else writes there any more");
    assert!(copy.path.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_maps_users_is_refused_with_the_mend() {
    let engine = Engine::mapping().await;
    let error = refused(&format!("unix://{}", engine.socket().display())).await;
    assert!(error.contains("maps users (userns)") && error.contains("without userns-remap"), "{error}");
}
