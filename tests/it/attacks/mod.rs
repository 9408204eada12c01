//! Attacks from inside a workspace, on each backend. Every one is a probe that says `SUCCEEDED` where
//! it does: it has to without the control that is to stop it, which each run shows first, and it must
//! not in a workspace.

mod files;
mod ground;
mod kernel;
mod limits;
mod network;
mod processes;
mod server;

use ground::{Backend, Ground};

/// How a probe is shown to work where its control is off: on this machine, outside of any sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Uncontrolled {
    /// By root, in namespaces of its own so that nothing of the machine is touched.
    Root,
    /// By the user that also runs the victim.
    User,
}

/// One attack, in Python; `ground::PRELUDE` comes before it.
#[derive(Debug)]
struct Attack {
    name: &'static str,
    /// Says `SUCCEEDED` (by `succeed()`) when it does.
    probe: &'static str,
    works: Uncontrolled,
}

const ALL: &[&[Attack]] = &[kernel::ATTACKS, files::ATTACKS, processes::ATTACKS, network::ATTACKS];

/// The attacks of the tables, each as a whole script in Python with its name.
pub(crate) fn probes() -> Vec<(&'static str, String)> {
    let all = ALL.iter().copied().flatten();
    all.map(|attack| (attack.name, format!("{}\n{}", ground::PRELUDE, attack.probe))).collect()
}

/// Every attack of the tables: outside, then inside.
async fn try_all(backend: Backend, ready: bool) {
    let ground = Ground::new(backend).await;
    let workspace = if ready { ground.open_ready().await } else { ground.open().await };
    let mut wrong = Vec::new();
    let mut tried = 0;
    for attack in ALL.iter().copied().flatten().filter(|attack| backend.is_tried_with(attack)) {
        tried += 1;
        let outside = ground.outside(attack);
        if !outside.contains(ground::SUCCESS) {
            wrong.push(format!("{}: it does not work even outside, so it shows nothing: {outside}", attack.name));
            continue;
        }
        let inside = ground.inside(&workspace, attack).await;
        if inside.contains(ground::SUCCESS) {
            wrong.push(format!("{}: it SUCCEEDED: {inside}", attack.name));
        }
    }
    assert!(wrong.is_empty(), "of {tried} attacks on {backend:?}:\n{}", wrong.join("\n"));
    let alive = crate::support::sandbox::output(&workspace, "echo alive").await;
    assert_eq!(alive, "alive\n");
    ground.assert_mirror_is_as_it_was();
    assert!(tried >= 60, "only {tried}");
}

#[tokio::test(flavor = "multi_thread")]
async fn none_succeeds_in_bubblewrap() {
    try_all(Backend::Bubblewrap, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn none_succeeds_in_a_sandbox_that_was_ready() {
    try_all(Backend::Bubblewrap, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn none_succeeds_in_a_container_that_was_ready() {
    try_all(Backend::Docker, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn none_succeeds_in_a_container() {
    try_all(Backend::Docker, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn none_succeeds_in_a_container_of_podman() {
    try_all(Backend::Podman, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn none_succeeds_under_gvisor() {
    try_all(Backend::Gvisor, false).await;
}

/// For the tests of a cluster.
#[cfg(feature = "kubernetes-cluster")]
pub(crate) async fn in_a_pod() {
    try_all(Backend::Kubernetes, false).await;
    limits::try_all(Backend::Kubernetes).await;
}

#[test]
fn no_two_attacks_have_one_name() {
    let mut names: Vec<&str> = ALL.iter().copied().flatten().map(|attack| attack.name).collect();
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count);
}
