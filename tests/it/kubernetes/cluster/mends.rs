//! What an operator can get wrong with a cluster, and what a cluster can refuse: each is named, with its mend.

use super::open;
use crate::support::{
    cluster::{self, BUSYBOX, Cluster, NAMESPACE, manifests},
    engine::data_dir,
    sandbox::Copy,
};
use journeyman::{
    net::AddressPolicy,
    workspace::{BackendSettings, ImagePull, Isolation, KubernetesSettings, Sandboxes, Toleration, WorkspaceError},
};
use serde_json::json;
use std::{
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

/// Why a service does not start.
async fn refused(cluster: &Cluster, change: impl FnOnce(&mut KubernetesSettings)) -> String {
    let data_dir = data_dir();
    let mut settings = cluster.settings(data_dir.path(), BUSYBOX);
    if let BackendSettings::Kubernetes(kubernetes) = &mut settings.backend {
        kubernetes.start_time = Duration::from_secs(8);
        kubernetes.pull_time = Duration::from_secs(2);
        kubernetes.away_time = Duration::from_secs(1);
        change(kubernetes);
    }
    let error = Sandboxes::new(settings).await.unwrap_err();
    let WorkspaceError::Setup { .. } = error else { panic!("{error:?}") };
    error.to_string()
}

#[tokio::test]
async fn what_an_operator_can_get_wrong_is_named_with_its_mend() {
    let cluster = cluster::shared().await;
    type Change = Box<dyn FnOnce(&mut KubernetesSettings)>;
    let stranger = cluster.kubeconfig_of("of-nobody");
    let cases: Vec<(Change, &str, &str)> = vec![
        (Box::new(|set| set.image = "no/such:image".to_owned()), "ErrImageNeverPull", "JOURNEYMAN_KUBERNETES_PULL"),
        (
            Box::new(|set| {
                set.image = "registry.invalid/no/such:image".to_owned();
                set.pull = ImagePull::Missing;
            }),
            "the image \"registry.invalid/no/such:image\" could not be fetched",
            "JOURNEYMAN_KUBERNETES_PULL_SECRETS",
        ),
        (
            Box::new(|set| set.execd_image = BUSYBOX.to_owned()),
            "/usr/local/bin/execd",
            "JOURNEYMAN_KUBERNETES_EXECD_IMAGE",
        ),
        (
            Box::new(|set| set.runtime_class = Some("gvisor".to_owned())),
            "RuntimeClass",
            "JOURNEYMAN_KUBERNETES_RUNTIME_CLASS",
        ),
        (
            Box::new(|set| set.node_selector = [("disk".to_owned(), "ssd".to_owned())].into()),
            "no node took its Pod within 8 s",
            "JOURNEYMAN_KUBERNETES_NODE_SELECTOR",
        ),
        (Box::new(|set| set.namespace = "default".to_owned()), "403 Forbidden", "Role of deploy/base"),
        (Box::new(move |set| set.kubeconfig = Some(stranger)), "401 Unauthorized", "renew it"),
        (
            Box::new(|set| set.kubeconfig = Some("/no/such/file".into())),
            "/no/such/file",
            "JOURNEYMAN_KUBERNETES_CONFIG",
        ),
        (Box::new(|set| set.kubeconfig = None), "is not known", "JOURNEYMAN_KUBERNETES_CONFIG"),
        (
            Box::new(|set| {
                set.tolerations =
                    vec![Toleration { key: "-".to_owned(), value: None, effect: Some("NoSchedule".to_owned()) }];
            }),
            "422 Invalid",
            "mend the setting",
        ),
    ];
    for (change, says, mend) in cases {
        let begun = Instant::now();
        let error = refused(cluster, change).await;
        assert!(error.contains(says) && error.contains(mend), "{says}, {mend}: {error}");
        assert!(begun.elapsed() < Duration::from_secs(60), "{says}: {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn a_pod_is_made_of_no_image_that_the_operator_does_not_let_tasks_name() {
    let cluster = cluster::shared().await;
    let with = |change: fn(&mut KubernetesSettings)| {
        Copy::with(move |data_dir| {
            let mut settings = cluster.settings(data_dir, BUSYBOX);
            if let BackendSettings::Kubernetes(kubernetes) = &mut settings.backend {
                change(kubernetes);
            }
            settings
        })
    };
    let usual = with(|_| {}).await;
    let team = with(|set| set.allowed_images = vec!["docker.io/journeyman-test/host".parse().unwrap()]).await;
    let anywhere = with(|set| {
        set.allowed_images = vec!["*".parse().unwrap()];
        let names = [("registry.test".to_owned(), vec![IpAddr::V4(Ipv4Addr::LOCALHOST)])];
        set.policy = AddressPolicy::default().with_names(names.into());
    })
    .await;
    let setting = "JOURNEYMAN_KUBERNETES_ALLOWED_IMAGES";
    for (copy, image, says) in [
        (&usual, "registry.example.org/x", setting),
        (&usual, "ghcr.io.example.org/x", setting),
        (&usual, "localhost/x", setting),
        (&usual, "169.254.169.254/latest/meta-data", setting),
        (&usual, "UPPER CASE", "is no name of an image"),
        (&team, "journeyman-test/execd", setting),
        (&anywhere, "127.0.0.1:5000/x", setting),
        (&anywhere, "registry.test:5000/x", "private, loopback"),
    ] {
        let mut options = copy.options();
        options.image = Some(image.to_owned());
        let error = copy.sandboxes.open(options).await.unwrap_err();
        let WorkspaceError::Refused { why } = &error else { panic!("{image}: {error:?}") };
        assert!(why.contains(says) && why.contains(image), "{image}: {why}");
        assert_eq!(cluster.pods(&copy.task.to_string()).await, [""; 0], "{image}");
    }
    // The operator's own needs no permission, and a name is told to nodes whole.
    for (image, told) in [(BUSYBOX, BUSYBOX), ("journeyman-test/host", "docker.io/journeyman-test/host:latest")] {
        let mut options = team.options();
        options.image = Some(image.to_owned());
        let workspace = team.sandboxes.open(options).await.unwrap();
        let name = cluster.pods(&team.task.to_string()).await.remove(0);
        let pod = cluster.get(&format!("/api/v1/namespaces/{NAMESPACE}/pods/{name}")).await;
        assert_eq!(pod["spec"]["containers"][0]["image"], told);
        workspace.close().await;
    }
}

#[tokio::test]
async fn a_network_that_lets_workspaces_through_is_refused() {
    let (cluster, _copy, workspace) = open(BUSYBOX).await;
    drop(workspace);
    cluster.open_network(true);
    let error = refused(cluster, |_| {}).await;
    assert!(error.contains("gets through to 198.18."), "{error}");
    assert!(error.contains("JOURNEYMAN_KUBERNETES_NETWORK=unchecked"), "{error}");
    let data_dir = data_dir();
    let mut settings = cluster.settings(data_dir.path(), BUSYBOX);
    if let BackendSettings::Kubernetes(kubernetes) = &mut settings.backend {
        kubernetes.isolation = Isolation::Unchecked;
    }
    let taken = Sandboxes::new(settings).await;
    cluster.open_network(false);
    let lines = taken.unwrap().capabilities().lines;
    let network = lines.iter().find(|line| line.name == "network").unwrap();
    assert!(!network.holds && network.detail.contains("get through to"), "{network:?}");
}

#[tokio::test]
async fn a_pod_that_the_quota_has_no_room_for_waits_for_it() {
    let (cluster, copy, _workspace) = open(BUSYBOX).await;
    let path = format!("/api/v1/namespaces/{NAMESPACE}/resourcequotas/full");
    let full = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": { "name": "full", "namespace": NAMESPACE },
        "spec": { "hard": { "pods": "0" } },
    });
    cluster.make(&full, "").await;
    let error = refused(cluster, |_| {}).await;
    assert!(error.contains("exceeded quota") && error.contains("ResourceQuota of the namespace"), "{error}");
    let opening = copy.sandboxes.open(copy.options());
    let room = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        cluster.send("DELETE", &path, &serde_json::Value::Null).await.unwrap();
    };
    let (opened, ()) = tokio::join!(opening, room);
    opened.unwrap();
}

#[tokio::test]
async fn what_deploy_asks_for_is_taken_by_the_api_server() {
    let cluster = cluster::shared().await;
    let mut kinds = Vec::new();
    for mut object in manifests() {
        kinds.push(object["kind"].as_str().unwrap().to_owned());
        // What is there already is not made again.
        let name = object["metadata"]["name"].as_str().unwrap();
        object["metadata"]["name"] = json!(format!("{name}-tried"));
        cluster.make(&object, "?dryRun=All").await;
    }
    kinds.sort();
    kinds.dedup();
    assert_eq!(
        kinds,
        [
            "ConfigMap",
            "Deployment",
            "LimitRange",
            "Namespace",
            "NetworkPolicy",
            "PersistentVolumeClaim",
            "ResourceQuota",
            "Role",
            "RoleBinding",
            "Service",
            "ServiceAccount"
        ]
    );
}

#[tokio::test]
async fn the_service_s_account_may_do_nothing_else() {
    let cluster = cluster::shared().await;
    let account = "system:serviceaccount:journeyman:journeyman";
    let review = |namespace: &str, verb: &str, resource: &str, subresource: &str| {
        json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
            "spec": { "user": account, "groups": ["system:serviceaccounts", "system:authenticated"], "resourceAttributes": {
                "namespace": namespace, "verb": verb, "resource": resource, "subresource": subresource,
            } },
        })
    };
    let mut allowed = Vec::new();
    for namespace in [NAMESPACE, "journeyman", "kube-system", ""] {
        for (resource, subresource) in [
            ("pods", ""),
            ("pods", "exec"),
            ("pods", "attach"),
            ("pods", "portforward"),
            ("pods", "log"),
            ("pods", "ephemeralcontainers"),
            ("secrets", ""),
            ("configmaps", ""),
            ("serviceaccounts", ""),
            ("serviceaccounts", "token"),
            ("nodes", ""),
            ("nodes", "proxy"),
            ("namespaces", ""),
            ("networkpolicies", ""),
            ("resourcequotas", ""),
            ("services", ""),
            ("deployments", ""),
            ("roles", ""),
        ] {
            for verb in
                ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "impersonate"]
            {
                let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
                let answer = cluster.send("POST", path, &review(namespace, verb, resource, subresource)).await.unwrap();
                if answer["status"]["allowed"] == true {
                    allowed.push(format!("{namespace} {verb} {resource} {subresource}").trim().to_owned());
                }
            }
        }
    }
    let ours = ["get pods", "list pods", "create pods", "delete pods", "get pods exec", "create pods exec"];
    assert_eq!(allowed, ours.map(|what| format!("{NAMESPACE} {what}")));
}
