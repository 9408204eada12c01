//! Who is let in: API keys, JWTs, and what is said of those who are not.

use super::harness::{ADMIN, AUDIENCE, JWT_SECRET, claims, seconds_from_now, server, server_with, token};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use journeyman::domain::{Role, Scope};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

#[tokio::test]
async fn a_new_key_works_is_shown_once_and_is_refused_once_revoked() {
    let server = server().await;
    let made = server.post("/v1/api_keys", ADMIN, &json!({ "name": "laptop" })).await.expect(201).json();
    let key = made["key"].as_str().unwrap();
    assert!(key.starts_with("jm_") && key.len() == 46, "{key}");
    let bytes = URL_SAFE_NO_PAD.decode(&key[3..]).unwrap();
    assert_eq!(bytes.len(), 32);
    let me = server.get("/v1/me", key).await.expect(200).json();
    assert_eq!((&me["user"]["name"], &me["role"], &me["api_key"]), (&json!("admin"), &json!("admin"), &made["id"]));
    let listed = server.get("/v1/api_keys", ADMIN).await.expect(200);
    assert!(!String::from_utf8_lossy(&listed.bytes).contains(key));
    assert_eq!(listed.json()["data"][0]["prefix"], json!(key[..8]));
    server.delete(&format!("/v1/api_keys/{}", made["id"].as_str().unwrap()), ADMIN).await.expect(204);
    server.get("/v1/me", key).await.expect(401);
    server.get(&format!("/v1/api_keys/{}", made["id"].as_str().unwrap()), ADMIN).await.expect(404);
    for (body, pointer) in [
        (json!({}), "/name"),
        (json!({ "name": "" }), "/name"),
        (json!({ "name": "x", "scopes": [] }), "/scopes"),
        (json!({ "name": "x", "scopes": ["everything"] }), "/scopes/0"),
        (json!({ "name": "x", "expires_at": "2020-01-01T00:00:00Z" }), "/expires_at"),
        (json!({ "name": "x", "expires_at": "soon" }), "/expires_at"),
        (json!({ "name": "x", "role": "admin" }), "/role"),
    ] {
        assert_eq!(server.post("/v1/api_keys", ADMIN, &body).await.pointers(), [pointer], "{body}");
    }
}

#[tokio::test]
async fn no_key_stands_in_the_database_even_where_its_making_can_be_repeated() {
    let server = server().await;
    let make = || {
        let request = server.request(reqwest::Method::POST, "/v1/api_keys", ADMIN).json(&json!({ "name": "ci" }));
        server.send(request.header("idempotency-key", "make-it"))
    };
    let (first, second) = (make().await.expect(201), make().await.expect(201));
    assert_eq!(first.bytes, second.bytes);
    assert_eq!(second.header("idempotency-replayed"), Some("true"));
    let key = first.json()["key"].as_str().unwrap().to_owned();
    server.get("/v1/me", &key).await.expect(200);
    let mut connection = PgConnection::connect(&server.url).await.unwrap();
    let stored: Vec<(String,)> = sqlx::query_as(
        "SELECT convert_from(body, 'UTF8') FROM idempotency_keys UNION ALL SELECT name || prefix FROM api_keys",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert!(stored.len() >= 3 && stored.iter().all(|(text,)| !text.contains(&key) && !text.contains(&key[3..])));
}

#[tokio::test]
async fn a_key_may_do_what_its_scopes_say_and_makes_none_that_may_more() {
    let server = server().await;
    let (_, reader) = server.user("default", "rita", Role::Admin, Some(&[Scope::TasksRead])).await;
    server.get("/v1/tasks", &reader).await.expect(200);
    server.post("/v1/tasks", &reader, &json!({ "request": "x" })).await.expect(403);
    server.get("/v1/memories", &reader).await.expect(403);
    server.get("/v1/api_keys", &reader).await.expect(403);
    let (_, keeper) = server.user("default", "kim", Role::Member, Some(&[Scope::Admin, Scope::TasksRead])).await;
    let more = json!({ "name": "more", "scopes": ["tasks:write"] });
    server.post("/v1/api_keys", &keeper, &more).await.expect(403);
    let same = server.post("/v1/api_keys", &keeper, &json!({ "name": "same" })).await.expect(201).json();
    assert_eq!(same["scopes"], json!(["admin", "tasks:read"]));
    let listed = server.get("/v1/api_keys", &keeper).await.json();
    let names: Vec<_> = listed["data"].as_array().unwrap().iter().map(|key| key["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["same", "test"], "a member sees his own keys");
}

#[tokio::test]
async fn a_jwt_makes_its_user_known_and_its_role_holds() {
    let server = server().await;
    let member = token(&claims("jane", "default", "member"));
    let me = server.get("/v1/me", &member).await.expect(200).json();
    assert_eq!(
        (&me["user"]["email"], &me["role"], &me["api_key"]),
        (&json!("jane@example.org"), &json!("member"), &Value::Null)
    );
    let task = server.post("/v1/tasks", &member, &json!({ "request": "x" })).await.expect(201).json();
    assert_eq!(task["created_by"]["id"], me["user"]["id"]);
    assert_eq!(task["created_by"]["name"], "jane@example.org");
    let viewer = token(&claims("jane", "default", "viewer"));
    assert_eq!(server.get("/v1/me", &viewer).await.json()["user"]["id"], me["user"]["id"]);
    server.post("/v1/tasks", &viewer, &json!({ "request": "x" })).await.expect(403);
    server.get("/v1/me", &token(&claims("jane", "unheard-of", "member"))).await.expect(403);
}

#[tokio::test]
async fn an_unknown_team_becomes_one_only_where_the_operator_says_so() {
    let server = server_with(None, true).await;
    let mut said = claims("jane", "newcomers", "member");
    said.as_object_mut().unwrap().remove("aud");
    let me = server.get("/v1/me", &token(&said)).await.expect(200).json();
    assert_eq!(me["team"]["name"], "newcomers");
}

#[tokio::test]
async fn tokens_that_do_not_hold_are_refused() {
    let server = server().await;
    let good = claims("jane", "default", "admin");
    let with = |name: &str, value: Value| {
        let mut changed = good.clone();
        changed[name] = value;
        changed
    };
    let without = |name: &str| {
        let mut changed = good.clone();
        changed.as_object_mut().unwrap().remove(name);
        changed
    };
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let unsigned = format!("{}.{}.", part(&json!({ "alg": "none", "typ": "JWT" })), part(&good));
    let wrong_secret =
        jsonwebtoken::encode(&Header::default(), &good, &EncodingKey::from_secret(b"another secret")).unwrap();
    let other_algorithm =
        jsonwebtoken::encode(&Header::new(Algorithm::HS512), &good, &EncodingKey::from_secret(JWT_SECRET)).unwrap();
    let sound = token(&good);
    let (head, signature) = (sound.split('.').next().unwrap(), sound.rsplit('.').next().unwrap());
    let changed = format!("{head}.{}.{signature}", part(&with("sub", json!("somebody-else"))));
    let bad = [
        ("alg none", unsigned),
        ("another secret", wrong_secret),
        ("another algorithm", other_algorithm),
        ("changed claims", changed),
        ("expired", token(&with("exp", json!(seconds_from_now(-60))))),
        ("no expiry", token(&without("exp"))),
        ("not yet", token(&with("nbf", json!(seconds_from_now(600))))),
        ("another audience", token(&with("aud", json!("somebody-else")))),
        ("no audience", token(&without("aud"))),
        ("no subject", token(&without("sub"))),
        ("no team", token(&without("team"))),
        ("no role", token(&without("role"))),
        ("odd role", token(&with("role", json!("owner")))),
        ("NUL in the subject", token(&with("sub", json!("a\u{0}b")))),
        ("nonsense", "eyJ.eyJ.x".to_owned()),
    ];
    for (what, token) in bad {
        let refused = server.get("/v1/me", &token).await;
        assert_eq!(refused.status.as_u16(), 401, "{what}: {}", String::from_utf8_lossy(&refused.bytes));
        assert!(!String::from_utf8_lossy(&refused.bytes).contains(&token), "{what}");
        assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
    }
    server.get("/v1/me", &sound).await.expect(200);
    assert_eq!(good["aud"], AUDIENCE);
    for header in ["Basic abc", "Bearer", "Bearer ", "bearer", "x"] {
        let request = server.client.get(format!("{}/v1/me", server.base)).header("authorization", header);
        server.send(request).await.expect(401);
    }
}

#[tokio::test]
async fn an_expired_key_is_refused() {
    let server = server().await;
    let soon = json!({ "name": "short", "expires_at": "2999-01-01T00:00:00Z" });
    let made = server.post("/v1/api_keys", ADMIN, &soon).await.expect(201).json();
    let mut connection = PgConnection::connect(&server.url).await.unwrap();
    sqlx::query("UPDATE api_keys SET expires_at = now() - interval '1 second' WHERE name = 'short'")
        .execute(&mut connection)
        .await
        .unwrap();
    server.get("/v1/me", made["key"].as_str().unwrap()).await.expect(401);
}

#[tokio::test]
async fn the_first_key_is_made_once() {
    let server = server().await;
    assert_eq!(journeyman::auth::bootstrap(&server.store, Some("another")).await.unwrap(), None);
    server.get("/v1/me", "another").await.expect(401);
    assert_eq!(server.get("/v1/me", ADMIN).await.expect(200).json()["role"], "admin");
}

#[tokio::test]
async fn team_members_and_models_are_listed() {
    let server = server().await;
    server.user("default", "bob", Role::Viewer, None).await;
    let teams = server.get("/v1/teams", ADMIN).await.expect(200).json();
    assert_eq!((&teams["data"][0]["name"], &teams["data"][0]["limits"]), (&json!("default"), &json!({})));
    let members = server.get("/v1/members?limit=1", ADMIN).await.expect(200).json();
    let cursor = members["next_cursor"].as_str().unwrap();
    let rest = server.get(&format!("/v1/members?cursor={cursor}"), ADMIN).await.expect(200).json();
    let mut names = [&members["data"][0], &rest["data"][0]].map(|member| member["user"]["name"].as_str().unwrap());
    names.sort_unstable();
    assert_eq!((names, &rest["next_cursor"]), (["admin", "bob"], &Value::Null));
    let models = server.get("/v1/models", ADMIN).await.expect(200).json();
    assert_eq!((&models["data"][1]["name"], &models["data"][1]["default"]), (&json!("large"), &json!(true)));
}
