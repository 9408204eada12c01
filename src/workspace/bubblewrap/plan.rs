//! How a sandbox is put together by bubblewrap (0.8 or later): which namespaces, which of the
//! host's files, which user.
//!
//! As root, bubblewrap makes the namespaces with root's own rights and execd, still inside, gives
//! them up for a uid that is the task's alone: no user namespace is needed, and what runs in one
//! workspace has no rights over another's files or processes even if it got out. Otherwise a user
//! namespace stands in, in which no further one can be made. The filter of system calls is the
//! same in both.

use crate::workspace::{
    OpenSandbox, SandboxSettings, Throwaway,
    calls::WORKSPACE,
    throwaway::{OPEN_FILES, PROCESSES_OF_USER},
};
use execd::plan::{Confined, Plan};
use std::{
    fs,
    path::{Path, PathBuf},
};

const EXECD_INSIDE: &str = "/.execd";
const PROGRAM_INSIDE: &str = "/.program";
const HOME: &str = "/home/agent";
const SHARED_MEMORY_BYTES: u64 = 64 << 20;
/// The user inside a user namespace.
const USER_INSIDE: u32 = 1000;

/// Of the host's `/etc`, what programs of `/usr` cannot do without and nobody minds being read.
const ETC: &[&str] = &[
    "alternatives",
    "ca-certificates",
    "ca-certificates.conf",
    "java-11-openjdk",
    "java-17-openjdk",
    "java-21-openjdk",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "magic",
    "maven",
    "mime.types",
    "perl",
    "pki/tls/certs",
    "protocols",
    "services",
    "ssl/certs",
    "ssl/openssl.cnf",
    "terminfo",
];
/// Directories that are links into `/usr` on some hosts.
const ROOTS: &[&str] = &["bin", "sbin", "lib", "lib32", "lib64", "libx32"];
/// Where shared libraries are.
const LIBRARIES: &[&str] = &["/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libx32", "/usr/local/lib"];

/// Where the machine's bubblewrap is.
pub(super) fn find() -> Option<PathBuf> {
    ["/usr/bin/bwrap", "/usr/local/bin/bwrap", "/bin/bwrap"].map(PathBuf::from).into_iter().find(|path| path.is_file())
}

/// The whole command line, for `execd launch`. `owner`: the task's own uid and gid, as root.
pub(super) fn plan(
    bwrap: &Path,
    settings: &SandboxSettings,
    instance: &str,
    open: &OpenSandbox,
    owner: Option<(u32, u32)>,
) -> Plan {
    let mut mounts = Arguments::default();
    mounts.namespaces(owner.is_some());
    if owner.is_some() {
        mounts.add(&["--cap-add", "CAP_CHOWN"]);
    }
    mounts.add(&["--hostname", "workspace", "--clearenv", "--unsetenv", "PWD", "--as-pid-1", "--new-session"]);
    mounts.system();
    mounts.add(&["--proc", "/proc", "--dev", "/dev"]);
    mounts.tmpfs("/dev/shm", "1777", SHARED_MEMORY_BYTES);
    mounts.tmpfs("/tmp", "1777", open.limits.tmp_bytes);
    mounts.add(&["--dir", "/var", "--symlink", "../tmp", "/var/tmp", "--dir", "/run", "--dir", "/home"]);
    mounts.tmpfs(HOME, "0755", open.limits.tmp_bytes);
    for toolchain in &settings.toolchains {
        mounts.parents(toolchain);
        mounts.bind("--ro-bind", toolchain, toolchain);
    }
    for (host, inside) in &open.mirrors {
        mounts.parents(inside);
        mounts.bind("--ro-bind", host, inside);
    }
    mounts.bind("--bind", &open.copy, Path::new(WORKSPACE));
    mounts.bind("--ro-bind", &settings.execd, Path::new(EXECD_INSIDE));

    let (uid, gid) = owner.unwrap_or((USER_INSIDE, USER_INSIDE));
    let mut then = Arguments::default();
    then.add(&["--remount-ro", "/dev", "--remount-ro", "/", "--", EXECD_INSIDE, "serve", "--of", instance]);
    if owner.is_some() {
        then.add(&["--uid", &uid.to_string(), "--gid", &gid.to_string()]);
    }
    Plan {
        bwrap: bwrap.to_string_lossy().into_owned(),
        mounts: mounts.0,
        files: etc_files(uid, gid),
        then: then.0,
        cgroup_procs: Vec::new(),
        nice: open.low_priority.then_some(10),
    }
}

/// The whole command line of a sandbox for one program: libraries, the program and execd, nothing
/// else and nothing that can be written to; not even `/proc` and `/dev`.
pub(super) fn throwaway(
    bwrap: &Path,
    execd: &Path,
    instance: &str,
    throwaway: &Throwaway,
    owner: Option<(u32, u32)>,
) -> Result<Plan, serde_json::Error> {
    let mut mounts = Arguments::default();
    mounts.namespaces(owner.is_some());
    mounts.add(&["--hostname", "workspace", "--clearenv", "--as-pid-1", "--new-session"]);
    for libraries in LIBRARIES.iter().map(Path::new).filter(|path| path.is_dir()) {
        mounts.bind("--ro-bind", libraries, libraries);
    }
    mounts.roots(|name| name.starts_with("lib"));
    let cache = Path::new("/etc/ld.so.cache");
    if cache.is_file() {
        mounts.bind("--ro-bind", cache, cache);
    }
    mounts.bind("--ro-bind", execd, Path::new(EXECD_INSIDE));
    mounts.bind("--ro-bind", &throwaway.program, Path::new(PROGRAM_INSIDE));
    let confined = serde_json::to_string(&Confined {
        program: PROGRAM_INSIDE.to_owned(),
        arguments: throwaway.arguments.clone(),
        owner,
        data_bytes: throwaway.memory_bytes,
        cpu_seconds: throwaway.cpu_seconds,
        processes: PROCESSES_OF_USER,
        open_files: OPEN_FILES,
    })?;
    let mut then = Arguments::default();
    then.add(&["--remount-ro", "/", "--", EXECD_INSIDE, "confine", "--of", instance, &confined]);
    let bwrap = bwrap.to_string_lossy().into_owned();
    Ok(Plan { bwrap, mounts: mounts.0, then: then.0, ..Plan::default() })
}

/// The environment of commands that follows from what is mounted.
pub(super) fn environment(settings: &SandboxSettings, open: &OpenSandbox) -> Vec<(String, String)> {
    let bins = settings.toolchains.iter().map(|toolchain| toolchain.join("bin").to_string_lossy().into_owned());
    let system = ["/usr/local/bin", "/usr/bin", "/bin"].map(str::to_owned);
    let path = bins.chain(system).collect::<Vec<_>>().join(":");
    let mut env = vec![("PATH".to_owned(), path)];
    env.extend(open.env.iter().cloned());
    env
}

#[derive(Default)]
struct Arguments(Vec<String>);

/// Bubblewrap makes missing parents for the one who starts it alone.
const PARENT_MODE: &str = "0755";

impl Arguments {
    fn add(&mut self, arguments: &[&str]) {
        self.0.extend(arguments.iter().map(|argument| (*argument).to_owned()));
    }

    /// What of the host's is not seen, and who the first process is.
    fn namespaces(&mut self, as_root: bool) {
        self.add(&["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]);
        if as_root {
            self.add(&["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", "--cap-add", "CAP_SETPCAP"]);
        } else {
            let user = USER_INSIDE.to_string();
            self.add(&["--unshare-user", "--disable-userns", "--uid", &user, "--gid", &user]);
        }
    }

    /// The directories above `path`, passable for everybody: bwrap by itself makes them for root
    /// alone.
    fn parents(&mut self, path: &Path) {
        let above: Vec<_> = path.ancestors().skip(1).filter(|above| above.parent().is_some()).collect();
        for above in above.into_iter().rev() {
            self.add(&["--perms", "0755", "--dir", &above.to_string_lossy()]);
        }
    }

    fn bind(&mut self, how: &str, host: &Path, inside: &Path) {
        let parents: Vec<&Path> = inside.ancestors().skip(1).filter(|parent| parent.parent().is_some()).collect();
        for parent in parents.into_iter().rev() {
            self.add(&["--perms", PARENT_MODE, "--dir", &parent.to_string_lossy()]);
        }
        self.add(&[how, &host.to_string_lossy(), &inside.to_string_lossy()]);
    }

    fn tmpfs(&mut self, path: &str, mode: &str, size_bytes: u64) {
        self.add(&["--perms", mode, "--size", &size_bytes.to_string(), "--tmpfs", path]);
    }

    /// The host's programs and libraries.
    fn system(&mut self) {
        self.add(&["--ro-bind", "/usr", "/usr"]);
        self.roots(|_| true);
        for name in ETC {
            let path = Path::new("/etc").join(name);
            // Where a link leads out of what is mounted, its target is what counts.
            if let Ok(real) = path.canonicalize() {
                self.bind("--ro-bind", &real, &path);
            }
        }
    }

    /// Those of [`ROOTS`] that are wanted, as the host has them.
    fn roots(&mut self, wanted: impl Fn(&str) -> bool) {
        for name in ROOTS.iter().filter(|name| wanted(name)) {
            let path = Path::new("/").join(name);
            match fs::read_link(&path) {
                Ok(target) => self.add(&["--symlink", &target.to_string_lossy(), &path.to_string_lossy()]),
                Err(_) if path.is_dir() => self.bind("--ro-bind", &path, &path),
                Err(_) => {}
            }
        }
    }
}

/// What `/etc` says of users, hosts and where names are looked up.
fn etc_files(uid: u32, gid: u32) -> Vec<(String, String)> {
    let passwd = format!(
        "root:x:0:0:root:/root:/usr/sbin/nologin\nagent:x:{uid}:{gid}:agent:{HOME}:/bin/bash\n\
         nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
    );
    let group = format!("root:x:0:\nagent:x:{gid}:\nnogroup:x:65534:\n");
    [
        ("passwd", passwd.as_str()),
        ("group", group.as_str()),
        ("hosts", "127.0.0.1 localhost workspace\n::1 localhost\n"),
        ("hostname", "workspace\n"),
        ("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"),
        ("resolv.conf", ""),
    ]
    .map(|(name, content)| (format!("/etc/{name}"), content.to_owned()))
    .to_vec()
}
