//! What a Pod of ours is: everything that the API server is asked for when it makes one.

use super::settings::{ImagePull, KubernetesSettings};
use crate::workspace::{OpenSandbox, calls::WORKSPACE};
use serde_json::{Value, json};

/// Whose Pods these are, whatever service made them.
pub(super) const LABEL_OURS: (&str, &str) = ("app.kubernetes.io/managed-by", "journeyman");
pub(super) const LABEL_INSTANCE: &str = "journeyman-instance";
pub(super) const LABEL_TASK: &str = "journeyman-task";
pub(super) const CONTAINER: &str = "workspace";
pub(super) const EXECD_INSIDE: &str = "/.execd/execd";
/// execd's socket, in the abstract namespace of the Pod's network.
pub(super) const DOOR: &str = "execd";

const EXECD_OF_IMAGE: &str = "/usr/local/bin/execd";
/// Where the volumes are while they are prepared.
const PREPARING: &str = "/prepare";
const HOME: &str = "/home/agent";
/// A Pod that outlives this is forgotten by whoever made it.
const LIFE_MAX_SECONDS: u64 = 7 * 24 * 3600;
/// How long a Pod stays on a node that is lost, before the cluster gives it up.
const LOST_NODE_SECONDS: u64 = 20;
/// What is asked of a node to be kept free, of what a workspace may use.
const REQUESTED_PERCENT: u64 = 25;
const PREPARE_MEMORY: &str = "64Mi";
/// What a fast disk takes in a second.
const DISK_SLACK_BYTES_MIN: u64 = 1 << 30;

/// What differs from one Pod to the next.
#[derive(Debug)]
pub(super) struct Shape<'a> {
    pub(super) name: &'a str,
    pub(super) image: &'a str,
    /// The user of everything in it, and its group.
    pub(super) user: (u32, u32),
    /// Of the secret that opens execd's door.
    pub(super) digest: &'a str,
    /// What is carried in beside the working copy: where it comes to, whether it is a directory, its size in bytes.
    pub(super) carried: &'a [(String, bool, u64)],
}

/// The whole request.
pub(super) fn pod(settings: &KubernetesSettings, open: &OpenSandbox, shape: &Shape<'_>) -> Value {
    let (uid, gid) = shape.user;
    let policy = match settings.pull {
        ImagePull::Always => "Always",
        ImagePull::Missing => "IfNotPresent",
        ImagePull::Never => "Never",
    };
    let mark = format!("pod-of-{}", settings.instance);
    let mut spec = json!({
        "restartPolicy": "Never",
        "activeDeadlineSeconds": LIFE_MAX_SECONDS,
        "terminationGracePeriodSeconds": 1,
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "shareProcessNamespace": false,
        "hostname": "workspace",
        // Nobody is asked for names: what is to be reached is reached through the server.
        "dnsPolicy": "None",
        "dnsConfig": { "nameservers": ["127.0.0.1"] },
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": uid,
            "runAsGroup": gid,
            "seccompProfile": { "type": "RuntimeDefault" },
        },
        "initContainers": [{
            "name": "prepare",
            "image": settings.execd_image,
            "imagePullPolicy": policy,
            "command": prepare(shape),
            "workingDir": "/",
            "terminationMessagePolicy": "FallbackToLogsOnError",
            "securityContext": locked(),
            "resources": {
                "limits": { "cpu": "1", "memory": PREPARE_MEMORY, "ephemeral-storage": "128Mi" },
                "requests": { "cpu": "10m", "memory": PREPARE_MEMORY, "ephemeral-storage": "128Mi" },
            },
            "volumeMounts": [
                { "name": "execd", "mountPath": format!("{PREPARING}/execd") },
                { "name": "files", "mountPath": format!("{PREPARING}/files") },
            ],
        }],
        "containers": [{
            "name": CONTAINER,
            "image": shape.image,
            "imagePullPolicy": policy,
            "command": [EXECD_INSIDE, "serve", "--of", mark, "--listen", DOOR, "--proof", shape.digest],
            "args": [],
            "workingDir": "/",
            "terminationMessagePolicy": "FallbackToLogsOnError",
            "securityContext": locked(),
            "resources": resources(open, shape),
            "volumeMounts": mounts(shape),
        }],
        "volumes": volumes(open, shape),
        "tolerations": tolerations(settings),
    });
    let mut set = |name: &str, value: Value| spec[name] = value;
    if let Some(class) = &settings.runtime_class {
        set("runtimeClassName", json!(class));
    }
    if !settings.node_selector.is_empty() {
        set("nodeSelector", json!(settings.node_selector));
    }
    if !settings.pull_secrets.is_empty() {
        let secrets: Vec<Value> = settings.pull_secrets.iter().map(|name| json!({ "name": name })).collect();
        set("imagePullSecrets", json!(secrets));
    }
    if settings.user_namespaces {
        set("hostUsers", json!(false));
    }
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": shape.name,
            "labels": {
                LABEL_OURS.0: LABEL_OURS.1,
                "app.kubernetes.io/component": "workspace",
                LABEL_INSTANCE: settings.instance,
                LABEL_TASK: open.task.to_string(),
            },
            // Nothing that tidies nodes up may take the place of a workspace in mid-task.
            "annotations": { "cluster-autoscaler.kubernetes.io/safe-to-evict": "false" },
        },
        "spec": spec,
    })
}

/// The level `restricted` of the Pod Security Standards, and a root that nobody writes to.
fn locked() -> Value {
    json!({
        "allowPrivilegeEscalation": false,
        "privileged": false,
        "readOnlyRootFilesystem": true,
        "capabilities": { "drop": ["ALL"] },
    })
}

/// execd's copy, and what is mounted into the workspace, which then belongs to its user.
fn prepare(shape: &Shape<'_>) -> Vec<String> {
    let mut command: Vec<String> =
        vec![EXECD_OF_IMAGE.to_owned(), "install".to_owned(), format!("{PREPARING}/execd/execd")];
    command.push(format!("{PREPARING}/files/copy/"));
    for (index, (_, is_directory, _)) in shape.carried.iter().enumerate() {
        let slash = if *is_directory { "/" } else { "" };
        command.push(format!("{PREPARING}/files/{index}{slash}"));
    }
    command
}

fn mounts(shape: &Shape<'_>) -> Vec<Value> {
    let mut mounts = vec![
        json!({ "name": "execd", "mountPath": "/.execd", "readOnly": true }),
        json!({ "name": "files", "mountPath": WORKSPACE, "subPath": "copy" }),
        json!({ "name": "tmp", "mountPath": "/tmp" }),
        json!({ "name": "var-tmp", "mountPath": "/var/tmp" }),
        json!({ "name": "home", "mountPath": HOME }),
    ];
    let carried = shape.carried.iter().enumerate();
    mounts
        .extend(carried.map(
            |(index, (inside, ..))| json!({ "name": "files", "mountPath": inside, "subPath": index.to_string() }),
        ));
    mounts
}

fn volumes(open: &OpenSandbox, shape: &Shape<'_>) -> Vec<Value> {
    let memory = |name: &str| json!({ "name": name, "emptyDir": { "medium": "Memory", "sizeLimit": bytes(open.limits.tmp_bytes) } });
    vec![
        json!({ "name": "execd", "emptyDir": { "sizeLimit": "64Mi" } }),
        json!({ "name": "files", "emptyDir": { "sizeLimit": bytes(disk_bytes(open, shape)) } }),
        memory("tmp"),
        memory("var-tmp"),
        memory("home"),
    ]
}

/// Beyond it the node ends the Pod. execd, which ends the command that fills the working copy, is to come first, though
/// that one writes on between two looks.
fn disk_bytes(open: &OpenSandbox, shape: &Shape<'_>) -> u64 {
    let limit = open.limits.disk_bytes;
    let carried: u64 = shape.carried.iter().map(|(.., bytes)| bytes).sum();
    limit.saturating_add((limit / 4).max(DISK_SLACK_BYTES_MIN)).saturating_add(carried).saturating_add(64 << 20)
}

fn resources(open: &OpenSandbox, shape: &Shape<'_>) -> Value {
    let limits = &open.limits;
    let milli_cpus = u64::from(limits.cpu_percent).max(1) * 10;
    let requested_cpus = if open.low_priority { 10 } else { (milli_cpus * REQUESTED_PERCENT / 100).max(10) };
    let disk = disk_bytes(open, shape).saturating_add(64 << 20);
    json!({
        "limits": {
            "cpu": format!("{milli_cpus}m"),
            "memory": bytes(limits.memory_bytes),
            "ephemeral-storage": bytes(disk),
        },
        "requests": {
            "cpu": format!("{}m", requested_cpus.min(milli_cpus)),
            "memory": bytes(limits.memory_bytes / 100 * REQUESTED_PERCENT),
            "ephemeral-storage": bytes(disk / 100 * REQUESTED_PERCENT),
        },
    })
}

/// Those of the operator, and how soon a lost node is given up.
fn tolerations(settings: &KubernetesSettings) -> Vec<Value> {
    let lost = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"].map(|key| {
        json!({ "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": LOST_NODE_SECONDS })
    });
    let own = settings.tolerations.iter().map(|toleration| {
        let mut all = json!({ "key": toleration.key, "operator": "Exists" });
        if let Some(value) = &toleration.value {
            all["operator"] = json!("Equal");
            all["value"] = json!(value);
        }
        if let Some(effect) = &toleration.effect {
            all["effect"] = json!(effect);
        }
        all
    });
    lost.into_iter().chain(own).collect()
}

/// As the API server takes it.
fn bytes(bytes: u64) -> String {
    bytes.to_string()
}
