//! What a container of ours is: everything that the engine is asked for when it makes one.

use super::image::Image;
use crate::workspace::{OpenSandbox, calls::WORKSPACE};
use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigCgroupnsModeEnum, HostConfigLogConfig, Mount,
    MountBindOptions, MountBindOptionsPropagationEnum, MountType,
};
use std::{collections::HashMap, path::Path};

pub(super) const LABEL_INSTANCE: &str = "journeyman.instance";
pub(super) const LABEL_TASK: &str = "journeyman.task";
/// Which of the task's copies is mounted.
pub(super) const LABEL_COPY: &str = "journeyman.copy";
/// By name, for people who look.
const LABEL_IMAGE: &str = "journeyman.image";
pub(super) const EXECD_INSIDE: &str = "/.execd";
/// execd's socket, in the abstract namespace of the container's network.
pub(super) const DOOR: &str = "execd";
const HOME: &str = "/home/agent";
const SHARED_MEMORY_BYTES: u64 = 64 << 20;
/// Of what an image wants a volume for.
const VOLUME_BYTES: u64 = 64 << 20;
/// Files of such a directory may be so many that each has this share of its memory.
const BYTES_PER_FILE: u64 = 4 << 10;
/// So that the server can always connect, whatever commands have taken.
pub(super) const PROCESSES_OF_SERVER: u32 = 16;
const NANO_CPUS_PER_PERCENT: i64 = 10_000_000;

/// What is the same for all containers of a service.
#[derive(Clone, Debug)]
pub(super) struct Shape<'a> {
    pub(super) instance: &'a str,
    /// On this host, statically linked.
    pub(super) execd: &'a Path,
    pub(super) toolchains: &'a [std::path::PathBuf],
    pub(super) runtime: Option<&'a str>,
    /// The engine knows neither owner nor number of files of a `tmpfs` (Podman): everybody may write to the home
    /// directory instead.
    pub(super) ownerless: bool,
}

/// The user that commands run as, and the other one that the server's connections come as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Users {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) server: u32,
    /// The task's alone, so that the kernel bounds its processes by itself.
    pub(super) own: bool,
}

impl Users {
    /// `owner`: the task's own; absent: the service's.
    pub(super) fn of(owner: Option<(u32, u32)>) -> Self {
        let own = || (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let (uid, gid) = owner.unwrap_or_else(own);
        Self { uid, gid, server: if uid == 65_534 { 65_533 } else { 65_534 }, own: owner.is_some() }
    }
}

/// The whole request. `digest`: of the secret by which the server proves itself to execd.
pub(super) fn body(
    shape: &Shape<'_>,
    open: &OpenSandbox,
    image: &Image,
    name: &str,
    users: Users,
    digest: &str,
) -> ContainerCreateBody {
    let Users { uid, gid, server, .. } = users;
    // Not the mark of processes of this host, among which it is seen and would be taken for a stray.
    let mark = format!("container-of-{}", shape.instance);
    let command = ["serve", "--of", &mark, "--listen", DOOR, "--from", &server.to_string(), "--proof", digest];
    let labels = [
        (LABEL_INSTANCE, shape.instance.to_owned()),
        (LABEL_TASK, open.task.to_string()),
        (LABEL_COPY, copy_label(&open.copy)),
        (LABEL_IMAGE, name.to_owned()),
    ];
    ContainerCreateBody {
        hostname: Some("workspace".to_owned()),
        user: Some(format!("{uid}:{gid}")),
        entrypoint: Some(vec![EXECD_INSIDE.to_owned()]),
        cmd: Some(command.map(str::to_owned).to_vec()),
        // By content: the name may be another's by now.
        image: Some(image.id.clone()),
        // Where the server's connections may be, too.
        working_dir: Some("/".to_owned()),
        labels: Some(labels.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
        // An engine that stops waits for nobody.
        stop_signal: Some("SIGKILL".to_owned()),
        healthcheck: Some(HealthConfig { test: Some(vec!["NONE".to_owned()]), ..HealthConfig::default() }),
        network_disabled: Some(true),
        host_config: Some(host_config(shape, open, image, users)),
        ..ContainerCreateBody::default()
    }
}

/// A short name for a working copy on this host: of one that is still laid out, as it will be called.
pub(super) fn copy_label(copy: &Path) -> String {
    let whole = copy.extension().filter(|extension| *extension == "part").map(|_| copy.with_extension(""));
    let copy = whole.as_deref().unwrap_or(copy);
    crate::domain::BlobHash::of(copy.as_os_str().as_encoded_bytes()).as_str()[..16].to_owned()
}

fn host_config(shape: &Shape<'_>, open: &OpenSandbox, image: &Image, users: Users) -> HostConfig {
    let limits = &open.limits;
    let memory = limits.memory_bytes.cast_signed();
    HostConfig {
        auto_remove: Some(true),
        cap_drop: Some(vec!["ALL".to_owned()]),
        // The engine's own filter of system calls stands, which naming none keeps.
        security_opt: Some(vec!["no-new-privileges:true".to_owned()]),
        privileged: Some(false),
        readonly_rootfs: Some(true),
        network_mode: Some("none".to_owned()),
        ipc_mode: Some("private".to_owned()),
        cgroupns_mode: Some(HostConfigCgroupnsModeEnum::PRIVATE),
        // execd is the first process and does what one must.
        init: Some(false),
        runtime: shape.runtime.map(str::to_owned),
        memory: Some(memory),
        // Of which swap is a part: none.
        memory_swap: Some(memory),
        pids_limit: Some(i64::from(limits.pids) + if users.own { i64::from(PROCESSES_OF_SERVER) } else { 0 }),
        nano_cpus: Some(i64::from(limits.cpu_percent).max(1) * NANO_CPUS_PER_PERCENT),
        cpu_shares: Some(if open.low_priority { 64 } else { 1024 }),
        shm_size: Some(SHARED_MEMORY_BYTES.cast_signed()),
        log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
        mounts: Some(mounts(shape, open)),
        tmpfs: Some(tmpfs(shape, open, image, users)),
        ..HostConfig::default()
    }
}

fn mounts(shape: &Shape<'_>, open: &OpenSandbox) -> Vec<Mount> {
    let mut mounts = vec![bind(&open.copy, Path::new(WORKSPACE), false)];
    mounts.push(bind(shape.execd, Path::new(EXECD_INSIDE), true));
    mounts.extend(shape.toolchains.iter().map(|toolchain| bind(toolchain, toolchain, true)));
    mounts.extend(open.mirrors.iter().map(|(host, inside)| bind(host, inside, true)));
    mounts
}

fn bind(host: &Path, inside: &Path, read_only: bool) -> Mount {
    let options = MountBindOptions {
        propagation: Some(MountBindOptionsPropagationEnum::RPRIVATE),
        ..MountBindOptions::default()
    };
    Mount {
        typ: Some(MountType::BIND),
        source: Some(host.to_string_lossy().into_owned()),
        target: Some(inside.to_string_lossy().into_owned()),
        read_only: Some(read_only),
        bind_options: Some(options),
        ..Mount::default()
    }
}

/// Directories in memory: what may be written to beside the working copy. What an image declares a
/// volume for is one of them, or it would be a directory of the host without any limit.
fn tmpfs(shape: &Shape<'_>, open: &OpenSandbox, image: &Image, users: Users) -> HashMap<String, String> {
    let Users { uid, gid, .. } = users;
    let own = if shape.ownerless { "mode=1777".to_owned() } else { format!("mode=0755,uid={uid},gid={gid}") };
    let sized = |bytes: u64| {
        let files = if shape.ownerless { String::new() } else { format!(",nr_inodes={}", bytes / BYTES_PER_FILE) };
        format!("size={bytes}{files}")
    };
    let size = sized(open.limits.tmp_bytes);
    let mut all = HashMap::new();
    let ours = [WORKSPACE, HOME, "/tmp", "/var/tmp"];
    for path in image.volumes.iter().filter(|path| !ours.contains(&path.as_str())) {
        all.insert(path.clone(), format!("rw,nosuid,nodev,{},{own}", sized(VOLUME_BYTES)));
    }
    for path in ["/tmp", "/var/tmp"] {
        // Builds run what they have made there.
        all.insert(path.to_owned(), format!("rw,exec,nosuid,nodev,mode=1777,{size}"));
    }
    all.insert(HOME.to_owned(), format!("rw,exec,nosuid,nodev,{size},{own}"));
    all
}
