//! Images as archives, made from files of this machine, kept below `target`.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
};
use tempfile::TempDir;

/// Directories that an image has, whatever else is in it.
const DIRECTORIES: &[&str] = &["etc", "proc", "sys", "dev", "run", "tmp", "var/tmp", "home", "root", "workspace"];
/// What busybox is in a small image.
const APPLETS: &[&str] = &[
    "sh", "cat", "ls", "echo", "grep", "sed", "seq", "head", "tail", "wc", "sleep", "kill", "ps", "id", "mkdir", "rm",
    "ln", "touch", "chmod", "cut", "tr", "find", "mount", "unshare", "env", "true", "false", "stat", "sort", "printf",
    "readlink", "dd", "nc", "ping", "pwd", "test", "yes", "setsid", "su",
];
/// Programs of the larger image.
const PROGRAMS: &[&str] = &[
    "bash", "sh", "cat", "ls", "grep", "sed", "seq", "head", "tail", "wc", "sleep", "kill", "ps", "id", "mkdir", "rm",
    "ln", "touch", "chmod", "cut", "tr", "find", "mount", "unshare", "env", "stat", "sort", "readlink", "dd", "yes",
    "setsid", "su", "git", "python3", "mv", "cp", "chown", "mktemp", "dirname", "basename", "uname", "date", "xargs",
    "diff", "tee", "uniq", "nsenter", "setpriv", "true", "false", "ulimit", "cmp", "rmdir", "expr", "printf", "od",
    "timeout", "nproc", "curl",
];
/// What an image of the service has besides.
const SERVICE_PROGRAMS: &[&str] = &["bwrap", "ssh", "ssh-add", "ssh-agent", "ssh-keygen", "useradd", "hostname"];

/// A static busybox and nothing else.
pub(crate) fn busybox() -> PathBuf {
    kept("busybox.tar", |root| {
        let busybox = Path::new("/bin/busybox");
        assert!(
            busybox.exists(),
            "there is no /bin/busybox: run scripts/setup.sh (Debian: apt-get install busybox-static)"
        );
        std::fs::create_dir(root.join("bin")).unwrap();
        std::fs::copy(busybox, root.join("bin/busybox")).unwrap();
        for applet in APPLETS {
            std::os::unix::fs::symlink("busybox", root.join("bin").join(applet)).unwrap();
        }
    })
}

/// As images on musl are: its loader and library, a shell that needs them, and no other library. The shell hands over
/// to busybox, which needs none.
pub(crate) fn musl() -> PathBuf {
    kept("musl.tar", |root| {
        let busybox = Path::new("/bin/busybox");
        std::fs::create_dir_all(root.join("bin")).unwrap();
        std::fs::create_dir_all(root.join("lib")).unwrap();
        std::fs::copy(busybox, root.join("bin/busybox")).unwrap();
        for applet in APPLETS.iter().filter(|applet| **applet != "sh") {
            std::os::unix::fs::symlink("busybox", root.join("bin").join(applet)).unwrap();
        }
        let arch = std::env::consts::ARCH;
        let library = format!("/usr/lib/{arch}-linux-musl/libc.so");
        assert!(
            Path::new(&library).exists(),
            "there is no musl: run scripts/setup.sh --tests (Debian: apt-get install musl-tools)"
        );
        std::fs::copy(library, root.join(format!("lib/ld-musl-{arch}.so.1"))).unwrap();
        for (name, source) in [("sh", MUSL_SHELL), ("threads", MUSL_THREADS)] {
            let mut compile = Command::new("musl-gcc");
            compile.args(["-O1", "-x", "c", "-pthread", "-o"]).arg(root.join("bin").join(name)).arg("-");
            let mut child = compile.stdin(std::process::Stdio::piped()).spawn().unwrap();
            std::io::Write::write_all(&mut child.stdin.take().unwrap(), source.as_bytes()).unwrap();
            assert!(child.wait().unwrap().success());
        }
    })
}

const MUSL_SHELL: &str = "#include <unistd.h>\n\
    int main(int argc, char **argv) { argv[0] = \"sh\"; execv(\"/bin/busybox\", argv); return 127; }\n";
/// What musl does otherwise than others: threads, a name's look-up, another process.
const MUSL_THREADS: &str = "#include <pthread.h>\n#include <stdio.h>\n#include <netdb.h>\n#include <stdlib.h>\n\
    static void *one(void *sum) { __sync_fetch_and_add((int *)sum, 1); return 0; }\n\
    int main(void) { int sum = 0; pthread_t all[20]; struct addrinfo *found;\n\
    for (int i = 0; i < 20; i++) if (pthread_create(&all[i], 0, one, &sum)) return 1;\n\
    for (int i = 0; i < 20; i++) pthread_join(all[i], 0);\n\
    if (getaddrinfo(\"127.0.0.1\", \"80\", 0, &found)) return 2;\n\
    printf(\"%d\\n\", sum); fflush(stdout); return system(\"echo another\"); }\n";

/// Directories alone.
pub(crate) fn empty() -> PathBuf {
    kept("empty.tar", |_| {})
}

/// Nothing but these files of this machine, each at a place of its own; made anew each time.
#[cfg(feature = "kubernetes-cluster")]
pub(crate) fn of(files: &[(&Path, &str)]) -> PathBuf {
    let target = super::sandbox::target().join("test-images");
    std::fs::create_dir_all(&target).unwrap();
    let work = TempDir::new_in(&target).unwrap();
    for (from, to) in files {
        let to = work.path().join(to);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(from, to).unwrap();
    }
    let tar = target.join(format!("{}.tar", files[0].1.rsplit('/').next().unwrap()));
    let packed =
        Command::new("tar").arg("-C").arg(work.path()).args(["--numeric-owner", "-cf"]).arg(&tar).arg(".").status();
    assert!(packed.unwrap().success());
    tar
}

/// Programs of this machine with their libraries.
pub(crate) fn host() -> PathBuf {
    kept("host.tar", |root| {
        copy(root, programs(PROGRAMS));
        users(root, "");
        setuid(root);
    })
}

/// What a Dockerfile of the service begins with, and all that it installs: in place of `debian:12-slim`, which nobody
/// can fetch here.
pub(crate) fn debian() -> PathBuf {
    kept("debian.tar", |root| {
        let mut files = programs(&[PROGRAMS, SERVICE_PROGRAMS].concat());
        // Of libc's own family, which every Debian has.
        for library in libraries(&[env!("CARGO_BIN_EXE_journeyman").into()]) {
            files.extend(with_target(&library));
        }
        files.extend(
            ["/etc/login.defs", "/etc/default/useradd", "/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/openssl.cnf"]
                .map(PathBuf::from)
                .into_iter()
                .filter(|path| path.exists()),
        );
        copy(root, files);
        users(root, "");
        std::fs::write(root.join("etc/shadow"), "root:*:19000:0:99999:7:::\n").unwrap();
        setuid(root);
        // All packages are there.
        program(root, "usr/bin/apt-get", "#!/bin/sh\necho \"apt-get $*\"\n");
    })
}

/// This machine's PostgreSQL, started as the image of the same name is: in place of `postgres`.
pub(crate) fn postgres() -> PathBuf {
    kept("postgres.tar", |root| {
        let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let newest = versions.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).max();
        let version =
            newest.expect("there is no PostgreSQL: run scripts/setup.sh (Debian: apt-get install postgresql)");
        let home = PathBuf::from(format!("/usr/lib/postgresql/{version}"));
        let mut files = programs(PROGRAMS);
        let needed = ["bin/postgres", "bin/initdb", "bin/pg_isready", "lib/plpgsql.so", "lib/dict_snowball.so"];
        for library in libraries(&needed.map(|name| home.join(name))) {
            files.extend(with_target(&library));
        }
        files.extend([home.clone(), PathBuf::from(format!("/usr/share/postgresql/{version}"))]);
        files.extend(["/usr/share/zoneinfo"].map(PathBuf::from).into_iter().filter(|path| path.exists()));
        copy(root, files);
        users(root, "postgres:x:999:999:postgres:/var/lib/postgresql:/bin/sh\n");
        let (data, run) = (root.join("var/lib/postgresql/data"), root.join("var/run/postgresql"));
        for directory in [&data, &run] {
            std::fs::create_dir_all(directory).unwrap();
            std::os::unix::fs::chown(directory, Some(999), Some(999)).unwrap();
        }
        std::os::unix::fs::symlink(home.join("bin"), root.join("postgresql")).unwrap();
        program(root, "usr/local/bin/docker-entrypoint.sh", POSTGRES_ENTRYPOINT);
    })
}

/// As much of the real one as a service needs.
const POSTGRES_ENTRYPOINT: &str = r#"#!/bin/sh
set -eu
data=/var/lib/postgresql/data
if [ "$(id -u)" = 0 ]; then
    chown 999:999 "$data"
    exec setpriv --reuid=999 --regid=999 --clear-groups -- "$0" "$@"
fi
export LC_ALL=C
if [ ! -e "$data/PG_VERSION" ]; then
    printf %s "$POSTGRES_PASSWORD" > /tmp/password
    /postgresql/initdb --no-sync -D "$data" -U "$POSTGRES_USER" --auth=scram-sha-256 --pwfile=/tmp/password >/dev/null
    rm /tmp/password
    echo "host all all all scram-sha-256" >> "$data/pg_hba.conf"
    echo "CREATE DATABASE \"$POSTGRES_DB\"" | /postgresql/postgres --single -D "$data" -j postgres >/dev/null
fi
exec "/postgresql/$1" -D "$data" -c listen_addresses='*' -c fsync=off -c jit=off
"#;

fn program(root: &Path, path: &str, script: &str) {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    // It may be a link to this machine's own.
    let _ = std::fs::remove_file(&path);
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
}

fn users(root: &Path, more: &str) {
    let passwd = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n";
    std::fs::write(root.join("etc/passwd"), format!("{passwd}{more}")).unwrap();
    std::fs::write(root.join("etc/group"), "root:x:0:\nnogroup:x:65534:\n").unwrap();
}

/// A program that would make its user root, were that allowed.
fn setuid(root: &Path) {
    let setuid = root.join("usr/bin/setuid-id");
    std::fs::copy("/usr/bin/id", &setuid).unwrap();
    std::fs::set_permissions(&setuid, std::os::unix::fs::PermissionsExt::from_mode(0o4755)).unwrap();
}

/// Those of these programs that this machine has, with all that they need.
fn programs(names: &[&str]) -> BTreeSet<PathBuf> {
    let mut files = BTreeSet::new();
    for name in names {
        let found =
            ["/usr/bin", "/usr/local/bin", "/bin", "/usr/sbin"].map(|directory| Path::new(directory).join(name));
        let Some(program) = found.into_iter().find(|path| path.exists()) else { continue };
        files.extend(with_target(&program));
    }
    let python = Path::new("/usr/bin/python3").canonicalize().unwrap();
    let python = python.file_name().unwrap().to_str().unwrap();
    let modules = Path::new("/usr/lib").join(python);
    let dynamic: Vec<PathBuf> = std::fs::read_dir(modules.join("lib-dynload"))
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    let programs: Vec<PathBuf> = files.iter().cloned().chain(dynamic).collect();
    for library in libraries(&programs) {
        files.extend(with_target(&library));
    }
    for directory in [modules, PathBuf::from("/usr/lib/git-core"), PathBuf::from("/usr/share/git-core")] {
        if directory.exists() {
            files.insert(directory);
        }
    }
    let git_of_others = Path::new("/usr/local/libexec/git-core");
    if git_of_others.exists() {
        files.insert(git_of_others.to_owned());
    }
    files
}

/// Copies files and directories of this machine to where they are there.
fn copy(root: &Path, files: BTreeSet<PathBuf>) {
    let list = root.with_extension("list");
    let lines: String =
        files.iter().map(|file| format!("{}\n", file.display().to_string().trim_start_matches('/'))).collect();
    std::fs::write(&list, lines).unwrap();
    let copy = "tar -C / --exclude='*.pyc' --exclude='*/test/*' -cf - -T \"$0\" | tar -C \"$1\" -xf -";
    let copied = Command::new("sh").args(["-c", copy]).arg(&list).arg(root).status().unwrap();
    assert!(copied.success());
    for name in ["bin", "lib", "lib64"] {
        let at = root.join(name);
        if !at.exists() {
            std::os::unix::fs::symlink(format!("usr/{name}"), at).unwrap();
        }
    }
}

/// A path and, where it is a link, what it leads to, both with the links of their directories followed.
fn with_target(path: &Path) -> Vec<PathBuf> {
    let parent = path.parent().unwrap().canonicalize().unwrap();
    let mut all = vec![parent.join(path.file_name().unwrap())];
    for _ in 0..8 {
        let last = all.last().unwrap().clone();
        let Ok(target) = std::fs::read_link(&last) else { break };
        let target = last.parent().unwrap().join(target);
        let parent = target.parent().unwrap().canonicalize().unwrap();
        all.push(parent.join(target.file_name().unwrap()));
    }
    all
}

fn libraries(programs: &[PathBuf]) -> BTreeSet<PathBuf> {
    let output = Command::new("ldd").args(programs).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let words = text.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    words.filter(|word| !word.ends_with(':')).map(PathBuf::from).filter(|path| path.is_file()).collect()
}

/// Makes an archive once: `fill` gets a root with the directories that every image has.
fn kept(name: &str, fill: impl FnOnce(&Path)) -> PathBuf {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _held = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let target = std::env::current_exe().unwrap().ancestors().nth(3).unwrap().join("test-images");
    std::fs::create_dir_all(&target).unwrap();
    // What was made by an earlier list is not this one.
    let list = journeyman::domain::BlobHash::of(
        [APPLETS, PROGRAMS, SERVICE_PROGRAMS, &[POSTGRES_ENTRYPOINT]].concat().join(" ").as_bytes(),
    );
    let tar = target.join(format!("{}-{name}", &list.as_str()[..8]));
    if tar.exists() {
        return tar;
    }
    let work = TempDir::new_in(&target).unwrap();
    let root = work.path().join("root");
    for directory in DIRECTORIES {
        std::fs::create_dir_all(root.join(directory)).unwrap();
    }
    for directory in ["tmp", "var/tmp"] {
        std::fs::set_permissions(root.join(directory), std::os::unix::fs::PermissionsExt::from_mode(0o1777)).unwrap();
    }
    fill(&root);
    let made = work.path().join(name);
    let packed =
        Command::new("tar").arg("-C").arg(&root).args(["--numeric-owner", "-cf"]).arg(&made).arg(".").status().unwrap();
    assert!(packed.success());
    std::fs::rename(made, &tar).unwrap();
    tar
}
