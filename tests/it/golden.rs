//! Logs as earlier builds wrote them, read by this one. See `golden/README.md`.

use crate::support::{
    self,
    calculator::{BROKEN, TESTS},
    service::{Api, Ground, call, git, say},
};
use journeyman::{
    agent::{ModelFacts, Session, Step, next_step},
    domain::{Item, TaskId, event::Record},
    runner::Failpoint,
    store::{Settings, Store, log},
};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection, Row};
use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

/// What a log's fold comes to.
fn summary(records: &[Record]) -> Value {
    let (session, step) = folded(records);
    let result = records.iter().rposition(|record| record.event.data.kind() == "task.result").unwrap();
    let (_, before_end) = folded(&records[..result]);
    let verdict = session.result.as_ref().and_then(|result| result.verdict);
    let mut session = session;
    // What was expected of a log stands for ever; sums that came later are not in it.
    let mut usage = serde_json::to_value(session.usage).unwrap();
    for later in ["cache", "unreported"] {
        usage.as_object_mut().unwrap().remove(later);
    }
    let items: Vec<_> = session.take_items().iter().map(kind).collect();
    json!({
        "status": session.status, "waiting_for": session.waiting_for, "phase": session.phase,
        "run": session.run, "turn": session.turn, "last_seq": session.last_seq,
        "verdict": verdict, "error": session.error.as_ref().map(|error| error.code),
        "usage": usage, "used_in_run": { "model_calls": session.used.model_calls, "tokens": session.used.tokens },
        "planning": session.planning, "items": items, "inputs": session.inputs.len(),
        "commit": session.briefed.as_ref().map(|briefed| &briefed.commit),
        "tree": session.checkpoint.as_ref().map(|checkpoint| &checkpoint.tree), "patch": session.patch,
        "before_end": before_end, "next_step": step,
    })
}

fn folded(records: &[Record]) -> (Session, String) {
    let mut session = Session::start(&records[0].event).unwrap();
    for record in &records[1..] {
        session.apply(&record.event, record.private.as_ref());
    }
    let facts = ModelFacts { window_tokens: 128_000, max_output_tokens: 16_384, prices: None, reviewer: None };
    let step = next_step(&session, &facts, records.last().unwrap().event.at);
    let word = match &step {
        Step::Finish { end, .. } => format!("Finish {} {:?}", end.status.as_str(), end.verdict),
        other => format!("{other:?}").split(|c: char| !c.is_alphanumeric()).next().unwrap().to_owned(),
    };
    (session, word)
}

fn kind(item: &Item) -> &'static str {
    match item {
        Item::Developer { .. } => "developer",
        Item::User { .. } => "user",
        Item::Reply(_) => "reply",
        Item::Result { .. } => "result",
    }
}

/// The rows of a task as lines of JSON.
async fn written(connection: &mut PgConnection, task: TaskId) -> Vec<Value> {
    let rows =
        sqlx::query("SELECT seq, run, turn, at, kind, data, private FROM task_events WHERE task = $1 ORDER BY seq")
            .bind(task.0)
            .fetch_all(connection)
            .await
            .unwrap();
    let parsed = |text: Option<String>| text.map(|text| serde_json::from_str::<Value>(&text).unwrap());
    rows.iter()
        .map(|row| {
            json!({
                "task": task, "seq": row.get::<i64, _>("seq"), "run": row.get::<i32, _>("run"),
                "turn": row.get::<i32, _>("turn"),
                "at": row.get::<OffsetDateTime, _>("at").format(&Rfc3339).unwrap(),
                "kind": row.get::<String, _>("kind"),
                "data": parsed(row.get("data")), "private": parsed(row.get("private")),
            })
        })
        .collect()
}

/// Puts such lines into a database and reads them as a worker does.
async fn read(store: &Store, connection: &mut PgConnection, lines: &[Value]) -> Vec<Record> {
    let task: Uuid = lines[0]["task"].as_str().unwrap().parse().unwrap();
    for line in lines {
        let at = OffsetDateTime::parse(line["at"].as_str().unwrap(), &Rfc3339).unwrap();
        let private = Some(&line["private"]).filter(|private| !private.is_null()).map(Value::to_string);
        sqlx::query(
            "INSERT INTO task_events (team, task, seq, run, turn, at, kind, data, private)
             VALUES ($1, $1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(task)
        .bind(line["seq"].as_i64())
        .bind(line["run"].as_i64().unwrap() as i32)
        .bind(line["turn"].as_i64().unwrap() as i32)
        .bind(at)
        .bind(line["kind"].as_str())
        .bind(line["data"].to_string())
        .bind(private)
        .execute(&mut *connection)
        .await
        .unwrap();
    }
    log::records(store, TaskId(task), 0, 10_000).await.unwrap()
}

async fn empty() -> (Store, PgConnection) {
    let url = support::database().await;
    let store = Store::connect(&Settings { connections: 2, ..Settings::new(url.clone()) }, true).await.unwrap();
    (store, PgConnection::connect(&url).await.unwrap())
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn every_log_that_was_ever_written_reads_as_it_did() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden");
    let mut logs = Vec::new();
    for version in std::fs::read_dir(&golden).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        let files = std::fs::read_dir(&version).unwrap().map(|entry| entry.unwrap().path());
        logs.extend(files.filter(|path| path.extension().is_some_and(|extension| extension == "jsonl")));
    }
    assert!(logs.len() >= 4, "{logs:?}");
    let (store, mut connection) = empty().await;
    for path in logs {
        let lines = lines(&std::fs::read_to_string(&path).unwrap());
        let records = read(&store, &mut connection, &lines).await;
        assert_eq!(records.len(), lines.len());
        let expected = std::fs::read_to_string(path.with_extension("expected.json")).unwrap();
        let expected: Value = serde_json::from_str(&expected).unwrap();
        assert_eq!(summary(&records), expected, "{}", path.display());
    }
}

/// The stories, by name: how the model plays them. `[scenario: NAME]` in the request chooses.
fn script() -> Value {
    let edit = |old: &str, new: &str| call("edit", json!({ "path": "calc.py", "old": old, "new": new }));
    let plan = |status: &str, more: Value| {
        let mut plan = json!({ "plan": [
            { "step": "find what is wrong", "status": "completed" }, { "step": "mend it", "status": status },
        ] });
        plan.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        call("update_plan", plan)
    };
    let weighed = json!({
        "approaches": [
            { "name": "mend add", "for": "small", "against": "", "chosen": true },
            { "name": "write it anew", "for": "", "against": "large", "chosen": false },
        ],
        "criteria": ["add(2, 3) is 5"],
    });
    let mend = || call("shell", json!({ "command": "sed -i 's/a - b/a + b/' calc.py" }));
    let look = || call("shell", json!({ "command": "cat calc.py" }));
    json!({ "scenarios": {
        "refined": { "sequence": [
            { "reasoning": "The sign is wrong.", "text": "Let me look.", "calls": [
                { "tool": "read_file", "arguments": { "path": "calc.py" } },
                { "tool": "search", "arguments": { "pattern": "def add" } },
            ] },
            plan("in_progress", weighed), edit("a - b", "a * b"), say("Done."),
            edit("a * b", "a + b"), plan("completed", json!({})), say("Mended: add adds now."),
        ] },
        "recovered": { "sequence": [
            call("shell", json!({ "command": "sleep 1; echo one" })), plan("in_progress", json!({})),
            mend(), mend(), say("Mended, zero minded."),
        ] },
        "question": { "sequence": [call("read_file", json!({ "path": "calc.py" })), say("It subtracts.")] },
        "limited": { "sequence": [look(), look(), look()] },
    } })
}

/// The step boundary of `recovered` at which its worker crashes: with its `sed` under way.
const CRASH_AT: u32 = 15;

async fn story(api: &Api, upload: &Value, name: &str) -> String {
    let mut body = json!({ "request": format!("Mend add. [scenario: {name}]"), "repository": { "upload": upload } });
    match name {
        "question" => body["request"] = json!("What does add do? [scenario: question]"),
        "limited" => body["limits"] = json!({ "turns": 2 }),
        _ => {
            body["checks"] =
                json!(["python3 -m unittest", { "name": "compiles", "command": "python3 -m compileall -q ." }])
        }
    }
    let task = api.create(&body).await;
    if name == "recovered" {
        api.met(&task, "tool.started", 1).await;
        let steer = json!({ "text": "Mind the zero." });
        assert_eq!(api.post(&format!("/v1/tasks/{task}/messages"), &steer).await.0, 202);
    }
    api.rest(&task).await;
    task
}

/// Plays the stories on this build and reads their logs from files; keeps the files where
/// `JOURNEYMAN_RECORD_GOLDEN` says.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_of_this_build_reads_the_same_from_its_file() {
    let crashed = AtomicBool::new(false);
    let failpoint: Failpoint = Arc::new(move |_, boundary| {
        if boundary == CRASH_AT && !crashed.swap(true, Ordering::Relaxed) {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    let ground = Ground::new(&script()).await;
    ground.repositories.make("calc", &[("calc.py", BROKEN), ("test_calc.py", TESTS)]);
    let repository = ground.repositories.path().join("calc");
    git(&repository, &["bundle", "create", "--quiet", "calc.bundle", "main"]);
    let service = ground.start_with(ground.data.path(), Some(failpoint)).await;
    let api = service.api();
    let bundle = std::fs::read(repository.join("calc.bundle")).unwrap();
    let upload = api.http.post(format!("{}/v1/uploads", api.base)).bearer_auth(&api.key).body(bundle);
    let upload: Value = upload.send().await.unwrap().json().await.unwrap();

    // The one that crashes comes first, and has the failpoint for itself.
    let mut stories = BTreeMap::new();
    for name in ["recovered", "refined", "question", "limited"] {
        stories.insert(name, story(&api, &upload["id"], name).await);
    }
    let kept = std::env::var_os("JOURNEYMAN_RECORD_GOLDEN").map(PathBuf::from);
    let directory = tempfile::tempdir().unwrap();
    let directory = kept.as_deref().unwrap_or(directory.path());
    std::fs::create_dir_all(directory).unwrap();
    let (store, mut elsewhere) = empty().await;
    let here =
        Store::connect(&Settings { connections: 2, ..Settings::new(ground.database.clone()) }, true).await.unwrap();
    let mut connection = PgConnection::connect(&ground.database).await.unwrap();
    for (name, task) in stories {
        let task: TaskId = task.parse().unwrap();
        let rows = written(&mut connection, task).await;
        let text: String = rows.iter().map(|row| format!("{row}\n")).collect();
        let path = directory.join(format!("{name}.jsonl"));
        assert!(!path.exists(), "{} is never changed", path.display());
        std::fs::write(&path, text).unwrap();
        let records = log::records(&here, task, 0, 10_000).await.unwrap();
        let again = read(&store, &mut elsewhere, &lines(&std::fs::read_to_string(&path).unwrap())).await;
        assert_eq!(again, records);
        let summary = summary(&again);
        let expected = format!("{:#}\n", summary);
        std::fs::write(path.with_extension("expected.json"), expected).unwrap();

        let kinds: Vec<_> = records.iter().map(|record| record.event.data.kind()).collect();
        let has = |kind: &str| kinds.iter().filter(|k| **k == kind).count();
        match name {
            "refined" => assert_eq!((&summary["verdict"], has("checks.completed")), (&json!("verified"), 2)),
            "recovered" => {
                assert_eq!((&summary["verdict"], has("recovered"), has("message.user")), (&json!("verified"), 1, 1));
                assert!(rows.iter().any(|row| row["data"]["outcome"] == "interrupted"), "{kinds:#?}");
            }
            "question" => assert_eq!(summary["verdict"], "no_change"),
            _ => assert_eq!(summary["error"], "limit_turns"),
        }
    }
    service.stop().await;
}
