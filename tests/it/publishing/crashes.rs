//! A crash at any boundary, and real `kill -9` in the midst of a push: one branch, one commit.

use super::{branches, calc, came, commits, ground, publish, pushes, request, rested};
use crate::{
    repository::{self, House, servers::Https},
    support::{
        process::Process,
        service::{Ground, git},
    },
};
use journeyman::runner::Failpoint;
use serde_json::json;
use std::{
    ops::ControlFlow,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_boundary_leaves_one_branch_with_one_commit() {
    let mut ground = ground().await;
    ground.variables.push(("JOURNEYMAN_LEASE_TTL_SECONDS".to_owned(), "1".to_owned()));
    // Where the next crash is; 0: nowhere.
    let armed = Arc::new(AtomicU32::new(0));
    let failpoint: Failpoint = {
        let armed = Arc::clone(&armed);
        Arc::new(move |_, boundary| match armed.compare_exchange(boundary, 0, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(0) | Err(_) => ControlFlow::Continue(()),
            Ok(_) => ControlFlow::Break(()),
        })
    };
    let service = ground.start_with(ground.data.path(), Some(failpoint)).await;
    let api = service.api();
    let id = rested(&api, &request(&ground, "mend")).await;
    let repository = calc(&ground);
    let mut crashes = 0;
    for boundary in 1.. {
        let branch = format!("journeyman/crash-{boundary}");
        armed.store(boundary, Ordering::SeqCst);
        let accepted = publish(&api, &id, &json!({ "branch": branch })).await;
        let done = came(&api, &id, &accepted, &["done", "failed"]).await;
        assert_eq!(done["state"], "done", "crashed at {boundary}: {done:#}");
        assert_eq!(commits(&repository, &format!("main..{branch}")), 1, "crashed at {boundary}");
        assert_eq!(pushes(&repository, &branch), 1, "crashed at {boundary}");
        let told = api.events(&id).await;
        let told = told.iter().filter(|e| e["kind"] == "publish" && e["data"]["publishing"] == accepted["id"]).count();
        assert_eq!(told, 2, "crashed at {boundary}: asked for once, done once");
        if armed.swap(0, Ordering::SeqCst) != 0 {
            break;
        }
        crashes += 1;
    }
    assert!(crashes >= 5, "only {crashes} boundaries were met");
    assert_eq!(branches(&repository).len(), crashes + 1);
    service.stop().await;
}

/// A hook of the remote's that says that it was reached and waits to be let go.
fn holding(repository: &Path, hook: &str) -> (std::path::PathBuf, std::path::PathBuf) {
    let (reached, go) = (repository.join("reached"), repository.join("go"));
    let path = repository.join(".git/hooks").join(hook);
    let script = format!(
        "#!/bin/sh\ncat > /dev/null\ntouch '{}'\nwhile [ ! -e '{}' ]; do sleep 0.05; done\n",
        reached.display(),
        go.display()
    );
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    (reached, go)
}

async fn exists(path: &Path) {
    let looking = async {
        while !path.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), looking).await.unwrap_or_else(|_| panic!("no {}", path.display()));
}

/// A ground whose repository is behind a real server over TLS.
pub(super) async fn over_https(house: &House) -> (Ground, Https, String) {
    over_https_for(house, "bot").await
}

/// The same for another user of the host.
pub(super) async fn over_https_for(house: &House, user: &str) -> (Ground, Https, String) {
    let mut ground = Ground::new(&super::the_script()).await;
    let server = Https::start(house, user, "a-token-that-opens").await;
    for (name, value) in [
        ("JOURNEYMAN_PRIVATE_HOSTS", "localhost,127.0.0.1".to_owned()),
        ("JOURNEYMAN_CA_FILE", server.ca.display().to_string()),
        ("JOURNEYMAN_PUBLISH_ATTEMPTS", "3".to_owned()),
    ] {
        ground.variables.push((name.to_owned(), value));
    }
    let url = server.url("calc");
    (ground, server, url)
}

pub(super) fn credential(server: &Https, secret: &str) -> serde_json::Value {
    json!({ "host": format!("localhost:{}", server.port), "kind": "token", "username": "bot", "secret": secret })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_killed_in_a_push_is_followed_by_one_that_looks() {
    for hook in ["pre-receive", "post-receive"] {
        let house = House::new();
        let remote = house.remote("calc", &[("calc.py", "def add(a, b):\n    return a - b\n")]);
        repository::git(&remote, &["config", "core.logAllRefUpdates", "always"]);
        let (ground, server, url) = over_https(&house).await;
        let process = Process::start(&ground, ground.data.path());
        let (status, _) = process.api.post("/v1/git_credentials", &credential(&server, "a-token-that-opens")).await;
        assert_eq!(status, 201);
        let id = rested(&process.api, &json!({ "request": "mend it", "repository": { "url": url } })).await;
        let (reached, go) = holding(&remote, hook);
        let accepted = publish(&process.api, &id, &json!({})).await;
        exists(&reached).await;
        process.kill();
        std::fs::write(&go, "").unwrap();
        let next = Process::start(&ground, ground.data.path());
        let done = came(&next.api, &id, &accepted, &["done", "failed"]).await;
        assert_eq!(done["state"], "done", "killed in {hook}: {done:#}");
        let branch = accepted["branch"].as_str().unwrap();
        assert_eq!(branches(&remote), [branch], "killed in {hook}");
        assert_eq!(commits(&remote, &format!("main..{branch}")), 1, "killed in {hook}");
        assert_eq!(git(&remote, &["rev-parse", branch]).trim(), done["commit"], "killed in {hook}");
        next.kill();
    }
}
