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
    "timeout", "nproc",
];

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

/// Directories alone.
pub(crate) fn empty() -> PathBuf {
    kept("empty.tar", |_| {})
}

/// Programs of this machine with their libraries.
pub(crate) fn host() -> PathBuf {
    kept("host.tar", |root| {
        let mut files = BTreeSet::new();
        for name in PROGRAMS {
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
        let passwd = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n";
        std::fs::write(root.join("etc/passwd"), passwd).unwrap();
        std::fs::write(root.join("etc/group"), "root:x:0:\nnogroup:x:65534:\n").unwrap();
        // One that would make its user root, were that allowed.
        let setuid = root.join("usr/bin/setuid-id");
        std::fs::copy("/usr/bin/id", &setuid).unwrap();
        std::fs::set_permissions(&setuid, std::os::unix::fs::PermissionsExt::from_mode(0o4755)).unwrap();
    })
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
    let list = journeyman::domain::BlobHash::of([APPLETS, PROGRAMS].concat().join(" ").as_bytes());
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
