//! Teams and their members, and what operators of the instance may.

use super::harness::{ADMIN, claims, server, token};
use journeyman::domain::{Role, Scope};
use reqwest::Method;
use serde_json::{Value, json};

fn names(list: &Value) -> Vec<&str> {
    list["data"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn an_operator_makes_teams_and_sees_them_all() {
    let server = server().await;
    let (olga, operator) = server.operator("default", "olga").await;
    let (sam, _) = server.user("strangers", "sam", Role::Member, None).await;
    let made =
        server.post("/v1/teams", &operator, &json!({ "name": " Platform ", "limits": { "queued_tasks": 5 } })).await;
    let made = made.expect(201);
    let team = made.id();
    assert_eq!(made.header("location"), Some(format!("/v1/teams/{team}").as_str()));
    let made = made.json();
    assert_eq!((&made["name"], &made["limits"]), (&json!("Platform"), &json!({ "queued_tasks": 5 })));
    let taken = server.post("/v1/teams", &operator, &json!({ "name": "Platform" })).await.expect(409);
    assert_eq!(taken.json()["code"], "name_taken");
    server.post("/v1/teams", &operator, &json!({ "name": "Sam's", "admin": { "id": sam } })).await.expect(201);
    let first = server.get("/v1/teams?limit=3", &operator).await.expect(200).json();
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = server.get(&format!("/v1/teams?cursor={cursor}"), &operator).await.expect(200).json();
    let mut all = [names(&first), names(&rest)].concat();
    all.sort_unstable();
    assert_eq!(all, ["Platform", "Sam's", "default", "strangers"]);
    let changed = server.patch(&format!("/v1/teams/{team}"), &operator, &json!({ "name": "Base" })).await.expect(200);
    assert_eq!(changed.json()["name"], "Base");
    server.delete(&format!("/v1/teams/{team}"), &operator).await.expect(204);
    server.get(&format!("/v1/teams/{team}"), &operator).await.expect(404);
    server.delete(&format!("/v1/teams/{team}"), &operator).await.expect(404);
    let own = server.get("/v1/me", &operator).await.json()["team"]["id"].as_str().unwrap().to_owned();
    assert_eq!(server.delete(&format!("/v1/teams/{own}"), &operator).await.expect(409).json()["code"], "own_team");
    assert!(server.get("/v1/me", &operator).await.json()["operator"].as_bool().unwrap());
    assert_eq!(server.get("/v1/me", &operator).await.json()["user"]["id"], json!(olga));
}

#[tokio::test]
async fn a_team_with_tasks_is_not_deleted() {
    let server = server().await;
    let (_, operator) = server.operator("default", "olga").await;
    let (_, sam) = server.user("strangers", "sam", Role::Member, None).await;
    let task = server.task(&sam, "Something").await;
    let team = server.get("/v1/me", &sam).await.json()["team"]["id"].as_str().unwrap().to_owned();
    let refused = server.delete(&format!("/v1/teams/{team}"), &operator).await.expect(409);
    assert_eq!(refused.json()["code"], "team_has_tasks");
    server.post(&format!("/v1/tasks/{task}/cancel"), &sam, &json!({})).await.expect(202);
    server.delete(&format!("/v1/tasks/{task}"), &sam).await.expect(204);
    server.delete(&format!("/v1/teams/{team}"), &operator).await.expect(204);
    server.get("/v1/me", &sam).await.expect(401);
}

#[tokio::test]
async fn what_is_an_operators_is_refused_to_admins_whatever_they_name() {
    let server = server().await;
    assert_eq!(server.get("/v1/me", ADMIN).await.json()["operator"], true, "the first admin is one");
    let (_, ann) = server.user("default", "ann", Role::Admin, None).await;
    let (_, little) = server.user("default", "admin", Role::Admin, Some(&[Scope::TasksRead, Scope::TasksWrite])).await;
    let (sam, _) = server.user("strangers", "sam", Role::Admin, None).await;
    let foreign = server.team("strangers").await;
    let unknown = "018f0000-0000-7000-8000-000000000000";
    for (method, path, body) in [
        (Method::POST, "/v1/teams".to_owned(), Some(json!({ "name": "mine" }))),
        (Method::DELETE, format!("/v1/teams/{foreign}"), None),
        (Method::DELETE, format!("/v1/teams/{unknown}"), None),
        (Method::GET, "/v1/users".to_owned(), None),
        (Method::GET, format!("/v1/users/{sam}"), None),
        (Method::GET, format!("/v1/users/{unknown}"), None),
        (Method::POST, format!("/v1/users/{sam}/deactivate"), None),
        (Method::POST, format!("/v1/users/{sam}/reactivate"), None),
        (Method::GET, "/v1/usage?of=instance".to_owned(), None),
    ] {
        let ask = async |key: &str| {
            let mut request = server.request(method.clone(), &path, key);
            if let Some(body) = &body {
                request = request.json(body);
            }
            server.send(request).await.expect(403).json()["detail"].as_str().unwrap().to_owned()
        };
        assert_eq!(ask(&ann).await, "this is for operators of the instance", "{method} {path}");
        assert_eq!(ask(&little).await, "this API key lacks the scope admin", "{method} {path}");
    }
    for (method, path) in [(Method::GET, "/v1/teams/"), (Method::PATCH, "/v1/teams/"), (Method::GET, "/v1/members/")] {
        let of = |id: &str| server.request(method.clone(), &format!("{path}{id}"), &ann).json(&json!({ "name": "x" }));
        let id = if path == "/v1/members/" { sam.to_string() } else { foreign.to_string() };
        let (there, not) = (server.send(of(&id)).await.expect(404), server.send(of(unknown)).await.expect(404));
        let plain = |reply: &super::harness::Reply| {
            let mut body = reply.json();
            body["request_id"] = Value::Null;
            body
        };
        assert_eq!(plain(&there), plain(&not), "{method} {path}");
    }
}

#[tokio::test]
async fn an_admin_shapes_his_team_and_others_do_not() {
    let server = server().await;
    let (_, member) = server.user("default", "mia", Role::Member, None).await;
    let team = server.get("/v1/me", ADMIN).await.json()["team"]["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/teams/{team}");
    server.patch(&path, &member, &json!({ "name": "mine" })).await.expect(403);
    let edit = json!({ "name": "first", "limits": { "concurrent_tasks": 3, "cost_usd_per_day": 2.5, "cost_usd_per_month": 40 } });
    let changed = server.patch(&path, ADMIN, &edit).await.expect(200).json();
    let limits = json!({ "concurrent_tasks": 3, "cost_usd_per_day": 2.5, "cost_usd_per_month": 40.0 });
    assert_eq!((&changed["name"], &changed["limits"]), (&json!("first"), &limits));
    let edit = json!({ "limits": { "cost_usd_per_day": null, "queued_tasks": 0 } });
    let changed = server.patch(&path, ADMIN, &edit).await.expect(200).json();
    let limits = json!({ "concurrent_tasks": 3, "queued_tasks": 0, "cost_usd_per_month": 40.0 });
    assert_eq!((&changed["name"], &changed["limits"]), (&json!("first"), &limits));
    for (body, pointer) in [
        (json!({ "name": "" }), "/name"),
        (json!({ "name": "a\nb" }), "/name"),
        (json!({ "limits": { "concurrent_tasks": 0 } }), "/limits/concurrent_tasks"),
        (json!({ "limits": { "cost_usd_per_day": -1 } }), "/limits/cost_usd_per_day"),
        (json!({ "limits": { "tasks": 1 } }), "/limits/tasks"),
        (json!({ "members": [] }), "/members"),
    ] {
        assert_eq!(server.patch(&path, ADMIN, &body).await.pointers(), [pointer], "{body}");
    }
}

#[tokio::test]
async fn members_come_by_id_address_or_identity_and_go() {
    let server = server().await;
    let (sam, _) = server.user("strangers", "sam", Role::Member, None).await;
    server.get("/v1/me", &token(&claims("jane", "strangers", "member"))).await.expect(200);
    let by_id = json!({ "user": { "id": sam }, "role": "viewer" });
    let made = server.post("/v1/members", ADMIN, &by_id).await.expect(201);
    assert_eq!(made.header("location"), Some(format!("/v1/members/{sam}").as_str()));
    let mut made = made.json();
    assert!(made["created_at"].take().is_string());
    assert_eq!(
        made,
        json!({ "user": { "id": sam, "name": "sam", "email": null }, "role": "viewer", "origin": "manual",
            "deactivated": false, "limits": {}, "created_at": null })
    );
    let again = server.post("/v1/members", ADMIN, &by_id).await.expect(409);
    assert_eq!(again.json()["code"], "already_member");
    let by_address = json!({ "user": { "email": "JANE@example.org" }, "role": "member" });
    let jane = server.post("/v1/members", ADMIN, &by_address).await.expect(201).json();
    assert_eq!(jane["user"]["name"], "jane@example.org");
    let identity = json!({ "issuer": "jwt", "subject": "newcomer", "name": "Nina" });
    let by_identity =
        json!({ "user": { "identity": identity }, "role": "member", "limits": { "concurrent_tasks": 1 } });
    let nina = server.post("/v1/members", ADMIN, &by_identity).await.expect(201).json();
    assert_eq!((&nina["user"]["name"], &nina["limits"]), (&json!("Nina"), &json!({ "concurrent_tasks": 1 })));
    let come = server.get("/v1/me", &token(&claims("newcomer", "default", "member"))).await.expect(200).json();
    assert_eq!(come["user"]["id"], nina["user"]["id"], "who comes is whom the admin meant");
    for (body, pointer) in [
        (json!({ "user": {}, "role": "member" }), "/user"),
        (json!({ "user": { "id": sam, "email": "x@example.org" }, "role": "member" }), "/user"),
        (json!({ "user": { "id": "018f0000-0000-7000-8000-000000000000" }, "role": "member" }), "/user/id"),
        (json!({ "user": { "email": "nobody@example.org" }, "role": "member" }), "/user/email"),
        (
            json!({ "user": { "identity": { "issuer": "", "subject": "x" } }, "role": "member" }),
            "/user/identity/issuer",
        ),
        (json!({ "user": { "id": sam }, "role": "owner" }), "/role"),
        (json!({ "user": { "id": sam } }), "/role"),
    ] {
        assert_eq!(server.post("/v1/members", ADMIN, &body).await.pointers(), [pointer], "{body}");
    }
    let (_, member) = server.user("default", "mia", Role::Member, None).await;
    server.post("/v1/members", &member, &by_id).await.expect(403);
    let path = format!("/v1/members/{sam}");
    server.patch(&path, &member, &json!({ "role": "admin" })).await.expect(403);
    server.delete(&path, &member).await.expect(403);
    let changed = server.patch(&path, ADMIN, &json!({ "role": "member", "limits": { "queued_tasks": 2 } })).await;
    let changed = changed.expect(200).json();
    assert_eq!((&changed["role"], &changed["limits"]), (&json!("member"), &json!({ "queued_tasks": 2 })));
    server.delete(&path, ADMIN).await.expect(204);
    server.get(&path, ADMIN).await.expect(404);
    server.delete(&path, ADMIN).await.expect(404);
    server.patch(&path, ADMIN, &json!({ "role": "member" })).await.expect(404);
}

#[tokio::test]
async fn a_team_keeps_its_last_admin() {
    let server = server().await;
    let me = server.get("/v1/me", ADMIN).await.json()["user"]["id"].as_str().unwrap().to_owned();
    let own = format!("/v1/members/{me}");
    for refused in [
        server.delete(&own, ADMIN).await,
        server.patch(&own, ADMIN, &json!({ "role": "member" })).await,
        server.patch(&own, ADMIN, &json!({ "role": "viewer" })).await,
    ] {
        assert_eq!(refused.expect(409).json()["code"], "last_admin");
    }
    let (ann, second) = server.user("default", "ann", Role::Admin, None).await;
    let ann = format!("/v1/members/{ann}");
    // Each takes the other's role away at the same moment: one of them stays.
    let demote = json!({ "role": "member" });
    let (one, other) = tokio::join!(server.patch(&ann, ADMIN, &demote), server.patch(&own, &second, &demote));
    let mut statuses = [one.status.as_u16(), other.status.as_u16()];
    statuses.sort_unstable();
    assert!(statuses == [200, 409] || statuses == [200, 403], "{statuses:?}");
    let members = server.get("/v1/members", ADMIN).await.json();
    let admins = members["data"].as_array().unwrap().iter().filter(|member| member["role"] == "admin").count();
    assert_eq!(admins, 1, "{members:#}");
}

#[tokio::test]
async fn who_was_removed_stays_away_until_an_admin_brings_him_back() {
    let server = server().await;
    let jane = token(&claims("jane", "default", "member"));
    let me = server.get("/v1/me", &jane).await.expect(200).json()["user"]["id"].as_str().unwrap().to_owned();
    let key = server.post("/v1/api_keys", &jane, &json!({ "name": "hers" })).await.expect(201).json();
    let key = key["key"].as_str().unwrap();
    let running = server.task(&jane, "One that runs").await;
    let worker = server.run().await;
    let queued = server.task(&jane, "One that waits").await;
    let others = server.task(ADMIN, "Somebody else's").await;
    server.delete(&format!("/v1/members/{me}"), ADMIN).await.expect(204);
    server.get("/v1/me", key).await.expect(401);
    assert_eq!(server.get("/v1/me", &jane).await.expect(403).json()["code"], "removed");
    let task = async |id| server.get(&format!("/v1/tasks/{id}"), ADMIN).await.expect(200).json();
    assert_eq!(task(queued).await["status"], "cancelled");
    assert_eq!(
        (&task(running).await["status"], &task(running).await["cancel_requested"]),
        (&json!("running"), &json!(true))
    );
    assert_eq!(task(others).await["status"], "queued");
    worker.status(journeyman::domain::Status::Cancelled, None, &Default::default()).await;
    server.post("/v1/members", ADMIN, &json!({ "user": { "id": me }, "role": "viewer" })).await.expect(201);
    let back = server.get("/v1/me", &jane).await.expect(200).json();
    assert_eq!((&back["user"]["id"], &back["role"]), (&json!(me), &json!("member")), "the token's role holds");
    server.get("/v1/me", key).await.expect(401);
}

#[tokio::test]
async fn a_token_changes_the_role_that_it_gave_and_no_other() {
    let server = server().await;
    let role = async |subject: &str| {
        let members = server.get("/v1/members?limit=100", ADMIN).await.json();
        let mut all = members["data"].as_array().unwrap().iter();
        let found = all.find(|member| member["user"]["email"] == format!("{subject}@example.org")).unwrap();
        (found["role"].as_str().unwrap().to_owned(), found["origin"].as_str().unwrap().to_owned())
    };
    let is = |role: &str, origin: &str| (role.to_owned(), origin.to_owned());
    let jane = server.get("/v1/me", &token(&claims("jane", "default", "viewer"))).await.expect(200).json();
    assert_eq!(role("jane").await, is("viewer", "token"));
    server.get("/v1/me", &token(&claims("jane", "default", "member"))).await.expect(200);
    assert_eq!(role("jane").await, is("member", "token"));
    let path = format!("/v1/members/{}", jane["user"]["id"].as_str().unwrap());
    server.patch(&path, ADMIN, &json!({ "role": "viewer" })).await.expect(200);
    server.get("/v1/me", &token(&claims("jane", "default", "admin"))).await.expect(200);
    assert_eq!(role("jane").await, is("viewer", "manual"));
}

#[tokio::test]
async fn a_deactivated_user_is_nobody_until_he_is_let_in_again() {
    let server = server().await;
    let (olga, operator) = server.operator("default", "olga").await;
    let (bob, key) = server.user("strangers", "bob", Role::Admin, None).await;
    let jane = token(&claims("jane", "strangers", "member"));
    let jane_id = server.get("/v1/me", &jane).await.expect(200).json()["user"]["id"].as_str().unwrap().to_owned();
    let task = server.task(&key, "What he wanted").await;
    let path = format!("/v1/users/{bob}");
    let shown = server.get(&path, &operator).await.expect(200).json();
    assert_eq!((&shown["subject"], &shown["deactivated_at"]), (&json!("bob"), &Value::Null));
    let gone = server.post(&format!("{path}/deactivate"), &operator, &json!({})).await.expect(200).json();
    assert!(gone["deactivated_at"].is_string());
    let again = server.post(&format!("{path}/deactivate"), &operator, &json!({})).await.expect(200).json();
    assert_eq!(again["deactivated_at"], gone["deactivated_at"]);
    server.get("/v1/me", &key).await.expect(401);
    server.post(&format!("/v1/users/{jane_id}/deactivate"), &operator, &json!({})).await.expect(200);
    assert_eq!(server.get("/v1/me", &jane).await.expect(401).json()["detail"], "the user is deactivated");
    let (_, eyes) = server.user("strangers", "eve", Role::Viewer, None).await;
    assert_eq!(server.get(&format!("/v1/tasks/{task}"), &eyes).await.json()["status"], "cancelled");
    let members = server.get("/v1/members", &eyes).await.json();
    let off = members["data"].as_array().unwrap().iter().filter(|member| member["deactivated"] == true).count();
    assert_eq!(off, 2, "{members:#}");
    let refused = server.post("/v1/members", ADMIN, &json!({ "user": { "id": bob }, "role": "member" })).await;
    assert_eq!(refused.pointers(), ["/user/id"]);
    let itself = server.post(&format!("/v1/users/{olga}/deactivate"), &operator, &json!({})).await.expect(409);
    assert_eq!(itself.json()["code"], "oneself");
    server.post(&format!("{path}/reactivate"), &operator, &json!({})).await.expect(200);
    server.post(&format!("/v1/users/{jane_id}/reactivate"), &operator, &json!({})).await.expect(200);
    server.get("/v1/me", &jane).await.expect(200);
    server.get("/v1/me", &key).await.expect(401);
    let users = server.get("/v1/users?limit=100", &operator).await.expect(200).json();
    assert_eq!(users["data"].as_array().unwrap().len(), 5);
}

#[tokio::test]
async fn an_operator_erases_users_and_admins_do_not() {
    let server = server().await;
    let (olga, operator) = server.operator("default", "olga").await;
    let (ann, admin) = server.user("default", "ann", Role::Admin, None).await;
    let (sam, key) = server.user("strangers", "sam", Role::Member, None).await;
    let erase = |id: &dyn std::fmt::Display| format!("/v1/users/{id}/erase");
    server.post(&erase(&sam), &admin, &json!({})).await.expect(403);
    server.get("/v1/erasures", &admin).await.expect(403);
    server.post(&erase(&ann), &key, &json!({})).await.expect(403);
    let own = server.post(&erase(&olga), &operator, &json!({})).await.expect(409).json();
    assert_eq!(own["code"], "oneself");
    server.post(&erase(&"018f0000-0000-7000-8000-000000000000"), &operator, &json!({})).await.expect(404);
    let asked = server.post(&erase(&sam), &operator, &json!({})).await.expect(202).json();
    assert_eq!(
        (&asked["user"], &asked["state"], &asked["gone"]["api_keys"]),
        (&json!(sam), &json!("waiting"), &json!(1))
    );
    server.get("/v1/me", &key).await.expect(401);
    let again = server.post(&erase(&sam), &operator, &json!({})).await.expect(202).json();
    assert_eq!(again["id"], asked["id"], "it is told how far it is");
    let listed = server.get("/v1/erasures", &operator).await.expect(200).json();
    assert_eq!(listed["data"], json!([asked]));
    let seen = server.get(&format!("/v1/users/{sam}"), &operator).await.expect(200).json();
    assert_eq!(
        (&seen["name"], &seen["email"], &seen["issuer"]),
        (&json!("(deleted user)"), &Value::Null, &json!("erased"))
    );
    let log = server.get("/v1/audit_log?action=user.erasure_asked", ADMIN).await.expect(200).json();
    assert_eq!(log["data"][0]["subject"], json!({ "kind": "user", "id": sam }));
}

#[tokio::test]
async fn an_admin_says_for_how_long_his_team_keeps_its_tasks() {
    let server = server().await;
    let (_, admin) = server.user("default", "ann", Role::Admin, None).await;
    let (_, member) = server.user("default", "bob", Role::Member, None).await;
    let path = format!("/v1/teams/{}", server.team("default").await);
    let wanted = json!({ "retention": { "tasks_days": 30 } });
    server.patch(&path, &member, &wanted).await.expect(403);
    let set = server.patch(&path, &admin, &wanted).await.expect(200).json();
    assert_eq!(set["retention"], json!({ "tasks_days": 30, "history_days": null }));
    let wrong = server.patch(&path, &admin, &json!({ "retention": { "tasks_days": 0, "history_days": 40_000 } })).await;
    let wrong = wrong.expect(422).json();
    let pointers: Vec<&str> =
        wrong["errors"].as_array().unwrap().iter().map(|e| e["pointer"].as_str().unwrap()).collect();
    assert_eq!(pointers, ["/retention/tasks_days", "/retention/history_days"]);
    server.patch(&path, &admin, &json!({ "name": "default" })).await.expect(200);
    assert_eq!(server.get(&path, &admin).await.json()["retention"]["tasks_days"], 30, "what is not named stays");
    let none = server.patch(&path, &admin, &json!({ "retention": {} })).await.expect(200).json();
    assert_eq!(none["retention"], json!({ "tasks_days": null, "history_days": null }));
}
