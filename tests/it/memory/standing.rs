//! What becomes of memories as tasks come and go: stale files, crashes, forks and copies.

use crate::support::{
    calculator,
    failpoint::each_at_its_own_boundary,
    replayed::export,
    service::{Api, Ground, call, git, plan, say},
};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use std::{path::PathBuf, time::Duration};

fn repository(ground: &Ground) -> PathBuf {
    ground.repositories.path().join("calc")
}

fn url(ground: &Ground) -> String {
    format!("file://{}", repository(ground).display())
}

async fn remember(api: &Api, ground: &Ground, text: &str) -> String {
    let body = json!({ "text": text, "repository": url(ground), "scope": "team_repository" });
    let (status, memory) = api.post("/v1/memories", &body).await;
    assert_eq!(status, 201, "{memory}");
    memory["id"].as_str().unwrap().to_owned()
}

async fn memory(api: &Api, id: &str) -> Value {
    api.get(&format!("/v1/memories/{id}")).await.1
}

async fn patch(api: &Api, id: &str, body: &Value) -> Value {
    let request = api.http.patch(format!("{}/v1/memories/{id}", api.base)).bearer_auth(&api.key).json(body);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.json().await.unwrap()
}

/// A memory's evidence names a file as it is at a revision.
async fn speaks_of(ground: &Ground, id: &str, path: &str, revision: &str) {
    let oid = git(&repository(ground), &["rev-parse", &format!("{revision}:{path}")]);
    let evidence = json!({ "task": id, "events": [1], "files": [{ "path": path, "oid": oid.trim() }] });
    let mut owner = PgConnection::connect(&ground.database).await.unwrap();
    sqlx::query("UPDATE memories SET evidence = $2 WHERE id = $1::uuid")
        .bind(id)
        .bind(evidence.to_string())
        .execute(&mut owner)
        .await
        .unwrap();
    owner.close().await.unwrap();
}

fn commit(ground: &Ground, path: &str, content: &str) {
    let repository = repository(ground);
    std::fs::write(repository.join(path), content).unwrap();
    let author = ["-c", "user.name=Test", "-c", "user.email=test@example.com"];
    git(&repository, &[&author[..], &["commit", "--quiet", "--all", "--message", "another"]].concat());
}

/// What a task recalled whose base is a branch, or the default one.
async fn recalled(api: &Api, ground: &Ground, branch: Option<&str>) -> Value {
    let mut repository = json!({ "url": url(ground) });
    if let Some(branch) = branch {
        repository["ref"] = json!(branch);
    }
    let body = json!({ "request": "how does add work in calc?", "mode": "answer", "repository": repository });
    let task = api.create(&body).await;
    assert_eq!(api.rest(&task).await["status"], "succeeded");
    let used: Vec<Value> = api.events(&task).await.into_iter().filter(|event| event["kind"] == "memory.used").collect();
    assert_eq!(used.len(), 1);
    used[0]["data"].clone()
}

fn texts(used: &Value) -> Vec<&str> {
    used["memories"].as_array().unwrap().iter().map(|one| one["text"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_on_the_default_branch_makes_a_memory_stale_and_another_branch_does_not() {
    let ground = calculator::ground(&json!({ "sequence": [say("So.")] })).await;
    let service = ground.start().await;
    let api = service.api();
    let text = "In calc the sign of add is wrong on purpose";
    let id = remember(&api, &ground, text).await;
    speaks_of(&ground, &id, "calc.py", "main").await;
    git(&repository(&ground), &["checkout", "--quiet", "-b", "other"]);
    commit(&ground, "calc.py", "def add(a, b):\n    return sum([a, b])\n");
    git(&repository(&ground), &["checkout", "--quiet", "main"]);

    // On a branch where the file is another it is not used, and holds all the same.
    let used = recalled(&api, &ground, Some("other")).await;
    assert_eq!(texts(&used), Vec::<&str>::new());
    let reason = "calc.py has changed since";
    assert_eq!(used["stale"], json!([{ "memory": id, "reason": reason, "stays": true }]));
    assert_eq!(
        (memory(&api, &id).await["state"].as_str(), memory(&api, &id).await["used"].as_u64()),
        (Some("active"), Some(0))
    );
    assert_eq!(texts(&recalled(&api, &ground, None).await), [text]);

    git(&repository(&ground), &["branch", "before"]);
    commit(&ground, "calc.py", "def add(a, b):\n    return a + b\n");
    let used = recalled(&api, &ground, None).await;
    assert_eq!((texts(&used), &used["stale"]), (vec![], &json!([{ "memory": id, "reason": reason }])));
    let stale = memory(&api, &id).await;
    assert_eq!((&stale["state"], &stale["used"]), (&json!("stale"), &json!(1)), "{stale:#}");
    let mut owner = PgConnection::connect(&ground.database).await.unwrap();
    let history: Vec<(String, String)> = sqlx::query_as("SELECT what, detail FROM memory_history WHERE what = 'stale'")
        .fetch_all(&mut owner)
        .await
        .unwrap();
    owner.close().await.unwrap();
    assert_eq!(history, [("stale".to_owned(), reason.to_owned())], "it is told once");
    let prompts: Vec<Value> = ground.model.requests().await;
    assert!(!prompts.last().unwrap()["body"].to_string().contains(text), "it is in no prompt");
    // Stale is stale for all, also where the file is what it was.
    assert_eq!(texts(&recalled(&api, &ground, Some("before")).await), Vec::<&str>::new());

    // A person says that it holds: the files of then say nothing against it any more.
    let again = patch(&api, &id, &json!({ "state": "active" })).await;
    assert_eq!(again["state"], "active");
    assert_eq!(again["evidence"], json!({ "task": id, "events": [1] }), "{again:#}");
    assert_eq!(texts(&recalled(&api, &ground, None).await), [text]);
    assert_eq!(memory(&api, &id).await["state"], "active");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_recall_and_commit_counts_nothing_twice() {
    let (failpoint, seen) = each_at_its_own_boundary();
    let ground = calculator::ground(&json!({ "sequence": [say("As [M1] says.")] })).await;
    let service = ground.start_with(ground.data.path(), Some(failpoint)).await;
    let api = service.api();
    let holds = remember(&api, &ground, "In calc the sign of add is wrong on purpose").await;
    let (mut tasks, mut crashes) = (0, 0);
    loop {
        let used = recalled(&api, &ground, None).await;
        assert_eq!(used["memories"][0]["memory"], json!(holds));
        tasks += 1;
        // The last task is the one that was seen last; the first never crashes.
        let fell = seen.lock().unwrap().values().filter(|(_, fell)| *fell).count();
        if fell == crashes && tasks > 1 {
            break;
        }
        crashes = fell;
        assert!(tasks < 60, "there is no end to the boundaries");
    }
    assert!(crashes >= 4, "only {crashes} boundaries were met");
    let memory = memory(&api, &holds).await;
    assert_eq!(memory["used"], json!(tasks), "{crashes} crashes");
    service.stop().await;
}

async fn counted(ground: &Ground, task: &str) {
    let mut owner = PgConnection::connect(&ground.database).await.unwrap();
    for _ in 0..1_000 {
        let done: bool = sqlx::query_scalar("SELECT effects_run >= run FROM tasks WHERE id = $1::uuid")
            .bind(task)
            .fetch_one(&mut owner)
            .await
            .unwrap();
        if done {
            owner.close().await.unwrap();
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("what {task} did to memories was not counted");
}

#[tokio::test(flavor = "multi_thread")]
async fn forks_and_copies_count_for_their_own_runs_alone() {
    let mend = call("shell", json!({ "command": "printf 'def add(a, b):\\n    return a + b\\n' > calc.py" }));
    let ground = calculator::ground(&json!({ "rules": [
        { "when": { "calls": 0 }, "reply": plan() },
        { "when": { "calls": 1 }, "reply": mend },
        { "when": {}, "reply": say("Mended, as [M1] says.") },
    ] }))
    .await;
    let service = ground.start().await;
    let api = service.api();
    let id = remember(&api, &ground, "When you mend add, keep its name").await;
    let standing = async || {
        let memory = memory(&api, &id).await;
        (memory["used"].as_u64().unwrap(), memory["helped"].as_u64().unwrap(), memory["hurt"].as_u64().unwrap())
    };
    let first = api.create(&calculator::request(&ground)).await;
    assert_eq!(api.rest(&first).await["result"]["verdict"], "verified");
    counted(&ground, &first).await;
    assert_eq!(standing().await, (1, 1, 0));

    // A fork has what was recalled from the log that it began with; its own run counts.
    let (status, fork) = api.post(&format!("/v1/tasks/{first}/fork"), &json!({})).await;
    assert_eq!(status, 201, "{fork}");
    let fork = fork["id"].as_str().unwrap();
    assert_eq!(api.rest(fork).await["result"]["verdict"], "verified");
    counted(&ground, fork).await;
    assert_eq!(standing().await, (1, 2, 0));

    // The runs of a log from a file are another service's; those that follow here count.
    let file = export(&api, &first, "").await;
    let imported = api.http.post(format!("{}/v1/tasks/import", api.base)).bearer_auth(&api.key).body(file);
    let imported: Value = imported.send().await.unwrap().json().await.unwrap();
    let copy = imported["id"].as_str().unwrap();
    counted(&ground, copy).await;
    assert_eq!(standing().await, (1, 2, 0));
    let (status, body) = api.post(&format!("/v1/tasks/{copy}/messages"), &json!({ "text": "is it mended?" })).await;
    assert!(status < 300, "{body}");
    api.until(copy, |task| task["run"] == 2 && task["status"] == "succeeded").await;
    counted(&ground, copy).await;
    assert_eq!(standing().await, (1, 3, 0));
    // A word about the copy is about its last run.
    let (status, body) = api.post(&format!("/v1/tasks/{copy}/feedback"), &json!({ "rating": "down" })).await;
    assert_eq!(status, 201, "{body}");
    counted(&ground, copy).await;
    assert_eq!(standing().await, (1, 2, 1));
    service.stop().await;
}
