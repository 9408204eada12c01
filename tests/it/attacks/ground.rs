//! What attacks aim at: listeners, a secret, a victim on this machine; and how a probe is run outside
//! and inside.

use super::{Attack, Uncontrolled};
use crate::support::{
    engine::{self, HOST, RUNSC},
    ready,
    sandbox::{self, Copy},
};
use journeyman::{
    clock,
    workspace::{BackendSettings, RunCommand, SandboxLimits, Workspace, WorkspaceError},
};
use std::{
    io::Read,
    net::{TcpListener, UdpSocket},
    os::unix::{
        fs::{PermissionsExt, chown},
        net::{SocketAddr, UnixListener},
    },
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

pub(super) const SUCCESS: &str = "SUCCEEDED";
/// Who attacks outside, and owns the victim.
pub(super) const USER: u32 = 61_000;
const CANARY: &str = "canary-4711";
/// Where a workspace sees a mirror.
const MIRROR: &str = "/run/mirror";
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) const PRELUDE: &str = r#"
import ctypes, errno, os, signal, socket, struct, subprocess, sys, time
libc = ctypes.CDLL(None, use_errno=True)
# In two parts: a shell whose child is killed repeats what it was told.
def succeed(): print("SUCC" + "EEDED", flush=True)
def call(number, *args):
    args = [ctypes.c_long(arg) if isinstance(arg, int) else arg for arg in args]
    result = libc.syscall(ctypes.c_long(number), *args)
    return result, (ctypes.get_errno() if result < 0 else 0)
# A system call that the kernel itself refuses for its arguments has reached it.
def reaches(number, *args):
    result, error = call(number, *args)
    if result >= 0 or error not in (errno.EPERM, errno.EACCES, errno.ENOSYS): succeed()
    else: print(os.strerror(error))
def child():
    pid = os.fork()
    if pid == 0:
        time.sleep(30)
        os._exit(0)
    return pid
env = os.environ
victim = int(env["VICTIM"])
"#;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Backend {
    Bubblewrap,
    Docker,
    Podman,
    Gvisor,
    #[cfg(feature = "kubernetes-cluster")]
    Kubernetes,
}

impl Backend {
    fn has_connections_of_the_same_user(self) -> bool {
        !matches!(self, Self::Bubblewrap | Self::Docker | Self::Podman)
    }

    pub(super) fn is_tried_with(self, attack: &Attack) -> bool {
        let left_out: &[&str] = match self {
            Self::Bubblewrap | Self::Docker | Self::Podman => &[],
            // What a kernel of its own grants, that of 2022: namespaces and devices that are none of this machine's, and execd
            // to the processes of its user, as no process is hidden from another there. docs/workspaces.md tells.
            Self::Gvisor => &[
                "a time namespace by unshare",
                "a raw disk",
                "raise the own priority",
                "where execd's memory is",
                "execd's environment",
                "execd's files",
                "write to execd's files",
                "stop execd",
            ],
            // A Pod's mirror is a copy of its own. It has an interface and a route, through which the network plugin lets
            // nothing. And the kubelet of the tests, 1.20, makes no directory in memory of a size, as those since 1.22 do.
            #[cfg(feature = "kubernetes-cluster")]
            Self::Kubernetes => &[
                "write to a mirror",
                "add to a mirror",
                "write to a mirror through a hard link",
                "make a mirror writable",
                "interfaces besides the loopback",
                "a route to elsewhere",
                "more in /tmp",
                "more in the home directory",
            ],
        };
        !left_out.contains(&attack.name)
    }
}

pub(super) struct Ground {
    backend: Backend,
    pub(super) copy: Copy,
    /// A directory of the machine that everybody can read, with a secret.
    pub(super) outside: TempDir,
    /// A toolchain with a program that makes its user root.
    _tools: TempDir,
    pub(super) tools: PathBuf,
    mirror: TempDir,
    victim: Child,
    ports: [u16; 3],
    _listeners: (TcpListener, Option<TcpListener>, UdpSocket, UnixListener, UnixListener),
    shared_memory: i32,
}

fn open_dir() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

/// Accepts for ever, so that who connects is answered.
fn answer(listener: &TcpListener) {
    let listener = listener.try_clone().unwrap();
    std::thread::spawn(move || listener.incoming().for_each(drop));
}

impl Ground {
    pub(super) async fn new(backend: Backend) -> Self {
        assert!(rustix::process::geteuid().is_root(), "attacks are shown to work outside, which takes root");
        let tools_dir = open_dir();
        let tools = tools_dir.path().join("tools");
        std::fs::create_dir_all(tools.join("bin")).unwrap();
        let setuid = tools.join("bin/become-root");
        std::fs::copy("/usr/bin/id", &setuid).unwrap();
        std::fs::set_permissions(&setuid, std::fs::Permissions::from_mode(0o4755)).unwrap();
        let toolchain = tools.clone();
        let copy = match backend {
            Backend::Bubblewrap => {
                Copy::with(|dir| {
                    let mut settings = sandbox::settings(dir);
                    settings.toolchains.push(toolchain);
                    settings.pool = ready::ONE;
                    settings
                })
                .await
            }
            Backend::Docker | Backend::Podman | Backend::Gvisor => {
                let engine = match backend {
                    Backend::Podman => engine::podman().await,
                    Backend::Gvisor => engine::with_gvisor().await,
                    _ => engine::shared().await,
                };
                Copy::with(|dir| {
                    let mut settings = engine.settings(dir, HOST);
                    settings.toolchains.push(toolchain);
                    settings.pool = ready::ONE;
                    if let (Backend::Gvisor, BackendSettings::Docker(docker)) = (backend, &mut settings.backend) {
                        docker.runtime = Some(RUNSC.to_owned());
                    }
                    settings
                })
                .await
            }
            #[cfg(feature = "kubernetes-cluster")]
            Backend::Kubernetes => {
                let cluster = crate::support::cluster::shared().await;
                Copy::with(|dir| cluster.settings(dir, crate::support::cluster::HOST)).await
            }
        };
        let outside = open_dir();
        std::fs::write(outside.path().join("secret"), CANARY).unwrap();
        let mirror = open_dir();
        let pack = mirror.path().join("pack");
        std::fs::create_dir(&pack).unwrap();
        std::fs::write(pack.join("object"), "content").unwrap();
        for path in [mirror.path().to_owned(), pack.clone(), pack.join("object")] {
            chown(path, Some(USER), Some(USER)).unwrap();
        }
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        answer(&tcp);
        let tcp6 = TcpListener::bind("[::1]:0").ok();
        tcp6.iter().for_each(answer);
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let echo = udp.try_clone().unwrap();
        std::thread::spawn(move || {
            let mut bytes = [0; 512];
            while let Ok((count, from)) = echo.recv_from(&mut bytes) {
                let _ = echo.send_to(&bytes[..count], from);
            }
        });
        let socket = outside.path().join("engine.sock");
        let unix = UnixListener::bind(&socket).unwrap();
        std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o777)).unwrap();
        let name = abstract_name(&outside);
        let address = <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name).unwrap();
        let hidden = UnixListener::bind_addr(&address).unwrap();
        let ports = [
            tcp.local_addr().unwrap().port(),
            tcp6.as_ref().map_or(0, |tcp6| tcp6.local_addr().unwrap().port()),
            udp.local_addr().unwrap().port(),
        ];
        let victim = as_user("sleep").arg("86400").env("CANARY", CANARY).spawn().unwrap();
        let key = 0x4a4d_0000 | (victim.id() as i32 & 0xffff);
        let made = Command::new("/usr/bin/python3")
            .args(["-c", "import ctypes, sys; sys.exit(ctypes.CDLL(None).shmget(int(sys.argv[1]), 4096, 0o1666) < 0)"])
            .arg(key.to_string())
            .status()
            .unwrap();
        assert!(made.success());
        Self {
            backend,
            copy,
            outside,
            _tools: tools_dir,
            tools,
            mirror,
            victim,
            ports,
            _listeners: (tcp, tcp6, udp, unix, hidden),
            shared_memory: key,
        }
    }

    pub(super) async fn open(&self) -> Workspace {
        self.open_with(SandboxLimits::default()).await
    }

    pub(super) async fn open_with(&self, limits: SandboxLimits) -> Workspace {
        let mut options = self.copy.options();
        options.limits = limits;
        options.mirrors = self.mirrors();
        self.copy.sandboxes.open(options).await.unwrap()
    }

    /// Waits until no command and nothing that one has left runs; whether that came.
    pub(super) async fn until_nobody_lives(&self, patience: Duration) -> bool {
        let (uid, _) = self.copy.sandboxes.owner_uid(self.copy.task).unwrap();
        let begun = Instant::now();
        // execd is the one that is left.
        while processes_of(uid) > 1 {
            if begun.elapsed() > patience {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        true
    }

    /// One that was ready before its task came.
    pub(super) async fn open_ready(&self) -> Workspace {
        let sandboxes = self.copy.sandboxes.clone();
        let ready = ready::keep(&sandboxes, SandboxLimits::default());
        let taken = ready::take(&sandboxes, clock::new_id(), self.mirrors()).await;
        ready.stop().await;
        taken.open(Vec::new(), std::sync::Arc::from([])).await.unwrap()
    }

    fn mirrors(&self) -> Vec<(PathBuf, PathBuf)> {
        vec![(self.mirror.path().to_owned(), MIRROR.into())]
    }

    /// Whatever was done to it in workspaces.
    pub(super) fn assert_mirror_is_as_it_was(&self) {
        let names: Vec<_> =
            std::fs::read_dir(self.mirror.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["pack"]);
        assert_eq!(std::fs::read_to_string(self.mirror.path().join("pack/object")).unwrap(), "content");
    }

    /// What a probe is told; inside, the victim is execd.
    fn variables(&self, inside: bool) -> Vec<(String, String)> {
        let pid = self.victim.id().to_string();
        let mirror = if inside { MIRROR.into() } else { self.mirror.path().to_owned() };
        [
            ("VICTIM", if inside { "1".to_owned() } else { pid.clone() }),
            ("HOST_PID", pid),
            ("CANARY", CANARY.to_owned()),
            ("SECRET", self.outside.path().join("secret").display().to_string()),
            ("SOCKET", self.outside.path().join("engine.sock").display().to_string()),
            ("ABSTRACT", String::from_utf8(abstract_name(&self.outside)).unwrap()),
            ("MIRROR", mirror.join("pack").display().to_string()),
            ("SETUID", self.tools.join("bin/become-root").display().to_string()),
            ("TCP", self.ports[0].to_string()),
            ("TCP6", self.ports[1].to_string()),
            ("UDP", self.ports[2].to_string()),
            ("SHARED_MEMORY", self.shared_memory.to_string()),
            ("SERVER", std::process::id().to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }

    /// Runs it on this machine, without any control; what it says.
    pub(super) fn outside(&self, attack: &Attack) -> String {
        let mut command = match attack.works {
            Uncontrolled::User => as_user("/usr/bin/python3"),
            Uncontrolled::Root => {
                let mut command = Command::new("unshare");
                command.args(["--mount", "--uts", "--ipc", "--net", "--pid", "--fork", "--mount-proc"]);
                command.args(["--propagation", "private", "--", "/usr/bin/python3"]);
                command
            }
        };
        let work = open_dir();
        chown(work.path(), Some(USER), Some(USER)).unwrap();
        command.arg("-c").arg(format!("{PRELUDE}\n{}", attack.probe)).current_dir(work.path()).env_clear();
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").envs(self.variables(false));
        said(command)
    }

    /// Runs it in a workspace; what it says.
    pub(super) async fn inside(&self, workspace: &Workspace, attack: &Attack) -> String {
        match self.try_inside(workspace, attack).await {
            Ok(said) => said,
            // In a Pod the server's connection is a process of the same user: whoever ends it has cut off himself alone.
            Err(WorkspaceError::Gone { why }) if self.backend.has_connections_of_the_same_user() => {
                assert!(workspace.lives().await, "{why}");
                format!("it was cut off: {why}")
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// The same, which may end the workspace.
    pub(super) async fn try_inside(&self, workspace: &Workspace, attack: &Attack) -> Result<String, WorkspaceError> {
        let script = format!("/usr/bin/python3 - 2>&1 <<'END_OF_PROBE'\n{PRELUDE}\n{}\nEND_OF_PROBE\n", attack.probe);
        let mut command = RunCommand::new(script, PATIENCE);
        command.env = self.variables(true);
        let result = workspace.run(command, None).await?;
        Ok(format!("{} ({:?})", String::from_utf8_lossy(&result.output), result.outcome))
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        let _ = self.victim.kill();
        let _ = self.victim.wait();
        let remove = "import ctypes, sys; c = ctypes.CDLL(None); c.shmctl(c.shmget(int(sys.argv[1]), 0, 0), 0, None)";
        let _ = Command::new("/usr/bin/python3").args(["-c", remove]).arg(self.shared_memory.to_string()).status();
    }
}

/// Living processes of this machine that run as a user.
fn processes_of(uid: u32) -> usize {
    let status = |entry: std::fs::DirEntry| std::fs::read_to_string(entry.path().join("status")).unwrap_or_default();
    let lives = |status: &String| {
        let field = |name| status.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next());
        field("Uid:") == Some(uid.to_string().as_str()) && field("State:") != Some("Z")
    };
    std::fs::read_dir("/proc").unwrap().flatten().map(status).filter(lives).count()
}

fn abstract_name(dir: &TempDir) -> Vec<u8> {
    format!("jm-attack-{}", dir.path().file_name().unwrap().to_str().unwrap()).into_bytes()
}

/// As an ordinary user of this machine.
pub(super) fn as_user(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    let user = USER.to_string();
    command.args([&format!("--reuid={user}"), &format!("--regid={user}"), "--clear-groups", "--", program]);
    command
}

/// What a command writes, for as long as it may take.
pub(super) fn said(mut command: Command) -> String {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    child.wait().unwrap();
    text
}
