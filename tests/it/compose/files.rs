//! What the files for engines say, without an engine.

use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// Rules of the profile by system call.
fn profile() -> BTreeMap<String, Vec<Value>> {
    let profile: Value = serde_json::from_str(&read("deploy/seccomp.json")).unwrap();
    assert_eq!((&profile["defaultAction"], &profile["defaultErrnoRet"]), (&"SCMP_ACT_ERRNO".into(), &1.into()));
    let mut calls: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for rule in profile["syscalls"].as_array().unwrap() {
        for name in rule["names"].as_array().unwrap() {
            calls.entry(name.as_str().unwrap().to_owned()).or_default().push(rule.clone());
        }
    }
    calls
}

#[test]
fn the_profile_lets_an_ordinary_user_make_workspaces_and_nothing_of_what_attacks_like() {
    let calls = profile();
    let plainly = |name: &str| {
        calls.get(name).is_some_and(|rules| {
            rules.iter().any(|rule| rule["action"] == "SCMP_ACT_ALLOW" && rule.get("args").is_none())
        })
    };
    for name in ["clone", "unshare", "mount", "umount2", "pivot_root", "sethostname", "seccomp", "prctl", "execve"] {
        assert!(plainly(name), "{name}");
    }
    for name in [
        "add_key",
        "bpf",
        "chroot",
        "clock_settime",
        "delete_module",
        "fanotify_init",
        "finit_module",
        "fsconfig",
        "fsmount",
        "fsopen",
        "fspick",
        "init_module",
        "io_uring_enter",
        "io_uring_register",
        "io_uring_setup",
        "ioperm",
        "iopl",
        "kcmp",
        "kexec_file_load",
        "kexec_load",
        "keyctl",
        "lookup_dcookie",
        "mbind",
        "migrate_pages",
        "mount_setattr",
        "move_mount",
        "move_pages",
        "name_to_handle_at",
        "open_by_handle_at",
        "open_tree",
        "perf_event_open",
        "pidfd_getfd",
        "process_vm_readv",
        "process_vm_writev",
        "ptrace",
        "quotactl",
        "reboot",
        "request_key",
        "setns",
        "settimeofday",
        "swapon",
        "syslog",
        "userfaultfd",
        "vhangup",
    ] {
        assert!(!calls.contains_key(name), "{name}");
    }
    // Only for some arguments, or as if it were not there.
    let families: BTreeSet<u64> =
        calls["socket"].iter().map(|rule| rule["args"][0]["value"].as_u64().unwrap()).collect();
    assert_eq!(families, [1, 2, 10, 16].into());
    assert!(!plainly("personality"));
    assert_eq!(
        (&calls["clone3"][0]["action"], &calls["clone3"][0]["errnoRet"]),
        (&"SCMP_ACT_ERRNO".into(), &38.into())
    );
}

#[test]
fn compose_gives_the_service_neither_privilege_nor_the_engines_socket() {
    let file = read("docker-compose.yml");
    for forbidden in
        ["privileged", "docker.sock", "seccomp=unconfined", "cap_add", "network_mode", "pid:", "user: root"]
    {
        let said = file.lines().filter(|line| !line.trim_start().starts_with('#'));
        assert!(!said.clone().any(|line| line.contains(forbidden)), "{forbidden}");
    }
    for wanted in ["seccomp=deploy/seccomp.json", "no-new-privileges=true", "- ALL", "read_only: true", "mem_limit:"] {
        assert!(file.contains(wanted), "{wanted}");
    }
}

#[test]
fn an_image_is_built_of_all_that_the_build_reads() {
    let ignored = read(".dockerignore");
    let sent: BTreeSet<&str> = ignored.lines().filter_map(|line| line.strip_prefix('!')).collect();
    let manifest = read("Cargo.toml");
    let members = manifest.split_once("members = [").unwrap().1.split_once(']').unwrap().0;
    let members = members.split(',').map(|member| member.trim().trim_matches('"')).filter(|member| *member != ".");
    for path in members.chain(["src", "Cargo.toml", "Cargo.lock", "migrations", "LICENSE"]) {
        assert!(sent.contains(path), "the Dockerfile needs {path}, which .dockerignore leaves out");
    }
    assert!(!ignored.lines().any(|line| line == "!.env"));
}
