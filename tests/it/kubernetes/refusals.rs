//! API servers that are slow, cut off, wrong, absent or say no, and Pods that never run: each is named, with the mend, within
//! a bounded time, and nothing is left behind.

use super::stand_in::{Answers, StandIn, pod, refused, status};
use axum::http::Method;
use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::Arc,
};

/// Something at an address that is no API server.
fn listener(meet: impl Fn(TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || listener.incoming().flatten().for_each(meet));
    url
}

fn always(answer: &'static str) -> impl Fn(TcpStream) + Send + 'static {
    move |mut stream| {
        let _ = stream.read(&mut [0; 8192]);
        let _ = stream.write_all(answer.as_bytes());
    }
}

/// Takes the Pod and then shows it in this state.
fn shows(state: Value) -> Answers {
    Arc::new(move |method: &Method, _: &str, _| match *method {
        Method::POST => pod(json!({})),
        _ => pod(state.clone()),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_slow_cut_off_wrong_or_absent_is_named_and_not_waited_for_long() {
    let held = std::sync::Mutex::new(Vec::new());
    let slow = listener(move |stream| held.lock().unwrap().push(stream));
    assert!(refused(&slow).await.1.contains("does not answer; see its log"));
    for url in [
        listener(drop),
        listener(always("\0\0\0 this is no HTTP")),
        listener(always("HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{\"kind\":")),
        "http://127.0.0.1:1".to_owned(),
    ] {
        let error = refused(&url).await.1;
        assert!(error.contains("is not reached") && error.contains("see that it runs"), "{error}");
    }
    let wrong = listener(always("HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello"));
    let error = refused(&wrong).await.1;
    assert!(error.contains("what is no API object"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_says_no_to_is_named_with_its_mend() {
    let quota = "pods \"journeyman-1\" is forbidden: exceeded quota: workspaces, requested: pods=1, used: pods=9, limited: pods=9";
    let security = "pods \"journeyman-1\" is forbidden: violates PodSecurity \"restricted:latest\"";
    let cases = [
        (status(401, "Unauthorized", "Unauthorized"), "renew it", 1),
        (status(403, "Forbidden", "pods is forbidden: User \"x\" cannot create resource"), "Role of deploy/base", 1),
        (status(403, "Forbidden", security), "level restricted", 1),
        (status(403, "Forbidden", quota), "ResourceQuota of the namespace", 2),
        (status(404, "NotFound", "namespaces \"journeyman-workspaces\" not found"), "make the namespace", 1),
        (status(409, "AlreadyExists", "pods \"journeyman-1\" already exists"), "AlreadyExists", 4),
        (status(422, "Invalid", "Pod \"journeyman-1\" is invalid: spec.tolerations"), "mend the setting", 1),
        (status(429, "TooManyRequests", "too many requests"), "429 TooManyRequests", 2),
        (status(500, "InternalError", "etcdserver: request timed out"), "etcdserver", 4),
        (status(503, "ServiceUnavailable", "apiserver is shutting down"), "shutting down", 4),
    ];
    for ((code, body), says, tries) in cases {
        let answer = body.clone();
        let server = StandIn::start(Arc::new(move |method: &Method, _: &str, _| match *method {
            Method::POST => (code, answer.clone()),
            _ => status(404, "NotFound", "not found"),
        }))
        .await;
        let error = refused(&server.url).await.1;
        assert!(error.contains(&code.to_string()) && error.contains(says), "{code}, {says}: {error}");
        assert!(server.count("POST") >= tries, "{code}: {} of {tries}", server.count("POST"));
        assert!(server.count("POST") <= 5, "{code}: {}", server.count("POST"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_never_runs_is_told_of_and_taken_away() {
    let waiting = |reason: &str, message: &str| {
        json!({ "phase": "Pending", "containerStatuses": [{
            "name": "workspace", "image": "example/image:1", "imageID": "", "ready": false, "restartCount": 0,
            "state": { "waiting": { "reason": reason, "message": message } },
        }] })
    };
    let terminated = |name: &str, end: Value| {
        json!({ "phase": "Failed", "initContainerStatuses": [{
            "name": name, "image": "example/execd:1", "imageID": "", "ready": false, "restartCount": 0,
            "state": { "terminated": end },
        }] })
    };
    let unscheduled = json!({ "phase": "Pending", "conditions": [{
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
        "message": "0/3 nodes are available: 3 Insufficient memory.",
    }] });
    let cases = [
        (
            waiting("ErrImagePull", "rpc error: manifest unknown"),
            "could not be fetched: ErrImagePull: rpc error: manifest unknown",
            "PULL_SECRETS",
        ),
        (waiting("ImagePullBackOff", "Back-off pulling image"), "ImagePullBackOff", "PULL_SECRETS"),
        (waiting("InvalidImageName", "couldn't parse image reference"), "InvalidImageName", "as registries know it"),
        (
            waiting("ErrImageNeverPull", "is not present with pull policy of Never"),
            "ErrImageNeverPull",
            "KUBERNETES_PULL",
        ),
        (waiting("CreateContainerConfigError", "secret not found"), "CreateContainerConfigError", "describe pod"),
        (waiting("ContainerCreating", ""), "its Pod did not run within 2 s", "describe pod"),
        (
            unscheduled,
            "no node took its Pod within 2 s: 0/3 nodes are available: 3 Insufficient memory.",
            "NODE_SELECTOR",
        ),
        (
            json!({ "phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory." }),
            "its Pod was ended: Evicted: The node was low on resource: memory.",
            "room on disk and memory",
        ),
        (
            json!({ "phase": "Failed", "reason": "DeadlineExceeded", "message": "Pod was active on the node longer than allowed" }),
            "DeadlineExceeded",
            "describe pod",
        ),
        (
            terminated("prepare", json!({ "exitCode": 137, "reason": "OOMKilled" })),
            "its container prepare ended for want of memory with exit code 137",
            "describe pod",
        ),
        (
            terminated(
                "prepare",
                json!({ "exitCode": 128, "reason": "ContainerCannotRun", "message": "exec: \"/usr/local/bin/execd\": no such file" }),
            ),
            "no such file",
            "EXECD_IMAGE",
        ),
        (json!({}), "its Pod did not run within 2 s", "describe pod"),
    ];
    for (state, says, mend) in cases {
        let server = StandIn::start(shows(state)).await;
        let error = refused(&server.url).await.1;
        assert!(error.contains(says) && error.contains(mend), "{says}, {mend}: {error}");
        let asked = server.asked.lock().unwrap().clone();
        let made: Vec<_> = asked.iter().filter(|(method, ..)| method == "POST").collect();
        let gone: Vec<_> = asked.iter().filter(|(method, ..)| method == "DELETE").collect();
        assert_eq!((made.len(), gone.len()), (1, 1), "{says}");
        let name = made[0].2["metadata"]["name"].as_str().unwrap();
        assert!(gone[0].1.ends_with(name), "{says}: {}", gone[0].1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_somebody_deletes_before_it_runs_is_told_of() {
    let server = StandIn::start(Arc::new(|method: &Method, _: &str, _| match *method {
        Method::POST => pod(json!({})),
        _ => status(404, "NotFound", "pods \"journeyman-1\" not found"),
    }))
    .await;
    let error = refused(&server.url).await.1;
    assert!(error.contains("somebody deleted its Pod"), "{error}");
    // Who empties a node does that: another is asked for, twice.
    assert_eq!(server.count("POST"), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_is_asked_for_with_everything_locked() {
    let server = StandIn::start(Arc::new(|_: &Method, _: &str, _| status(422, "Invalid", "seen"))).await;
    refused(&server.url).await;
    let asked = server.asked.lock().unwrap().clone();
    let (_, path, body) = asked.iter().find(|(method, ..)| method == "POST").unwrap();
    assert_eq!(path, "/api/v1/namespaces/journeyman-workspaces/pods");
    let spec = &body["spec"];
    for (name, value) in [
        ("restartPolicy", json!("Never")),
        ("automountServiceAccountToken", json!(false)),
        ("enableServiceLinks", json!(false)),
        ("dnsPolicy", json!("None")),
        ("terminationGracePeriodSeconds", json!(1)),
    ] {
        assert_eq!(spec[name], value, "{name}");
    }
    for name in ["hostNetwork", "hostPID", "hostIPC", "serviceAccountName", "hostUsers"] {
        assert!(spec[name].is_null(), "{name}");
    }
    assert_eq!(spec["securityContext"]["runAsNonRoot"], true);
    assert_eq!(spec["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    assert!(spec["securityContext"]["runAsUser"].as_u64().unwrap() > 1_000);
    let containers = [&spec["initContainers"], &spec["containers"]];
    for container in containers.into_iter().flat_map(|all| all.as_array().unwrap()) {
        let context = &container["securityContext"];
        assert_eq!(context["allowPrivilegeEscalation"], false);
        assert_eq!(context["readOnlyRootFilesystem"], true);
        assert_eq!(context["capabilities"], json!({ "drop": ["ALL"] }));
        for limit in ["cpu", "memory", "ephemeral-storage"] {
            assert!(container["resources"]["limits"][limit].is_string(), "{limit}");
        }
    }
    let volumes = spec["volumes"].as_array().unwrap();
    assert!(volumes.iter().all(|volume| volume["emptyDir"]["sizeLimit"].is_string()), "{volumes:?}");
    let mounts = spec["containers"][0]["volumeMounts"].as_array().unwrap();
    let execd = mounts.iter().find(|mount| mount["mountPath"] == "/.execd").unwrap();
    assert_eq!(execd["readOnly"], true);
    // The digest is of a secret that is not there.
    let command: Vec<&str> =
        spec["containers"][0]["command"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
    assert_eq!(command[..2], ["/.execd/execd", "serve"]);
    assert_eq!(command.last().unwrap().len(), 40);
}
