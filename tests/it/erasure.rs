//! A user is erased: nothing that he wrote is left in any table, object or directory; the sums and the audit log stay, and so
//! does the work of others. Whatever crashes, it is done.

use crate::support::{
    calculator,
    process::Running,
    service::{Api, Ground, call, plan, say, second_data_dir},
};
use journeyman::{
    app::{AdminAction, Role as ServerRole, admin},
    domain::{Role, Scope},
};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

/// Stands in everything that he can write.
const CANARY: &str = "kanarienvogel";
const PATIENCE: Duration = Duration::from_secs(60);

fn script() -> Value {
    let sings = format!("echo {CANARY} > bird.txt; yes {CANARY} | head -c 300000");
    json!({ "scenarios": {
        "his": { "sequence": [
            plan(),
            call("shell", json!({ "command": sings })),
            call("ask_user", json!({ "questions": [{ "question": "Which bird?" }] })),
            say(&format!("A {CANARY}.")),
        ] },
        "plain": { "rules": [{ "when": {}, "reply": say("Done.") }] },
        "asks": { "rules": [
            { "when": { "calls": 0 }, "reply": call("ask_user", json!({ "questions": [{ "question": "Which?" }] })) },
            { "when": {}, "reply": say("Done.") },
        ] },
        "long": { "sequence": [call("shell", json!({ "command": "sleep 300" })), say("Done.")] },
    }, "rules": [{ "when": {}, "reply": say("Done.") }] })
}

/// Rows of each table that hold a text, also within bytes; how many, and one of them.
async fn hits(url: &str, text: &str) -> BTreeMap<String, (i64, String)> {
    let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut connection = PgConnection::connect(url).await.unwrap();
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT quote_ident(relname) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert!(tables.len() > 20, "{tables:?}");
    let mut found = BTreeMap::new();
    for table in tables {
        let count: i64 = sqlx::query_scalar(AssertSqlSafe(format!(
            "SELECT count(*) FROM {table} t WHERE t::text ILIKE '%{text}%' OR t::text LIKE '%{hex}%'"
        )))
        .fetch_one(&mut connection)
        .await
        .unwrap();
        if count > 0 {
            let example: String = sqlx::query_scalar(AssertSqlSafe(format!(
                "SELECT left(t::text, 2000) FROM {table} t WHERE t::text ILIKE '%{text}%' OR t::text LIKE '%{hex}%' LIMIT 1"
            )))
            .fetch_one(&mut connection)
            .await
            .unwrap();
            found.insert(table, (count, example));
        }
    }
    found
}

async fn one<T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin>(
    url: &str,
    statement: String,
) -> T {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::query_scalar(AssertSqlSafe(statement)).fetch_one(&mut connection).await.unwrap()
}

/// Files and directories below that hold a text, or have it in their names.
fn files_with(below: &Path, text: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![below.to_owned()];
    while let Some(path) = left.pop() {
        let Ok(about) = std::fs::symlink_metadata(&path) else { continue };
        let named = path.file_name().is_some_and(|name| name.to_string_lossy().contains(text));
        if about.is_dir() {
            left.extend(std::fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
        }
        let holds = about.is_file()
            && std::fs::read(&path).is_ok_and(|bytes| bytes.windows(text.len()).any(|piece| piece == text.as_bytes()));
        if named || holds {
            found.push(path);
        }
    }
    found
}

/// Files below, with their sizes.
fn files_below(below: &Path) -> Vec<(PathBuf, u64)> {
    let entries = std::fs::read_dir(below).into_iter().flatten().flatten().map(|entry| entry.path());
    let each = entries.flat_map(|path| match std::fs::metadata(&path) {
        Ok(about) if about.is_dir() => files_below(&path),
        about => vec![(path, about.map_or(0, |about| about.len()))],
    });
    each.collect()
}

/// An archive of a repository that is too large for the database.
fn archive() -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(format!("{CANARY}.txt")), CANARY).unwrap();
    let script = "head -c 6000000 /dev/urandom > noise.bin && tar -czf - *.txt noise.bin";
    let made = Command::new("sh").args(["-c", script]).current_dir(dir.path()).output().unwrap();
    assert!(made.status.success() && made.stdout.len() > 5_000_000, "tar is missing, or packs noise");
    made.stdout
}

fn request(ground: &Ground, scenario: &str, words: &str) -> Value {
    let mut body = calculator::request(ground);
    body["request"] = json!(format!("{words} [scenario: {scenario}]"));
    body["checks"] = json!([]);
    body
}

async fn accepted(api: &Api, path: &str, body: &Value) -> Value {
    let (status, answer) = api.post(path, body).await;
    assert!((200..300).contains(&status), "{path}: {status} {answer}");
    answer
}

/// Answers what a task asks.
async fn answer(api: &Api, task: &str, words: &str) {
    let (_, pending) = api.get(&format!("/v1/tasks/{task}/approvals")).await;
    let open = pending["data"].as_array().unwrap().iter().find(|one| one["decision"].is_null()).unwrap();
    let path = format!("/v1/tasks/{task}/approvals/{}", open["id"].as_str().unwrap());
    let body = json!({ "decision": "answer", "answers": [words], "note": words });
    accepted(api, &path, &body).await;
}

/// Does what an operator does; its lines.
async fn operate(ground: &Ground, action: AdminAction) -> Vec<String> {
    let data = tempfile::tempdir().unwrap();
    admin(&ground.settings(data.path()), action).await.unwrap()
}

async fn erased(ground: &Ground, user: &str) {
    let since = Instant::now();
    loop {
        let state: Option<String> =
            one(&ground.database, format!("SELECT (SELECT state FROM erasures WHERE user_id = '{user}')")).await;
        if state.as_deref() == Some("done") {
            return;
        }
        assert!(since.elapsed() < PATIENCE, "{state:?}: {:?}", operate(ground, AdminAction::ListErasures).await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_an_erased_user_wrote_is_left_anywhere_and_others_go_on() {
    let mut ground = calculator::ground(&script()).await;
    ground.variables.push(("JOURNEYMAN_LEASE_TTL_SECONDS".to_owned(), "2".to_owned()));
    let (_dir, elsewhere) = second_data_dir();
    let objects = ground.data.path().join("objects");
    std::os::unix::fs::symlink(&objects, elsewhere.join("objects")).unwrap();
    let serving = ground.start().await;
    let working = ground.start_as(ServerRole::Worker, &elsewhere, None).await;
    let admin_api = serving.api();
    let name = CANARY.to_owned();
    let email = Some(format!("{CANARY}@example.com"));
    operate(&ground, AdminAction::AddUser { name: name.clone(), team: "default".to_owned(), role: Role::Admin, email })
        .await;
    let key = AdminAction::AddKey {
        name: name.clone(),
        user: name.clone(),
        team: "default".to_owned(),
        scopes: None,
        expires_at: None,
    };
    let his = Api { key: operate(&ground, key).await.pop().unwrap(), ..serving.api() };
    let user = his.get("/v1/me").await.1["user"]["id"].as_str().unwrap().to_owned();

    // What he makes: tasks of every kind, an upload, memories, a key, what is kept to answer him again.
    accepted(&his, "/v1/api_keys", &json!({ "name": CANARY })).await;
    let upload = his.http.post(format!("{}/v1/uploads", his.base)).bearer_auth(&his.key).body(archive());
    let upload: Value = upload.send().await.unwrap().json().await.unwrap();
    let mut whole = request(&ground, "his", CANARY);
    whole["title"] = json!(format!("{CANARY} sings"));
    whole["labels"] = json!({ CANARY: CANARY });
    whole["checks"] = json!([format!("test -f {CANARY} || echo no {CANARY}; true")]);
    whole["output_schema"] = json!({ "type": "object", "description": CANARY });
    let sent = his.http.post(format!("{}/v1/tasks", his.base)).bearer_auth(&his.key).header("idempotency-key", CANARY);
    let first: Value = sent.json(&whole).send().await.unwrap().json().await.unwrap();
    let first = first["id"].as_str().unwrap().to_owned();
    assert_eq!(his.rest(&first).await["waiting_for"], "input");
    answer(&his, &first, CANARY).await;
    his.rest(&first).await;
    let mut uploaded = request(&ground, "plain", CANARY);
    uploaded["repository"] = json!({ "upload": upload["id"] });
    let uploaded = his.create(&uploaded).await;
    assert_eq!(his.rest(&uploaded).await["status"], "succeeded");
    let forked = his.create(&request(&ground, "plain", CANARY)).await;
    accepted(&his, &format!("/v1/tasks/{forked}/messages"), &json!({ "text": CANARY })).await;
    his.until(&forked, |task| task["status"] == "succeeded").await;
    let runs = his.create(&request(&ground, "long", CANARY)).await;
    his.met(&runs, "tool.started", 1).await;
    let url = calculator::request(&ground)["repository"]["url"].clone();
    accepted(&his, "/v1/memories", &json!({ "text": format!("a {CANARY} is mine") })).await;
    let shared =
        json!({ "text": format!("mend add as the {CANARY} does"), "scope": "team_repository", "repository": url });
    accepted(&his, "/v1/memories", &shared).await;
    let instructions = his.http.put(format!("{}/v1/instructions", his.base)).bearer_auth(&his.key);
    let instructions = instructions.json(&json!({ "text": "Be brief." })).send().await.unwrap();
    assert!(instructions.status().is_success(), "{:?}", instructions.text().await);

    // What he leaves in tasks of others.
    let theirs = admin_api.create(&request(&ground, "asks", "mend add")).await;
    assert_eq!(admin_api.rest(&theirs).await["waiting_for"], "input");
    answer(&his, &theirs, CANARY).await;
    let run = admin_api.rest(&theirs).await["run"].as_u64();
    accepted(&his, &format!("/v1/tasks/{theirs}/messages"), &json!({ "text": format!("and a {CANARY}") })).await;
    admin_api.until(&theirs, |task| task["status"] == "succeeded" && task["run"].as_u64() > run).await;
    accepted(&his, &format!("/v1/tasks/{theirs}/feedback"), &json!({ "rating": "down", "comment": CANARY })).await;
    let reviewed = json!({ "review_comments": [{ "text": CANARY, "author": CANARY, "path": CANARY }] });
    accepted(&his, &format!("/v1/tasks/{theirs}/feedback"), &reviewed).await;
    let scopes = Some(vec![Scope::TasksRead, Scope::TasksWrite, Scope::TasksDelegate]);
    let key = AdminAction::AddKey {
        name: "tool".to_owned(),
        user: name.clone(),
        team: "default".to_owned(),
        scopes,
        expires_at: None,
    };
    let tool = Api { key: operate(&ground, key).await.pop().unwrap(), ..serving.api() };
    let admins = admin_api.get("/v1/me").await.1["user"]["id"].clone();
    let mut delegated = request(&ground, "plain", "for another");
    delegated["on_behalf_of"] = admins;
    let delegated = tool.create(&delegated).await;
    assert_eq!(admin_api.rest(&delegated).await["status"], "succeeded");
    let fork = accepted(&admin_api, &format!("/v1/tasks/{forked}/fork"), &json!({ "request": "go on" })).await;
    let fork = fork["id"].as_str().unwrap().to_owned();
    assert_eq!(admin_api.rest(&fork).await["status"], "succeeded");
    let recalled = admin_api.events(&theirs).await;
    assert!(
        recalled.iter().any(|event| event["kind"] == "memory.used" && event.to_string().contains(CANARY)),
        "another's task was shown his memory: {recalled:#?}"
    );

    let before = hits(&ground.database, CANARY).await;
    for table in [
        "users",
        "api_keys",
        "tasks",
        "task_events",
        "approvals",
        "feedback",
        "merges",
        "memories",
        "idempotency_keys",
        "usage_days",
        "team_instructions",
        "blobs",
    ] {
        assert!(before.contains_key(table), "the canary is in {table}: {before:?}");
    }
    assert!(!files_with(ground.data.path(), CANARY).is_empty() || !files_with(&elsewhere, CANARY).is_empty());
    let upload = files_below(&objects);
    assert_eq!(upload.len(), 1, "the upload is an object: {upload:?}");
    let used = format!("SELECT coalesce(sum(model_calls), 0)::bigint FROM usage_days WHERE user_id = '{user}'");
    let logged = format!("SELECT count(*) FROM audit_log WHERE user_id = '{user}'");
    let (calls, entries): (i64, i64) =
        (one(&ground.database, used.clone()).await, one(&ground.database, logged.clone()).await);
    assert!(calls > 0 && entries > 0);

    let told = operate(&ground, AdminAction::EraseUser { user: name.clone() }).await;
    assert!(told[0].contains(&user), "{told:?}");
    let since = Instant::now();
    while his.get("/v1/me").await.0 != 401 {
        assert!(since.elapsed() < Duration::from_secs(10), "his key ends");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    erased(&ground, &user).await;
    assert_eq!(hits(&ground.database, CANARY).await, BTreeMap::new());
    assert_eq!(
        files_below(&objects),
        [],
        "of these before: {upload:?}; {:?}",
        operate(&ground, AdminAction::ListErasures).await
    );
    let his_rows: i64 = one(&ground.database, format!("SELECT count(*) FROM users WHERE id = '{user}'")).await;
    assert_eq!((his_rows, one(&ground.database, used).await, one(&ground.database, logged).await), (0, calls, entries));
    let listed = operate(&ground, AdminAction::ListErasures).await;
    assert!(
        listed[0].contains("done") && listed[0].contains("4 tasks") && listed[0].contains("2 memories"),
        "{listed:?}"
    );

    // Others' work is whole but for his words, and goes on.
    assert_eq!(admin_api.get(&format!("/v1/tasks/{first}")).await.0, 404);
    let (_, conversation) = admin_api.get(&format!("/v1/tasks/{theirs}/conversation?limit=100")).await;
    assert!(conversation.to_string().contains("(erased)"), "{conversation:#}");
    let events = admin_api.events(&delegated).await;
    assert_eq!(events[0]["data"]["requested_by"]["name"], "(deleted user)", "{:#}", events[0]);
    assert!(events[0].to_string().contains("for another"), "what was asked for somebody is his: {:#}", events[0]);
    for task in [&theirs, &fork] {
        let run = admin_api.get(&format!("/v1/tasks/{task}")).await.1["run"].as_u64();
        accepted(&admin_api, &format!("/v1/tasks/{task}/messages"), &json!({ "text": "once more" })).await;
        let done = admin_api.until(task, |task| task["status"] == "succeeded" && task["run"].as_u64() > run).await;
        assert!(!done.to_string().contains(CANARY), "{done:#}");
    }
    assert_eq!(hits(&ground.database, CANARY).await, BTreeMap::new(), "going on brings nothing back");

    // Every replica clears its own disk: one that was away when it starts.
    serving.stop().await;
    working.stop().await;
    let (serving, working) = (ground.start().await, ground.start_as(ServerRole::Worker, &elsewhere, None).await);
    let since = Instant::now();
    loop {
        let left: Vec<PathBuf> =
            [ground.data.path(), &elsewhere].into_iter().flat_map(|dir| files_with(dir, CANARY)).collect();
        let kept: Vec<_> =
            [ground.data.path(), &elsewhere].into_iter().flat_map(|dir| files_below(&dir.join("uploads"))).collect();
        if left.is_empty() && kept.is_empty() {
            break;
        }
        assert!(since.elapsed() < Duration::from_secs(30), "{left:#?}, uploads: {kept:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }

    // Who comes with his name is somebody new.
    let again = ground.member(&serving.base, "default", CANARY).await;
    assert_ne!(again.get("/v1/me").await.1["user"]["id"], json!(user));
    assert_eq!(again.get("/v1/memories").await.1["data"], json!([]));
    serving.stop().await;
    working.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_that_is_killed_is_gone_on_with_by_another_replica() {
    let mut ground = Ground::new(&script()).await;
    ground.variables.push(("JOURNEYMAN_LEASE_TTL_SECONDS".to_owned(), "2".to_owned()));
    let ((_one, here), (_other, elsewhere)) = (second_data_dir(), second_data_dir());
    let service = ground.start_as(ServerRole::Api, ground.data.path(), None).await;
    let his = ground.member(&service.base, "default", "gone").await;
    let user = his.get("/v1/me").await.1["user"]["id"].as_str().unwrap().to_owned();
    let first = his.create(&json!({ "request": CANARY })).await;
    // Many tasks with long logs, as they would be after years.
    let tasks = 2_000_i64;
    let mut connection = PgConnection::connect(&ground.database).await.unwrap();
    for statement in [
        format!(
            "INSERT INTO tasks (team, id, created_by, title, request, status, source_kind, spec, log_version)
             SELECT team, gen_random_uuid(), created_by, title, request, 'succeeded', source_kind, spec, log_version
             FROM tasks, generate_series(2, {tasks}) WHERE id = '{first}'"
        ),
        "INSERT INTO task_heads (team, task) SELECT team, id FROM tasks ON CONFLICT DO NOTHING".to_owned(),
        format!(
            "INSERT INTO task_events (team, task, seq, run, turn, at, kind, data)
             SELECT t.team, t.id, g, 1, 0, now(), 'reasoning', json_build_object('summary', '{CANARY}')::text
             FROM tasks t, generate_series(10, 60) g"
        ),
    ] {
        sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
    }
    operate(&ground, AdminAction::EraseUser { user: "gone".to_owned() }).await;
    let left = format!("SELECT count(*) FROM tasks WHERE created_by = '{user}'");
    let one_of_two = Running::worker(&ground, &here);
    let other = Running::worker(&ground, &elsewhere);
    let since = Instant::now();
    loop {
        let now: i64 = one(&ground.database, left.clone()).await;
        if now < tasks - 20 {
            break;
        }
        assert!(since.elapsed() < PATIENCE, "it begins");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    one_of_two.kill();
    other.kill();
    let now: i64 = one(&ground.database, left).await;
    assert!(now > 0, "it was killed in the midst of it");
    let state: String = one(&ground.database, format!("SELECT state FROM erasures WHERE user_id = '{user}'")).await;
    assert_eq!(state, "running");
    let _third = Running::worker(&ground, &elsewhere);
    erased(&ground, &user).await;
    assert_eq!(hits(&ground.database, CANARY).await, BTreeMap::new());
    let listed = operate(&ground, AdminAction::ListErasures).await;
    assert!(listed[0].contains(&format!("{tasks} tasks")), "each is counted once: {listed:?}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_team_keeps_its_tasks_for_as_long_as_it_says_and_no_longer_than_the_instance_does() {
    let mut ground = Ground::new(&script()).await;
    ground.variables.push(("JOURNEYMAN_TASK_RETENTION_DAYS".to_owned(), "30".to_owned()));
    let service = ground.start_as(ServerRole::Api, ground.data.path(), None).await;
    let ours = service.api();
    let theirs = ground.member(&service.base, "brief", "eve").await;
    let mut made = Vec::new();
    for (api, days) in [(&ours, 8), (&ours, 31), (&theirs, 6), (&theirs, 8)] {
        let task = api.create(&json!({ "request": "say done" })).await;
        let mut connection = PgConnection::connect(&ground.database).await.unwrap();
        let old = format!(
            "UPDATE tasks SET status = 'succeeded', finished_at = now() - interval '{days} days' WHERE id = '{task}'"
        );
        for statement in [old, format!("DELETE FROM jobs WHERE id = '{task}'")] {
            sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
        }
        made.push((api, task));
    }
    let set = |tasks: Option<u32>| AdminAction::Retention {
        team: "brief".to_owned(),
        tasks_days: tasks,
        history_days: Some(1),
    };
    let told = operate(&ground, set(Some(90))).await;
    assert!(told.iter().any(|line| line.contains("30 days")), "the instance's own is shorter: {told:?}");
    operate(&ground, set(Some(7))).await;
    let (_dir, elsewhere) = second_data_dir();
    let worker = ground.start_as(ServerRole::Worker, &elsewhere, None).await;
    let there = async || {
        let mut found = Vec::new();
        for (api, task) in &made {
            found.push(api.get(&format!("/v1/tasks/{task}")).await.0);
        }
        found
    };
    let since = Instant::now();
    while there().await != [200, 404, 200, 404] {
        assert!(since.elapsed() < Duration::from_secs(20), "{:?}", there().await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    worker.stop().await;
    service.stop().await;
}
