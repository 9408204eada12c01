//! The drill: a server that runs is backed up, destroyed, and goes on elsewhere; and what a restore refuses.

use crate::support::{
    calculator::{self, BROKEN},
    empty_database,
    process::Process,
    replayed::{export, fold},
    service::{Api, Ground, call, plan, say, second_data_dir},
    stream::{Seen, Stream},
};
use journeyman::{
    app::{AdminAction, LeftOut, Place, admin},
    postgres::Cluster,
};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};
use tempfile::TempDir;

const TOKEN: &str = "canary-token-of-the-drill";

fn script() -> Value {
    let edit = || call("edit", json!({ "path": "calc.py", "old": "a - b", "new": "a + b" }));
    let slow: Vec<Value> = calculator::ten_turns()["sequence"].as_array().unwrap().clone();
    json!({ "pace": { "first_byte_ms": 150 }, "scenarios": {
        "quick": { "sequence": [plan(), edit(), say("Mended.")] },
        "asks": { "sequence": [call("ask_user", json!({ "questions": [{ "question": "Which?" }] })), say("Done.")] },
        "slow": { "sequence": slow },
    } })
}

fn request(ground: &Ground, scenario: &str) -> Value {
    let mut body = calculator::request(ground);
    body["request"] = json!(format!("mend add [scenario: {scenario}]"));
    if scenario == "asks" {
        body["checks"] = json!([]);
    }
    body
}

/// An archive of a repository that is too large for the database.
fn archive() -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("calc.py"), BROKEN).unwrap();
    std::fs::write(dir.path().join("test_calc.py"), calculator::TESTS).unwrap();
    let script = "head -c 6000000 /dev/urandom > noise.bin && tar -czf - calc.py test_calc.py noise.bin";
    let made = Command::new("sh").args(["-c", script]).current_dir(dir.path()).output().unwrap();
    assert!(made.status.success() && made.stdout.len() > 5_000_000, "tar is missing, or packs noise");
    made.stdout
}

async fn back_up(ground: &Ground, data_dir: &Path, file: &Path) -> Vec<String> {
    let place = Place::File(file.to_owned());
    admin(&ground.settings(data_dir), AdminAction::Backup { place, left_out: LeftOut::default() }).await.unwrap()
}

async fn restore(ground: &Ground, data_dir: &Path, file: &Path) -> anyhow::Result<Vec<String>> {
    admin(&ground.settings(data_dir), AdminAction::Restore { place: Place::File(file.to_owned()) }).await
}

/// The same repositories and the same model over nothing; an empty URL is a private cluster.
fn anew(ground: Ground, database: String) -> Ground {
    let data = tempfile::tempdir().unwrap();
    std::fs::set_permissions(data.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711)).unwrap();
    Ground { data, database, ..ground }
}

async fn answer(api: &Api, task: &str) {
    let (_, pending) = api.get(&format!("/v1/tasks/{task}/approvals")).await;
    let id = pending["data"][0]["id"].as_str().unwrap();
    let path = format!("/v1/tasks/{task}/approvals/{id}");
    let (status, answered) = api.post(&path, &json!({ "decision": "answer", "answers": ["the first"] })).await;
    assert_eq!(status, 200, "{answered}");
}

#[track_caller]
fn contiguous(events: &[Value]) {
    let seqs: Vec<i64> = events.iter().map(|event| event["seq"].as_i64().unwrap()).collect();
    assert_eq!(seqs, (1..=seqs.len() as i64).collect::<Vec<_>>(), "each event once and in order");
}

/// What a stream shows of a task after a seq, to the end of its run.
async fn followed(api: &Api, task: &str, after: i64) -> Vec<Seen> {
    let mut stream = Stream::open(api, task, Some(after)).await.unwrap().unwrap();
    let mut seen = Vec::new();
    while let Some(next) = stream.next().await {
        let ended = next.is_end();
        seen.extend(next.id.is_some().then_some(next));
        if ended {
            break;
        }
    }
    seen
}

/// Rows of every table and what they are, but for transaction ids; as somebody who sees all.
async fn contents(url: &str) -> Vec<(String, i64, Option<String>)> {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let tables: Vec<(String, String)> = sqlx::query_as(
        "SELECT c.relname::text, string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)
         FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
            AND a.atttypid <> 'xid8'::regtype
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND c.relpersistence = 'p' GROUP BY c.relname ORDER BY 1",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    let mut found = Vec::new();
    for (name, columns) in tables {
        let (count, digest): (i64, Option<String>) = sqlx::query_as(AssertSqlSafe(format!(
            "SELECT count(*), md5(string_agg(t::text, E'\\n' ORDER BY t::text)) FROM (SELECT {columns} FROM {name}) t"
        )))
        .fetch_one(&mut connection)
        .await
        .unwrap();
        found.push((name, count, digest));
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_runs_is_backed_up_destroyed_and_goes_on_elsewhere() {
    let ground = calculator::ground(&script()).await;
    let lost = TempDir::new().unwrap();
    std::fs::set_permissions(lost.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711)).unwrap();
    let process = Process::start(&ground, lost.path());
    let api = process.api.clone();
    let ended = api.create(&request(&ground, "quick")).await;
    assert_eq!(api.rest(&ended).await["result"]["verdict"], "verified");
    let asks = api.create(&request(&ground, "asks")).await;
    assert_eq!(api.rest(&asks).await["waiting_for"], "input");
    let setup = format!("test \"$TOKEN\" = {TOKEN} || exit 9; echo set up > ready.txt");
    let (status, environment) = api.post("/v1/environments", &json!({ "name": "kept", "setup": setup })).await;
    assert_eq!(status, 201, "{environment}");
    let path = format!("{}/v1/environments/{}/secrets/TOKEN", api.base, environment["id"].as_str().unwrap());
    let body = json!({ "value": TOKEN, "use": "setup" });
    assert_eq!(api.http.put(path).bearer_auth(&api.key).json(&body).send().await.unwrap().status(), 204);
    let upload = api.http.post(format!("{}/v1/uploads", api.base)).bearer_auth(&api.key).body(archive());
    let upload: Value = upload.send().await.unwrap().json().await.unwrap();
    let (_, patch) = api.text(&format!("/v1/tasks/{ended}/patch")).await;
    let mut runs = Vec::new();
    for _ in 0..3 {
        runs.push(api.create(&request(&ground, "slow")).await);
    }
    for task in &runs {
        api.answered(task, 2).await;
    }
    let before: Vec<Vec<Value>> = futures::future::join_all(runs.iter().map(|task| api.events(task))).await;

    let files = TempDir::new().unwrap();
    let file = files.path().join("one.backup");
    let told = back_up(&ground, lost.path(), &file).await;
    assert!(told[0].starts_with("backed up:") && told[0].ends_with("1 objects"), "{told:?}");
    assert!(told[1].contains("the master key is in it"), "{told:?}");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600, "it is for its owner alone");
    let place = Place::File(file.clone());
    let again = admin(&ground.settings(lost.path()), AdminAction::Backup { place, left_out: LeftOut::default() }).await;
    assert!(again.unwrap_err().to_string().contains("is there already"), "no backup is written over another");
    process.kill();
    drop(lost);

    // Elsewhere: another data directory, and a private cluster of its own, whose transactions are counted from the start.
    let ground = anew(ground, String::new());
    let told = restore(&ground, ground.data.path(), &file).await.unwrap();
    assert!(told[0].starts_with("restored as of"), "{told:?}");
    assert!(ground.data.path().join("secret-key").exists());
    let service = ground.start().await;
    let api = service.api();
    let streams = runs.iter().zip(&before).map(|(task, before)| followed(&api, task, before.len() as i64));
    let streams = futures::future::join_all(streams).await;
    for ((task, before), seen) in runs.iter().zip(&before).zip(streams) {
        let rests = api.rest(task).await;
        assert_eq!(
            (&rests["status"], &rests["result"]["verdict"]),
            (&json!("succeeded"), &json!("verified")),
            "{rests:#}"
        );
        let events = api.events(task).await;
        contiguous(&events);
        assert_eq!(events[..before.len()], before[..], "what was told before is told as it was");
        let ids: Vec<i64> = seen.iter().map(|seen| seen.id.unwrap()).collect();
        assert_eq!(ids, (before.len() as i64 + 1..=events.len() as i64).collect::<Vec<_>>(), "the feed has no gap");
        assert!(events.iter().any(|event| event["kind"] == "recovered"), "it went on elsewhere: {events:#?}");
        assert_eq!(fold(&export(&api, task, "").await).difference, None);
    }
    assert_eq!(api.text(&format!("/v1/tasks/{ended}/patch")).await.1, patch);
    answer(&api, &asks).await;
    assert_eq!(api.rest(&asks).await["status"], "succeeded");
    let mut with_secret = request(&ground, "quick");
    with_secret["environment"] = json!("kept");
    let with_secret = api.rest(&api.create(&with_secret).await).await;
    assert_eq!(with_secret["status"], "succeeded", "the secret opens: {with_secret:#}");
    let mut of_upload = request(&ground, "quick");
    of_upload["repository"] = json!({ "upload": upload["id"] });
    let of_upload = api.rest(&api.create(&of_upload).await).await;
    assert_eq!(of_upload["result"]["verdict"], "verified", "the object is read: {of_upload:#}");
    service.stop().await;

    // And back, out of a cluster that nobody uses into a database whose owner is no superuser.
    let file = files.path().join("two.backup");
    back_up(&ground, ground.data.path(), &file).await;
    let url = empty_database().await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let (name,): (String,) =
        sqlx::query_as("SELECT current_database()::text").fetch_one(&mut connection).await.unwrap();
    for statement in [
        "DO $$ BEGIN CREATE ROLE plain_owner CREATEROLE; EXCEPTION WHEN duplicate_object THEN NULL; END $$".to_owned(),
        format!("ALTER DATABASE {name} OWNER TO plain_owner"),
        "ALTER SCHEMA public OWNER TO plain_owner".to_owned(),
        "DO $$ BEGIN CREATE ROLE journeyman_app NOLOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$".to_owned(),
        "DO $$ BEGIN CREATE ROLE journeyman_worker NOLOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
            .to_owned(),
        "GRANT journeyman_app, journeyman_worker TO plain_owner".to_owned(),
    ] {
        sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
    }
    let private = ground.settings(ground.data.path());
    let lock = journeyman::postgres::DataDirLock::take(ground.data.path()).unwrap();
    let cluster = Cluster::start(
        &lock,
        &journeyman::postgres::ClusterSettings {
            search_path: private.database.search_path.clone(),
            ..Default::default()
        },
    )
    .await
    .unwrap();
    let from = contents(cluster.url()).await;
    cluster.stop().await.unwrap();
    drop(lock);
    let owned = format!("{url}&options[role]=plain_owner");
    let ground = anew(ground, owned);
    restore(&ground, ground.data.path(), &file).await.unwrap();
    let to = contents(&url).await;
    assert_eq!(from.len(), to.len());
    for (from, to) in from.iter().zip(&to) {
        // It tells of the backup and of the restore.
        if !["audit_log", "_sqlx_migrations"].contains(&from.0.as_str()) {
            assert_eq!(from, to);
        }
    }
    let ahead: i64 = sqlx::query_scalar("SELECT count(*) FROM task_events WHERE xid >= pg_current_xact_id()")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(ahead, 0, "no event is of a transaction that is still to come");
    let unforced: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relrowsecurity AND NOT relforcerowsecurity",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert!(unforced.is_empty(), "{unforced:?}");

    // One replica serves, another drives: what it writes is told at once.
    let (_dir, elsewhere) = second_data_dir();
    let key = ground.data.path().join("secret-key");
    std::fs::copy(&key, elsewhere.join("secret-key")).unwrap();
    let serving = Process::api_only(&ground, ground.data.path());
    let _worker = crate::support::process::Running::worker(&ground, &elsewhere);
    let task = serving.api.create(&request(&ground, "slow")).await;
    let since = Instant::now();
    let seen = followed(&serving.api, &task, 0).await;
    assert_eq!(
        seen.iter().map(|seen| seen.id.unwrap()).collect::<Vec<_>>(),
        (1..=seen.len() as i64).collect::<Vec<_>>()
    );
    assert!(seen.iter().any(Seen::is_end) && since.elapsed() < Duration::from_secs(30), "{:?}", since.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_cannot_be_whole_changes_nothing_and_says_why() {
    let ground = Ground::new(&json!({ "sequence": [say("Done.")] })).await;
    let service = ground.start().await;
    let api = service.api();
    let task = api.create(&json!({ "request": "say done" })).await;
    assert_eq!(api.rest(&task).await["status"], "succeeded");
    let (_, environment) = api.post("/v1/environments", &json!({ "name": "kept" })).await;
    let path = format!("{}/v1/environments/{}/secrets/TOKEN", api.base, environment["id"].as_str().unwrap());
    let body = json!({ "value": TOKEN, "use": "setup" });
    assert_eq!(api.http.put(path).bearer_auth(&api.key).json(&body).send().await.unwrap().status(), 204);
    let files = TempDir::new().unwrap();
    let file: PathBuf = files.path().join("whole.backup");
    back_up(&ground, ground.data.path(), &file).await;

    let fails = async |ground: &Ground, data: &Path, file: &Path| {
        format!("{:#}", restore(ground, data, file).await.expect_err("it is refused"))
    };
    let in_use = fails(&ground, ground.data.path(), &file).await;
    assert!(in_use.contains("stop it first"), "{in_use}");
    let (_dir, elsewhere) = second_data_dir();
    let full = fails(&ground, &elsewhere, &file).await;
    assert!(full.contains("is not empty") && full.contains("restore into a new one"), "{full}");
    service.stop().await;

    let ground = anew(ground, empty_database().await);
    let whole = std::fs::read(&file).unwrap();
    let cut = files.path().join("cut.backup");
    std::fs::write(&cut, &whole[..whole.len() * 2 / 3]).unwrap();
    let broken = fails(&ground, ground.data.path(), &cut).await;
    assert!(broken.contains("cannot be read") || broken.contains("cut short"), "{broken}");
    let other = files.path().join("other.backup");
    std::fs::write(&other, b"\x1f\x8bnothing").unwrap();
    let none = fails(&ground, ground.data.path(), &other).await;
    assert!(none.contains("no backup"), "{none}");

    let (_dir, foreign) = second_data_dir();
    std::fs::write(foreign.join("secret-key"), "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVowMTIzNDU=\n").unwrap();
    std::fs::set_permissions(foreign.join("secret-key"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let key = fails(&ground, &foreign, &file).await;
    assert!(key.contains("JOURNEYMAN_SECRET_KEY_OLD") && key.contains("which is not set here"), "{key}");

    // Nothing of it is there: the whole one goes in, and its task is read.
    restore(&ground, ground.data.path(), &file).await.unwrap();
    let service = ground.start().await;
    assert_eq!(service.api().get(&format!("/v1/tasks/{task}")).await.1["status"], "succeeded");
    service.stop().await;
}
