//! Who did what, from where and with which result: written with the change itself, read by admins, changed by nobody.

use super::harness::{ADMIN, Reply, Server, server};
use journeyman::{
    app::{self, AdminAction},
    clock,
    config::{Environment, Settings},
    domain::{Role, Status, audit::Action},
    store::{audit, budgets::Caps},
};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::{collections::BTreeSet, net::IpAddr, time::Duration};

async fn entries(server: &Server, query: &str) -> Vec<Value> {
    let page = server.get(&format!("/v1/audit_log?limit=100{query}"), ADMIN).await.expect(200).json();
    page["data"].as_array().unwrap().clone()
}

async fn put(server: &Server, path: &str, body: &Value) -> Reply {
    server.send(server.request(Method::PUT, path, ADMIN).json(body)).await
}

#[tokio::test]
async fn what_is_privileged_or_goes_outward_is_written_down_once() {
    let server = server().await;
    let (bob, bobs) = server.user("default", "bob", Role::Member, None).await;
    let made =
        server.post("/v1/environments", ADMIN, &json!({ "name": "backend", "image": "a/b:1" })).await.expect(201);
    let environment = made.id();
    let path = format!("/v1/environments/{environment}");
    server.patch(&path, ADMIN, &json!({ "network": { "mode": "open" } })).await.expect(200);
    let secret = json!({ "value": "the-value-of-it", "use": "broker", "hosts": ["api.example.org"] });
    put(&server, &format!("{path}/secrets/TOKEN"), &secret).await.expect(204);
    server.delete(&format!("{path}/secrets/TOKEN"), ADMIN).await.expect(204);
    let opened = json!({ "request": "x", "environment": "backend" });
    let opened = server.post("/v1/tasks", ADMIN, &opened).await.expect(201).id();
    server.delete(&path, ADMIN).await.expect(204);
    let credential = json!({ "host": "git.example.org", "kind": "token", "secret": "another-value" });
    let credential = server.post("/v1/git_credentials", ADMIN, &credential).await.expect(201).id();
    server.patch(&format!("/v1/git_credentials/{credential}"), ADMIN, &json!({ "username": "bot" })).await.expect(200);
    server.delete(&format!("/v1/git_credentials/{credential}"), ADMIN).await.expect(204);
    let key = server.post("/v1/api_keys", &bobs, &json!({ "name": "a name" })).await.expect(201).id();
    server.delete(&format!("/v1/api_keys/{key}"), ADMIN).await.expect(204);
    put(&server, "/v1/instructions", &json!({ "text": "words of ours" })).await.expect(200);
    let memory = server.post("/v1/memories", &bobs, &json!({ "text": "words of his" })).await.expect(201).id();
    server.patch(&format!("/v1/memories/{memory}"), &bobs, &json!({ "text": "others" })).await.expect(200);
    server.delete(&format!("/v1/memories/{memory}"), &bobs).await.expect(204);
    let task = server.task(&bobs, "words that nobody keeps").await;
    server.get(&format!("/v1/tasks/{task}/export"), ADMIN).await.expect(200);
    // His own is nothing that anybody has to be told of.
    let own = server.task(&bobs, "x").await;
    server.post(&format!("/v1/tasks/{own}/cancel"), &bobs, &json!({})).await.expect(202);
    server.post(&format!("/v1/tasks/{task}/cancel"), ADMIN, &json!({})).await.expect(202);
    server.delete(&format!("/v1/tasks/{task}"), ADMIN).await.expect(204);

    let found = entries(&server, "").await;
    let told: Vec<(&str, &str)> = found
        .iter()
        .rev()
        .map(|entry| (entry["action"].as_str().unwrap(), entry["subject"]["id"].as_str().unwrap()))
        .collect();
    let (environment, secret) = (environment.as_str(), format!("{environment}/TOKEN"));
    let (task, credential) = (task.to_string(), credential.as_str());
    assert_eq!(
        told,
        [
            ("environment.created", environment),
            ("environment.updated", environment),
            ("environment_secret.set", &secret),
            ("environment_secret.deleted", &secret),
            ("task.network_opened", &opened),
            ("environment.deleted", environment),
            ("git_credential.created", credential),
            ("git_credential.updated", credential),
            ("git_credential.deleted", credential),
            ("api_key.created", &key),
            ("api_key.revoked", &key),
            ("instructions.updated", "1"),
            ("memory.created", &memory),
            ("memory.updated", &memory),
            ("memory.deleted", &memory),
            ("task.exported", &task),
            ("task.cancelled", &task),
            ("task.deleted", &task),
        ]
    );
    let first = found.last().unwrap();
    assert_eq!(first["request_id"], made.header("x-request-id").unwrap());
    assert_eq!(
        (&first["actor"]["kind"], &first["actor"]["user"]["name"], &first["result"], &first["address"]),
        (&json!("user"), &json!("admin"), &json!("ok"), &json!("127.0.0.1"))
    );
    assert_eq!(
        first["detail"],
        json!({ "name": "backend", "image": "a/b:1", "network": "off", "setup_network": "off" })
    );
    assert!(first["actor"]["api_key"].is_string());
    let all = serde_json::to_string(&found).unwrap();
    for word in ["the-value-of-it", "another-value", "words", "a name"] {
        assert!(!all.contains(word), "{word}");
    }
    assert_eq!(entries(&server, &format!("&user={bob}")).await.len(), 4);
    assert_eq!(entries(&server, "&action=task.deleted,task.cancelled").await.len(), 2);
    assert_eq!(entries(&server, &format!("&subject={task}")).await.len(), 3);
    assert_eq!(entries(&server, "&result=refused").await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_decision_is_written_down_and_what_is_rolled_back_is_not() {
    let server = server().await;
    server.post("/v1/environments", ADMIN, &json!({ "name": "one" })).await.expect(201);
    server.post("/v1/environments", ADMIN, &json!({ "name": "one" })).await.expect(409);
    let key = |request: reqwest::RequestBuilder| request.header("idempotency-key", "k").json(&json!({ "name": "two" }));
    for _ in 0..2 {
        server.send(key(server.request(Method::POST, "/v1/environments", ADMIN))).await.expect(201);
    }
    let told: Vec<Value> =
        entries(&server, "").await.into_iter().map(|mut entry| entry["detail"]["name"].take()).collect();
    assert_eq!(told, ["two", "one"]);
    server.get("/v1/audit_log?action=environment.made", ADMIN).await.expect(422);
    server.get("/v1/audit_log?since=yesterday", ADMIN).await.expect(422);
}

#[tokio::test]
async fn refusals_are_written_down_up_to_a_limit_of_each_caller() {
    let server = server().await;
    let (mia, member) = server.user("default", "mia", Role::Member, None).await;
    let (_, viewer) = server.user("default", "vera", Role::Viewer, None).await;
    server.get("/v1/audit_log", &member).await.expect(403);
    for _ in 0..30 {
        server.post("/v1/environments", &member, &json!({ "name": "x" })).await.expect(403);
    }
    server.post("/v1/tasks", &viewer, &json!({ "request": "x" })).await.expect(403);
    server.get("/v1/tasks", "jm_nobody").await.expect(401);
    let found = entries(&server, "&result=refused").await;
    let of = |user: &Value| found.iter().filter(|entry| entry["actor"]["user"]["id"] == *user).count();
    assert_eq!((found.len(), of(&json!(mia))), (21, 20));
    assert!(found.iter().all(|entry| entry["action"] == "access.refused" && entry["subject"]["kind"] == "route"));
    let routes: BTreeSet<&str> = found.iter().map(|entry| entry["subject"]["id"].as_str().unwrap()).collect();
    assert_eq!(routes, BTreeSet::from(["GET /v1/audit_log", "POST /v1/environments", "POST /v1/tasks"]));
}

#[tokio::test]
async fn it_is_read_by_the_admins_of_its_team_and_changed_by_nobody() {
    let server = server().await;
    let (_, stranger) = server.user("strangers", "sam", Role::Admin, None).await;
    server.post("/v1/environments", ADMIN, &json!({ "name": "ours" })).await.expect(201);
    assert_eq!(server.get("/v1/audit_log", &stranger).await.expect(200).json()["data"], json!([]));

    let mut connection = PgConnection::connect(&server.url).await.unwrap();
    let team = server.team("default").await;
    for role in ["journeyman_app", "journeyman_worker"] {
        for statement in ["UPDATE audit_log SET action = 'x'", "DELETE FROM audit_log", "TRUNCATE audit_log"] {
            let mut tx = connection.begin().await.unwrap();
            sqlx::query(AssertSqlSafe(format!("SET LOCAL ROLE {role}"))).execute(&mut *tx).await.unwrap();
            sqlx::query(AssertSqlSafe(format!("SET LOCAL app.team = '{team}'"))).execute(&mut *tx).await.unwrap();
            let error = sqlx::query(statement).execute(&mut *tx).await.unwrap_err().to_string();
            assert!(error.contains("permission denied"), "{role} {statement}: {error}");
        }
    }
    // What is old goes, and what is younger than thirty days does not, whatever is asked for.
    for days in [10, 60, 500] {
        sqlx::query("INSERT INTO audit_log (team, id, action, subject, at) VALUES ($1, $2, 'x', $3, now() - $4 * interval '1 day')")
            .bind(team.0)
            .bind(clock::new_id::<uuid::Uuid>())
            .bind(format!("{days} days ago"))
            .bind(f64::from(days))
            .execute(&mut connection)
            .await
            .unwrap();
    }
    let subjects = async || -> Vec<Value> {
        entries(&server, "").await.into_iter().map(|mut entry| entry["subject"]["id"].take()).skip(1).collect()
    };
    assert_eq!(subjects().await, ["10 days ago", "60 days ago", "500 days ago"]);
    assert_eq!(audit::trim(&server.store, Duration::from_secs(400 * 86_400), 100).await.unwrap(), 1);
    assert_eq!(audit::trim(&server.store, Duration::ZERO, 100).await.unwrap(), 1);
    assert_eq!(subjects().await, ["10 days ago"]);
}

#[tokio::test]
async fn it_is_taken_out_whole_as_csv_or_json_lines() {
    let server = server().await;
    for number in 0..620 {
        let memory = json!({ "text": format!("number {number}") });
        server.post("/v1/memories", ADMIN, &memory).await.expect(201);
    }
    let (_, eve) = server.user("default", "=HYPERLINK(\"x\"),eve", Role::Member, None).await;
    let last = server.post("/v1/memories", &eve, &json!({ "text": "x" })).await.expect(201).id();
    let exported = async |kind: &str| {
        let request = server.request(Method::GET, "/v1/audit_log?action=memory.created", ADMIN).header("accept", kind);
        let reply = server.send(request).await.expect(200);
        assert!(reply.header("content-type").unwrap().starts_with(kind));
        String::from_utf8(reply.bytes).unwrap()
    };
    let lines = exported("application/jsonl").await;
    let rows: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((rows.len(), &rows[0]["subject"]["id"]), (621, &json!(last)));
    let ids: BTreeSet<&str> = rows.iter().map(|row| row["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 621);
    let csv = exported("text/csv").await;
    assert_eq!(csv.lines().count(), 622);
    assert!(csv.starts_with("at,id,actor,user,user_name,"), "{}", &csv[..200]);
    assert!(csv.contains(r#","'=HYPERLINK(""x""),eve","#), "{}", &csv[..600]);
    assert_eq!(entries(&server, "&action=audit_log.exported").await.len(), 2);

    // The same page by page.
    let (mut paged, mut cursor) = (0, String::new());
    loop {
        let page = server.get(&format!("/v1/audit_log?action=memory.created&limit=100{cursor}"), ADMIN).await;
        let page = page.expect(200).json();
        paged += page["data"].as_array().unwrap().len();
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(paged, 621);
}

#[tokio::test]
async fn a_callers_address_is_believed_of_trusted_proxies_alone() {
    let server = server().await;
    let from = async |local: &str, headers: &[(&str, &str)]| -> Value {
        let local: IpAddr = local.parse().unwrap();
        let client = reqwest::Client::builder().no_proxy().local_address(local).build().unwrap();
        let mut request = client.post(format!("{}/v1/memories", server.base)).bearer_auth(ADMIN);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        server.send(request.json(&json!({ "text": "x" }))).await.expect(201);
        entries(&server, "").await[0]["address"].clone()
    };
    let forwarded = ("forwarded", r#"for=198.51.100.7, For="[2001:db8::9]:4711";proto=https, for=127.0.0.1"#);
    let plain = ("x-forwarded-for", "203.0.113.9, 198.51.100.7");
    assert_eq!(from("127.0.0.1", &[]).await, "127.0.0.1");
    assert_eq!(from("127.0.0.1", &[forwarded]).await, "2001:db8::9");
    assert_eq!(from("127.0.0.1", &[plain]).await, "198.51.100.7");
    assert_eq!(from("127.0.0.1", &[("x-forwarded-for", "203.0.113.9, unknown")]).await, "127.0.0.1");
    // One of them is the caller's own invention, and nobody knows which.
    assert_eq!(from("127.0.0.1", &[forwarded, plain]).await, "127.0.0.1");
    assert_eq!(from("127.0.0.2", &[forwarded, plain]).await, "127.0.0.2");
}

#[tokio::test]
async fn an_operator_at_the_command_line_is_written_down_too() {
    let server = server().await;
    let data_dir = tempfile::tempdir().unwrap();
    let variables = vec![
        ("DATABASE_URL".to_owned(), server.url.clone()),
        ("JOURNEYMAN_DATA_DIR".to_owned(), data_dir.path().display().to_string()),
    ];
    let settings = Settings::load(None, &Environment::new(variables)).unwrap();
    let (team, user) = ("default".to_owned(), "olga".to_owned());
    let caps = Caps { cost_usd_per_day: Some(5.0), cost_usd_per_month: None };
    for action in [
        AdminAction::AddUser { name: user.clone(), team: team.clone(), role: Role::Admin, email: None },
        AdminAction::AddKey {
            name: "k".into(),
            user: user.clone(),
            team: team.clone(),
            scopes: None,
            expires_at: None,
        },
        AdminAction::Budget { team: team.clone(), user: Some(user), caps },
        AdminAction::Budget { team, user: None, caps },
    ] {
        app::admin(&settings, action).await.unwrap();
    }
    let found = entries(&server, "").await;
    let told: Vec<&str> = found.iter().rev().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(told, ["member.set", "api_key.created", "member.budget_set", "team.budget_set"]);
    assert!(found.iter().all(|entry| entry["actor"]["kind"] == "operator" && entry["address"].is_null()));
    assert_eq!(found[0]["detail"], json!({ "cost_usd_per_day": 5.0 }));
}

#[tokio::test]
async fn a_running_task_that_somebody_else_cancels_is_written_down() {
    let server = server().await;
    let (_, bob) = server.user("default", "bob", Role::Member, None).await;
    let task = server.task(ADMIN, "x").await;
    let worker = server.run().await;
    server.post(&format!("/v1/tasks/{task}/cancel"), &bob, &json!({})).await.expect(202);
    worker.status(Status::Cancelled, None, &Default::default()).await;
    let found = entries(&server, "").await;
    assert_eq!(found.len(), 1);
    assert_eq!((&found[0]["action"], &found[0]["detail"]["status"]), (&json!("task.cancelled"), &json!("running")));
}

#[test]
fn actions_have_words_of_their_own_that_are_listed_in_order() {
    let words: Vec<&str> = Action::ALL.iter().map(|action| action.as_str()).collect();
    let unique: BTreeSet<&str> = words.iter().copied().collect();
    assert_eq!(unique.len(), words.len());
    assert!(words.iter().all(|word| word.split_once('.').is_some_and(|(of, done)| !of.is_empty() && !done.is_empty())));
    let guide = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/accounts.md")).unwrap();
    let missing: Vec<&&str> = words.iter().filter(|word| !guide.contains(&format!("`{word}`"))).collect();
    assert_eq!(missing, Vec::<&&str>::new(), "docs/accounts.md names every action");
}
