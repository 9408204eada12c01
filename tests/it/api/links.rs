//! Accounts elsewhere, tasks for others, and keys that follow others.

use super::harness::{ADMIN, Server, server};
use journeyman::domain::{Role, Scope, linked_account::Provider};
use journeyman::store::linked_accounts;
use serde_json::{Value, json};

async fn resolved(server: &Server, provider: Provider, host: Option<&str>, login: &str) -> Vec<Value> {
    let mut tx = server.store.team(server.team("default").await).await.unwrap();
    let found = linked_accounts::resolve(&mut tx, provider, host, login).await.unwrap();
    found.into_iter().map(|user| json!(user)).collect()
}

/// Who comes by with this login and this account's id.
async fn met(server: &Server, host: Option<&str>, login: &str, account: &str) -> Vec<Value> {
    let mut tx = server.store.team(server.team("default").await).await.unwrap();
    let found = linked_accounts::meet(&mut tx, Provider::Github, host, login, account).await.unwrap();
    tx.commit().await.unwrap();
    found.into_iter().map(|user| json!(user)).collect()
}

/// Logins can be given up and taken by others; the id of an account is nobody else's.
#[tokio::test]
async fn an_account_is_known_by_its_id_once_it_was_met() {
    let server = server().await;
    let (bob, _) = server.user("default", "bob", Role::Member, None).await;
    let link = json!({ "provider": "github", "login": "octobob", "user": bob });
    let id = server.post("/v1/linked_accounts", ADMIN, &link).await.expect(201).id();
    let (host, nobody) = (Some("github.com"), [] as [Value; 0]);
    assert_eq!(met(&server, host, "octobob", "17").await, nobody, "it is not confirmed");
    server.post(&format!("/v1/linked_accounts/{id}/confirm"), ADMIN, &json!({})).await.expect(200);
    // Of a host that is not known an id says nothing.
    assert_eq!(met(&server, None, "octobob", "99").await, [json!(bob)]);
    assert_eq!(met(&server, host, "OctoBob", "17").await, [json!(bob)]);
    assert_eq!(met(&server, host, "octobob", "18").await, nobody, "somebody else has taken the name");
    assert_eq!(met(&server, host, "bob-the-builder", "17").await, [json!(bob)], "he has another name now");
    assert_eq!(met(&server, host, "", "17").await, [json!(bob)]);
    assert_eq!(met(&server, Some("git.example.org"), "octobob", "17").await, nobody);
    assert_eq!(met(&server, host, "octobob", "").await, nobody);
    // A name that is linked to somebody else says less than the id.
    let (eve, _) = server.user("default", "eve", Role::Member, None).await;
    let link_of_eve = json!({ "provider": "github", "login": "bob-the-builder", "user": eve });
    let of_eve = server.post("/v1/linked_accounts", ADMIN, &link_of_eve).await.expect(201).id();
    server.post(&format!("/v1/linked_accounts/{of_eve}/confirm"), ADMIN, &json!({})).await.expect(200);
    assert_eq!(met(&server, host, "bob-the-builder", "17").await, [json!(bob)]);
    assert_eq!(met(&server, host, "bob-the-builder", "19").await, [json!(eve)]);
    // Whom a tool names has no id.
    assert_eq!(resolved(&server, Provider::Github, None, "octobob").await, [json!(bob)]);
    // A link that is made anew is met anew.
    server.delete(&format!("/v1/linked_accounts/{id}"), ADMIN).await.expect(204);
    let id = server.post("/v1/linked_accounts", ADMIN, &link).await.expect(201).id();
    server.post(&format!("/v1/linked_accounts/{id}/confirm"), ADMIN, &json!({})).await.expect(200);
    assert_eq!(met(&server, host, "octobob", "18").await, [json!(bob)]);
}

#[tokio::test]
async fn a_link_means_its_user_once_somebody_else_than_who_proposed_it_confirms() {
    let server = server().await;
    let (bob, bobs) = server.user("default", "bob", Role::Viewer, None).await;
    let (_, eves) = server.user("default", "eve", Role::Member, None).await;
    let own = json!({ "provider": "github", "login": "@Octobob" });
    let made = server.post("/v1/linked_accounts", &bobs, &own).await.expect(201);
    let path = format!("/v1/linked_accounts/{}", made.id());
    assert_eq!(made.header("location"), Some(path.as_str()));
    let mut made = made.json();
    for field in ["id", "created_at"] {
        assert!(made[field].take().is_string());
    }
    assert_eq!(
        made,
        json!({ "id": null, "user": bob, "provider": "github", "host": "github.com", "login": "Octobob",
            "state": "proposed", "proposed_by": bob, "confirmed_by": null, "created_at": null, "confirmed_at": null })
    );
    assert_eq!(resolved(&server, Provider::Github, None, "octobob").await, [] as [Value; 0]);
    server.post(&format!("{path}/confirm"), &bobs, &json!({})).await.expect(403);
    for (key, status) in [(&eves, 404), (&bobs, 200)] {
        server.get(&path, key).await.expect(status);
    }
    server.post(&format!("{path}/confirm"), &eves, &json!({})).await.expect(404);
    server.delete(&path, &eves).await.expect(404);
    let taken = server.post("/v1/linked_accounts", &eves, &json!({ "provider": "github", "login": "OCTOBOB" })).await;
    assert_eq!(taken.expect(409).json()["code"], "already_linked");
    let confirmed = server.post(&format!("{path}/confirm"), ADMIN, &json!({})).await.expect(200).json();
    assert_eq!((&confirmed["state"], confirmed["confirmed_at"].is_string()), (&json!("confirmed"), true));
    let again = server.post(&format!("{path}/confirm"), ADMIN, &json!({})).await.expect(200).json();
    assert_eq!(again, confirmed);
    for (host, login, users) in [
        (None, "octoBOB", vec![json!(bob)]),
        (Some("github.com"), "octobob", vec![json!(bob)]),
        (Some("github.example.org"), "octobob", vec![]),
        (None, "octoboB2", vec![]),
    ] {
        assert_eq!(resolved(&server, Provider::Github, host, login).await, users, "{host:?} {login}");
    }
    // What an admin says of a member he confirms himself.
    let of_bob = json!({ "provider": "jira", "host": "Tracker.example.org", "login": "557058:bob", "user": bob });
    server.post("/v1/linked_accounts", &eves, &of_bob).await.expect(403);
    let second = server.post("/v1/linked_accounts", ADMIN, &of_bob).await.expect(201).id();
    server.post(&format!("/v1/linked_accounts/{second}/confirm"), &bobs, &json!({})).await.expect(200);
    assert_eq!(resolved(&server, Provider::Jira, Some("tracker.example.org"), "557058:BOB").await, [json!(bob)]);
    let count = async |key: &str, query: &str| {
        let list = server.get(&format!("/v1/linked_accounts{query}"), key).await.expect(200).json();
        list["data"].as_array().unwrap().len()
    };
    assert_eq!((count(&bobs, "").await, count(&eves, "").await, count(ADMIN, "").await), (2, 0, 2));
    assert_eq!((count(ADMIN, "?state=proposed").await, count(ADMIN, "?state=confirmed").await), (0, 2));
    assert_eq!(server.get("/v1/linked_accounts?state=odd", ADMIN).await.pointers(), ["/state"]);
    server.delete(&format!("/v1/members/{bob}"), ADMIN).await.expect(204);
    assert_eq!(count(ADMIN, "").await, 0, "links go with the member");
    for (body, pointer) in [
        (json!({ "provider": "gitea", "login": "x" }), "/host"),
        (json!({ "provider": "gitea", "login": "x", "host": "a b" }), "/host"),
        (json!({ "provider": "github", "login": "a b" }), "/login"),
        (json!({ "provider": "github", "login": "" }), "/login"),
        (json!({ "provider": "sourceforge", "login": "x" }), "/provider"),
        (json!({ "provider": "github", "login": "x", "user": bob }), "/user"),
    ] {
        assert_eq!(server.post("/v1/linked_accounts", ADMIN, &body).await.pointers(), [pointer], "{body}");
    }
}

#[tokio::test]
async fn links_of_another_team_are_not_there() {
    let server = server().await;
    let (_, stranger) = server.user("strangers", "sam", Role::Admin, None).await;
    let own = json!({ "provider": "github", "login": "ours" });
    let path =
        format!("/v1/linked_accounts/{}", server.post("/v1/linked_accounts", ADMIN, &own).await.expect(201).id());
    server.get(&path, &stranger).await.expect(404);
    server.post(&format!("{path}/confirm"), &stranger, &json!({})).await.expect(404);
    server.delete(&path, &stranger).await.expect(404);
    // The same login may be somebody else's there.
    server.post("/v1/linked_accounts", &stranger, &own).await.expect(201);
    server.delete(&path, ADMIN).await.expect(204);
    server.get(&path, ADMIN).await.expect(404);
}

#[tokio::test]
async fn a_key_for_it_makes_tasks_for_the_person_it_serves() {
    let server = server().await;
    let (bob, bobs) = server.user("default", "bob", Role::Member, None).await;
    let (vera, _) = server.user("default", "vera", Role::Viewer, None).await;
    let (sam, _) = server.user("strangers", "sam", Role::Member, None).await;
    let (gone, _) = server.user("default", "gone", Role::Member, None).await;
    let (_, operator) = server.operator("strangers", "olga").await;
    let both = [Scope::TasksRead, Scope::TasksWrite, Scope::TasksDelegate];
    let (tool, tools) = server.user("default", "tool", Role::Admin, Some(&both)).await;
    let (_, little) = server.user("default", "little", Role::Member, Some(&both)).await;
    let behalf = |of: &Value| json!({ "request": "Do it", "on_behalf_of": of });
    let link = json!({ "provider": "github", "login": "octobob", "user": bob });
    let link = server.post("/v1/linked_accounts", ADMIN, &link).await.expect(201).id();
    assert_eq!(server.post("/v1/tasks", &tools, &behalf(&json!("github:octobob"))).await.pointers(), ["/on_behalf_of"]);
    server.post(&format!("/v1/linked_accounts/{link}/confirm"), ADMIN, &json!({})).await.expect(200);
    for of in [json!(bob), json!("github:OctoBob")] {
        let task = server.post("/v1/tasks", &tools, &behalf(&of)).await.expect(201).json();
        assert_eq!(task["created_by"], json!({ "id": bob, "name": "bob" }));
        let path = format!("/v1/tasks/{}/events", task["id"].as_str().unwrap());
        let created = server.get(&path, ADMIN).await.json()["data"][0]["data"].clone();
        assert_eq!(
            (&created["author"], &created["requested_by"]),
            (&json!("bob"), &json!({ "id": tool, "name": "tool" }))
        );
    }
    let mine = server.get("/v1/tasks?created_by=me", &bobs).await.expect(200).json();
    assert_eq!(mine["data"].as_array().unwrap().len(), 2);
    let log = server.get("/v1/audit_log?action=task.delegated", ADMIN).await.expect(200).json();
    assert_eq!(log["data"].as_array().unwrap().len(), 2, "{log:#}");
    assert_eq!(log["data"][0]["actor"]["on_behalf_of"]["id"], json!(bob), "{log:#}");
    server.post(&format!("/v1/users/{gone}/deactivate"), &operator, &json!({})).await.expect(200);
    for (of, why) in [
        (json!(sam), "no member of your team"),
        (json!("018f0000-0000-7000-8000-000000000000"), "no member of your team"),
        (json!("nobody@example.org"), "no member of your team"),
        (json!("github:nobody"), "no member of your team"),
        (json!(gone), "deactivated"),
    ] {
        let refused = server.post("/v1/tasks", &tools, &behalf(&of)).await;
        assert_eq!(refused.pointers(), ["/on_behalf_of"], "{of}");
        assert!(refused.json()["errors"][0]["detail"].as_str().unwrap().contains(why), "{of}");
    }
    let less = server.post("/v1/tasks", &tools, &behalf(&json!(vera))).await.expect(403).json();
    assert_eq!(less["detail"], "on_behalf_of: vera is a viewer and may not make tasks");
    // Neither may do more than the other.
    let me = server.get("/v1/me", ADMIN).await.json()["user"]["id"].clone();
    for (key, of) in [(&tools, json!(bob)), (&little, me)] {
        let mut body = behalf(&of);
        body["network"] = json!({ "mode": "open" });
        server.post("/v1/tasks", key, &body).await.expect(403);
    }
    // Nobody has it by his role, and an admin alone gives it.
    server.post("/v1/tasks", ADMIN, &behalf(&json!(bob))).await.expect(403);
    let wanted = json!({ "name": "tool", "scopes": ["tasks:write", "tasks:delegate"] });
    server.post("/v1/api_keys", &bobs, &wanted).await.expect(403);
    let made = server.post("/v1/api_keys", ADMIN, &wanted).await.expect(201).json();
    server.post("/v1/tasks", made["key"].as_str().unwrap(), &behalf(&json!(bob))).await.expect(201);
}

#[tokio::test]
async fn a_rotated_key_goes_on_beside_the_new_one_for_a_while() {
    let server = server().await;
    let (_, bobs) = server.user("default", "bob", Role::Member, None).await;
    let body = json!({ "name": "ci", "scopes": ["tasks:read", "admin"], "expires_at": "2999-01-01T00:00:00Z" });
    let old = server.post("/v1/api_keys", &bobs, &body).await.expect(201).json();
    assert_eq!(old["follows"], Value::Null);
    let (path, old_key) = (format!("/v1/api_keys/{}", old["id"].as_str().unwrap()), old["key"].as_str().unwrap());
    server.post(&format!("{path}/rotate"), ADMIN, &json!({})).await.expect(403);
    let make = || {
        let request = server.request(reqwest::Method::POST, &format!("{path}/rotate"), old_key);
        server.send(request.json(&json!({ "overlap_seconds": 3600 })).header("idempotency-key", "turn"))
    };
    let (new, again) = (make().await.expect(201), make().await.expect(201));
    assert_eq!(new.bytes, again.bytes);
    let new = new.json();
    let new_key = new["key"].as_str().unwrap();
    assert!(new_key != old_key && new_key.starts_with("jm_") && new_key.len() == 46);
    assert_eq!((&new["name"], &new["scopes"], &new["follows"]["id"]), (&old["name"], &old["scopes"], &old["id"]));
    assert!(new["expires_at"].as_str().unwrap() > "2990", "{new:#}");
    for key in [old_key, new_key] {
        server.get("/v1/me", key).await.expect(200);
    }
    let shown = server.get(&path, &bobs).await.expect(200).json();
    assert_eq!((&shown["followed_by"], &shown["expires_at"]), (&new["id"], &new["follows"]["expires_at"]));
    let twice = server.post(&format!("{path}/rotate"), &bobs, &json!({})).await.expect(409);
    assert_eq!(twice.json()["code"], "rotated");
    let newer = format!("/v1/api_keys/{}/rotate", new["id"].as_str().unwrap());
    let (_, little) = server.user("default", "bob", Role::Member, Some(&[Scope::Admin])).await;
    server.post(&newer, &little, &json!({})).await.expect(403);
    assert_eq!(
        server.post(&newer, &bobs, &json!({ "overlap_seconds": 2_592_001 })).await.pointers(),
        ["/overlap_seconds"]
    );
    let last = server.post(&newer, &bobs, &json!({ "overlap_seconds": 0 })).await.expect(201).json();
    server.get("/v1/me", new_key).await.expect(401);
    server.get("/v1/me", last["key"].as_str().unwrap()).await.expect(200);
}
