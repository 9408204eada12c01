//! Workspaces of a service that is not root: all have one user, and each still its own processes.

use crate::support::{
    engine::{self, HOST},
    sandbox::{self, Copy, EXECD_VARIABLE, output, run},
};
use journeyman::workspace::{BackendSettings, DockerSettings, SandboxSettings, Workspace};
use std::{os::unix::fs::PermissionsExt, path::Path, process::Command};

/// Set where the tests run as a user without rights: the engine's address.
const ENGINE_VARIABLE: &str = "JOURNEYMAN_TEST_ENGINE";
const USER: &str = "61002";

fn settings(data_dir: &Path, address: &str) -> SandboxSettings {
    let docker = DockerSettings::new(address.parse().unwrap(), HOST);
    SandboxSettings { backend: BackendSettings::Docker(docker), ..sandbox::settings(data_dir) }
}

async fn open(copy: &Copy) -> Workspace {
    let mut options = copy.options();
    options.limits.pids = 60;
    copy.sandboxes.open(options).await.unwrap()
}

#[tokio::test]
async fn what_one_task_takes_of_its_processes_no_other_lacks() {
    let Ok(address) = std::env::var(ENGINE_VARIABLE) else { return };
    let full = Copy::with(|data_dir| settings(data_dir, &address)).await;
    let other = Copy::with(|data_dir| settings(data_dir, &address)).await;
    let (filled, workspace) = (open(&full).await, open(&other).await);
    output(&workspace, "setsid -f sleep 1000").await;
    let fill = "python3 -c 'import os,time\nwhile True:\n  try:\n    if os.fork() == 0:\n      os.setsid(); time.sleep(1000)\n  except OSError: break'";
    run(&filled, fill).await;
    let many = "for i in $(seq 20); do sleep 1 & done; wait; ps -eo args= | grep -c '^sleep 1000'";
    assert_eq!(output(&workspace, many).await, "1\n");
    assert_eq!(output(&filled, "echo alive").await, "alive\n");
    let told = other.sandboxes.capabilities().lines;
    assert!(told.iter().any(|line| line.detail.contains("the service's own uid (61002)")), "{told:#?}");
}

/// The above as such a user.
#[tokio::test(flavor = "multi_thread")]
async fn processes_of_tasks_are_their_own_where_the_user_is_not() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let engine = engine::shared().await;
    let open = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    open(engine.socket().parent().unwrap(), 0o711);
    open(&engine.socket(), 0o666);
    let home = tempfile::tempdir().unwrap();
    open(home.path(), 0o777);
    let program = home.path().join("it");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let daemon = home.path().join("execd");
    std::fs::copy(sandbox::static_execd(), &daemon).unwrap();
    let mut command = Command::new("setpriv");
    command.args([format!("--reuid={USER}"), format!("--regid={USER}")]).args(["--clear-groups", "--"]).arg(&program);
    command.arg("docker::shared_user::what_one_task").env_clear().env("PATH", "/usr/bin:/bin");
    command.env("TMPDIR", home.path()).env(EXECD_VARIABLE, &daemon);
    command.env(ENGINE_VARIABLE, format!("unix://{}", engine.socket().display()));
    let tested = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let told = String::from_utf8_lossy(&tested.stdout);
    assert!(tested.status.success(), "{told}{}", String::from_utf8_lossy(&tested.stderr));
    assert!(told.contains("1 passed"), "{told}");
}
