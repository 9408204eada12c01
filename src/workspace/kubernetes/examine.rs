//! A look around in a workspace by an image: whether it is fit, what programs it has, and what of what the cluster was
//! asked for really holds, above all that it gets through to nobody.

use super::{
    cluster::Cluster,
    pod::EXECD_INSIDE,
    settings::{Isolation, KubernetesSettings},
};
use crate::workspace::{
    Capability, RunCommand, SandboxLimits, Workspace, WorkspaceError,
    docker::{Examined, Look, look},
};
use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

const PATIENCE: Duration = Duration::from_secs(60);
/// Where a cloud tells a node's own credentials.
const METADATA: &str = "169.254.169.254:80";
const ADDRESSES_MAX: usize = 12;

/// `mark` is what the server has written to the file of that name in the working copy.
pub(super) async fn examine(
    workspace: &Workspace,
    image: &str,
    mark: &str,
    cluster: &Cluster,
) -> Result<Examined, WorkspaceError> {
    let came = workspace.read("mark", 1024).await;
    if !came.is_ok_and(|content| content.bytes == mark.as_bytes()) {
        return Err(WorkspaceError::Setup {
            what: "files do not come into workspaces as they are on this host".to_owned(),
            mend: "see that JOURNEYMAN_KUBERNETES_EXECD_IMAGE is of this service's own version".to_owned(),
        });
    }
    let seen = look(workspace, image).await?;
    let through = reached(workspace, cluster).await?;
    let settings = &cluster.settings;
    if !through.is_empty() && settings.isolation == Isolation::Enforced {
        return Err(WorkspaceError::Setup {
            what: format!(
                "a workspace gets through to {}: the network plugin of this cluster does not hold the NetworkPolicy of the \
                 namespace {}, or there is none",
                through.join(", "),
                settings.namespace
            ),
            mend: "make the policy (deploy/base), on a plugin that holds it (Calico, Cilium, Antrea); or take it as it is by \
                   JOURNEYMAN_KUBERNETES_NETWORK=unchecked"
                .to_owned(),
        });
    }
    let version = cluster.ask(|client| async move { client.apiserver_version().await }).await;
    let version = version.map_or_else(|_| "of an unknown version".to_owned(), |version| version.git_version);
    let lines = lines(&seen, image, settings, &version, &through);
    Ok(Examined::of(seen, lines))
}

/// Addresses that answer a workspace, of those that matter most: the API server as Pods and as this service know it, the
/// cluster's names, the node, a cloud's metadata.
async fn reached(workspace: &Workspace, cluster: &Cluster) -> Result<Vec<String>, WorkspaceError> {
    let mut wanted: BTreeSet<String> = BTreeSet::from([METADATA.to_owned()]);
    let ran = workspace.run(RunCommand::new(AROUND, PATIENCE), None).await?;
    wanted.extend(around(&String::from_utf8_lossy(&ran.output)));
    if let Some(url) = cluster.address().await.and_then(|address| url::Url::parse(&address).ok())
        && let Some(host) = url.host_str()
    {
        let port = url.port_or_known_default().unwrap_or(443);
        let found = tokio::net::lookup_host((host.trim_matches(['[', ']']), port)).await;
        wanted.extend(found.into_iter().flatten().filter(|to| !to.ip().is_loopback()).map(|to| to.to_string()));
    }
    if cluster.settings.kubeconfig.is_none() {
        // In the cluster this service asks the same names as Pods do.
        let resolvers = tokio::fs::read_to_string("/etc/resolv.conf").await.unwrap_or_default();
        let servers = resolvers.lines().filter_map(|line| line.strip_prefix("nameserver")?.trim().parse().ok());
        wanted.extend(servers.map(|ip: std::net::IpAddr| SocketAddr::new(ip, 53).to_string()));
    }
    let addresses: Vec<String> = wanted.into_iter().take(ADDRESSES_MAX).collect();
    let command = format!("exec {EXECD_INSIDE} reach {}", addresses.join(" "));
    let ran = workspace.run(RunCommand::new(command, PATIENCE), None).await?;
    let said = String::from_utf8_lossy(&ran.output).into_owned();
    let answered = said.lines().filter_map(|line| line.split_once(' '));
    let answered = answered.filter(|(_, how)| matches!(*how, "open" | "refused"));
    Ok(answered.filter(|(to, _)| addresses.iter().any(|known| known == to)).map(|(to, _)| to.to_owned()).collect())
}

/// Tells the default gateways, which are the node or beside it.
const AROUND: &str = r#"
while read -r device destination gateway rest; do
    [ "$destination" = 00000000 ] && printf '%s\n' "$gateway"
done < /proc/net/route 2>/dev/null
true
"#;

/// The node's own ports that are worth trying: its kubelet, and ssh.
fn around(said: &str) -> Vec<String> {
    let gateways = said.lines().filter_map(|line| u32::from_str_radix(line.trim(), 16).ok());
    let gateways = gateways.map(|raw| std::net::Ipv4Addr::from(raw.to_le_bytes())).take(2);
    gateways.flat_map(|ip| [10_250, 22].map(|port| SocketAddr::from((ip, port)).to_string())).collect()
}

fn lines(
    seen: &Look,
    image: &str,
    settings: &KubernetesSettings,
    version: &str,
    through: &[String],
) -> Vec<Capability> {
    let limits = SandboxLimits::default();
    let line = |name, holds, good: String, weaker: String| Capability {
        name,
        holds,
        detail: if holds { good } else { weaker },
    };
    let uid = seen.uid();
    let class =
        settings.runtime_class.as_deref().map_or_else(String::new, |class| format!(" of the runtime class {class}"));
    let own_users = if settings.user_namespaces { ", in a user namespace of its own" } else { "" };
    let filters = seen.filters();
    vec![
        line(
            "user",
            seen.has_no_rights() && uid != "0",
            format!(
                "each Pod runs under an unprivileged uid of its own ({uid} here){own_users}, without a capability, and gains none"
            ),
            "commands have capabilities or can gain some; something in the cluster changes what Pods are asked for".to_owned(),
        ),
        line(
            "namespaces",
            !seen.root_writable,
            format!(
                "a Pod each{class} in the namespace {} of Kubernetes {version}, from the image {image}; its root is read-only",
                settings.namespace
            ),
            "the container's root can be written to; something in the cluster changes what Pods are asked for".to_owned(),
        ),
        line(
            "system calls",
            seen.status("Seccomp") == "2" && filters >= 2,
            "the node's own filter (RuntimeDefault) and execd's".to_owned(),
            "execd's filter alone; see that the nodes' runtime has a default profile, or needs none (gVisor)".to_owned(),
        ),
        line(
            "network",
            through.is_empty() && settings.isolation == Isolation::Enforced,
            "neither the API server, the cluster's names, the node nor a cloud's metadata answer".to_owned(),
            if through.is_empty() {
                "nothing that was tried answers, but it is not insisted on (JOURNEYMAN_KUBERNETES_NETWORK=unchecked)".to_owned()
            } else {
                format!("workspaces get through to {}: the cluster does not hold its NetworkPolicy", through.join(", "))
            },
        ),
        line(
            "pids",
            seen.pids.is_some_and(|pids| pids <= u64::from(limits.pids) * 8),
            "bounded by cgroup (the kubelet's podPidsLimit) and per uid (RLIMIT_NPROC)".to_owned(),
            "bounded per uid alone (RLIMIT_NPROC), as far as can be seen; set podPidsLimit in the kubelets' configuration"
                .to_owned(),
        ),
        line(
            "memory",
            seen.memory.is_some_and(|bytes| bytes <= limits.memory_bytes),
            "bounded by cgroup, /tmp and home included".to_owned(),
            "bounded for each process alone (RLIMIT_DATA), as far as can be seen".to_owned(),
        ),
        line(
            "cpu",
            seen.cpu,
            "bounded by cgroup".to_owned(),
            "not bounded, as far as can be seen; see that the kubelets hold limits (cpuCFSQuota)".to_owned(),
        ),
        line(
            "disk",
            true,
            "/tmp and home are memory; the working copy is measured while commands run, and the node ends a Pod that is a \
             quarter beyond its limit, or 1 GiB; one file cannot pass it (RLIMIT_FSIZE)"
                .to_owned(),
            String::new(),
        ),
        line("output", true, "a command that writes too much is killed; its beginning and end are kept".to_owned(), String::new()),
        line("time", true, "each command's whole session is killed at its timeout".to_owned(), String::new()),
    ]
}
