//! Real hosts: over TLS with a token, over SSH with a key, and hosts that are away or say no.

use super::{
    branches, came, commits,
    crashes::{credential, over_https, over_https_for},
    publish, rested,
};
use crate::{
    repository::{
        House,
        servers::{Ssh, user_name},
    },
    support::service::{Ground, git},
};
use serde_json::json;

const FILES: [(&str, &str); 1] = [("calc.py", "def add(a, b):\n    return a - b\n")];

#[tokio::test(flavor = "multi_thread")]
async fn a_token_pushes_over_tls_and_without_one_the_mend_is_said() {
    let house = House::new();
    let remote = house.remote("calc", &FILES);
    let (ground, server, url) = over_https(&house).await;
    let service = ground.start().await;
    let api = service.api();
    let (status, made) = api.post("/v1/git_credentials", &credential(&server, "a-token-that-opens")).await;
    assert_eq!(status, 201, "{made:#}");
    let made = made["id"].as_str().unwrap().to_owned();
    let id = rested(&api, &json!({ "request": "mend it", "repository": { "url": url } })).await;
    let accepted = publish(&api, &id, &json!({})).await;
    let done = came(&api, &id, &accepted, &["done", "failed"]).await;
    assert_eq!(done["state"], "done", "{done:#}");
    let branch = accepted["branch"].as_str().unwrap();
    assert_eq!(git(&remote, &["rev-parse", branch]).trim(), done["commit"]);
    assert_eq!(commits(&remote, &format!("main..{branch}")), 1);
    assert!(server.requests().contains("200 /calc/git-receive-pack bot"), "{}", server.requests());

    // The wrong one, and none: the host's no is told at once, with what to do.
    let path = format!("/v1/git_credentials/{made}");
    let body = json!({ "secret": "a-canary-that-does-not" });
    let edited = api.http.patch(format!("{}{path}", api.base)).bearer_auth(&api.key).json(&body).send().await.unwrap();
    assert_eq!(edited.status(), 200);
    let accepted = publish(&api, &id, &json!({ "branch": "journeyman/wrong" })).await;
    let failed = came(&api, &id, &accepted, &["done", "failed"]).await;
    assert_eq!(failed["state"], "failed", "{failed:#}");
    assert!(failed["reason"].as_str().unwrap().contains(&format!("PATCH /v1/git_credentials/{made}")), "{failed:#}");
    let gone = api.http.delete(format!("{}{path}", api.base)).bearer_auth(&api.key).send().await.unwrap();
    assert_eq!(gone.status(), 204);
    let accepted = publish(&api, &id, &json!({ "branch": "journeyman/none" })).await;
    let failed = came(&api, &id, &accepted, &["done", "failed"]).await;
    assert!(failed["reason"].as_str().unwrap().contains("POST /v1/git_credentials"), "{failed:#}");
    let events = serde_json::to_string(&api.events(&id).await).unwrap();
    assert!(!events.contains("a-token-that-opens") && !events.contains("a-canary"), "{events}");
    assert_eq!(branches(&remote), [branch]);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_integrations_token_opens_its_own_forge_and_no_other_port_of_it() {
    let house = House::new();
    let remote = house.remote("calc", &FILES);
    let (ground, server, url) = over_https_for(&house, "x-oauth-basic").await;
    let service = ground.start().await;
    let api = service.api();
    let host = credential(&server, "")["host"].as_str().unwrap().to_owned();
    let integration = json!({ "name": "forge", "tracker": "gitea", "secret": "a-secret-of-the-hooks",
        "base_url": "https://localhost:1", "token": "a-token-that-opens", "repositories": { "team/calc": { "url": url } } });
    let (status, made) = api.post("/v1/integrations", &integration).await;
    assert_eq!(status, 201, "{made:#}");
    let closed = api.create(&json!({ "request": "mend it", "repository": { "url": url } })).await;
    let task = api.rest(&closed).await;
    assert_eq!(task["status"], "failed", "{task:#}");
    assert!(
        !server.requests().contains(" 200 ") && !server.requests().contains("x-oauth-basic"),
        "{}",
        server.requests()
    );

    let path = format!("{}/v1/integrations/{}", api.base, made["id"].as_str().unwrap());
    let edit = json!({ "base_url": format!("https://{host}"), "token": "a-token-that-opens" });
    assert_eq!(api.http.patch(path).bearer_auth(&api.key).json(&edit).send().await.unwrap().status(), 200);
    let id = rested(&api, &json!({ "request": "mend it", "repository": { "url": url } })).await;
    let accepted = publish(&api, &id, &json!({})).await;
    let done = came(&api, &id, &accepted, &["done", "failed"]).await;
    assert_eq!(done["state"], "done", "{done:#}");
    assert_eq!(branches(&remote), [accepted["branch"].as_str().unwrap()]);
    assert!(server.requests().contains("200 /calc/git-receive-pack x-oauth-basic"), "{}", server.requests());
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_away_is_tried_again_and_then_told() {
    let house = House::new();
    house.remote("calc", &FILES);
    let (ground, server, url) = over_https(&house).await;
    let service = ground.start().await;
    let api = service.api();
    api.post("/v1/git_credentials", &credential(&server, "a-token-that-opens")).await;
    let id = rested(&api, &json!({ "request": "mend it", "repository": { "url": url } })).await;
    drop(server);
    let accepted = publish(&api, &id, &json!({})).await;
    let failed = came(&api, &id, &accepted, &["done", "failed"]).await;
    assert_eq!(failed["state"], "failed", "{failed:#}");
    assert!(failed["reason"].as_str().unwrap().contains("given up after 3 tries"), "{failed:#}");
    let task = api.get(&format!("/v1/tasks/{id}")).await.1;
    assert_eq!((&task["status"], &task["result"]["branch"]), (&json!("succeeded"), &json!(null)));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_host_does_not_take_is_told_in_its_own_words() {
    let house = House::new();
    let remote = house.remote("calc", &FILES);
    let hook = remote.join(".git/hooks/pre-receive");
    std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
    std::fs::write(&hook, "#!/bin/sh\necho 'branches need a ticket' >&2\nexit 1\n").unwrap();
    std::fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let (ground, server, url) = over_https(&house).await;
    let service = ground.start().await;
    let api = service.api();
    api.post("/v1/git_credentials", &credential(&server, "a-token-that-opens")).await;
    let id = rested(&api, &json!({ "request": "mend it", "repository": { "url": url } })).await;
    let accepted = publish(&api, &id, &json!({})).await;
    let failed = came(&api, &id, &accepted, &["done", "failed"]).await;
    assert_eq!(failed["state"], "failed", "{failed:#}");
    assert!(failed["reason"].as_str().unwrap().contains("branches need a ticket"), "{failed:#}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_pushes_over_ssh() {
    let house = House::new();
    let remote = house.remote("calc", &FILES);
    let server = Ssh::start(&house, "ed25519").await;
    let mut ground = Ground::new(&super::the_script()).await;
    ground.variables.push(("JOURNEYMAN_PRIVATE_HOSTS".to_owned(), "localhost,127.0.0.1".to_owned()));
    let service = ground.start().await;
    let api = service.api();
    let body = json!({ "host": format!("localhost:{}", server.port), "kind": "ssh", "username": user_name(),
        "secret": server.key, "known_hosts": server.known_hosts });
    let (status, made) = api.post("/v1/git_credentials", &body).await;
    assert_eq!(status, 201, "{made:#}");
    let url = server.url(&remote, None);
    let id = rested(&api, &json!({ "request": "mend it", "repository": { "url": url } })).await;
    let accepted = publish(&api, &id, &json!({ "branch": "journeyman/by-key" })).await;
    let done = came(&api, &id, &accepted, &["done", "failed"]).await;
    assert_eq!(done["state"], "done", "{done:#}");
    assert_eq!(git(&remote, &["rev-parse", "journeyman/by-key"]).trim(), done["commit"]);
    assert_eq!(commits(&remote, "main..journeyman/by-key"), 1);
    service.stop().await;
}
