//! Contents too large for the database: in a directory or a bucket, read on any replica, held against their hashes, and
//! removed when nobody needs them.

use crate::support::{
    s3::{Fault, S3},
    service::{Ground, call, plan, say, second_data_dir},
};
use bytes::Bytes;
use futures::future::join_all;
use journeyman::{
    app::Role,
    clock,
    domain::{BlobHash, TaskId, TeamId},
    jobs::{Retention, RetentionSettings},
    objects::{Bucket, ObjectError, Objects, StoredObject},
    runner::Blobs,
    secrets::Secret,
    store::{Settings, Store},
};
use serde_json::{Value, json};
use std::{path::Path, time::Duration};
use tokio_util::sync::CancellationToken;

fn bucket(s3: &S3) -> Objects {
    bucket_silent_for(s3, Duration::from_millis(400))
}

fn bucket_silent_for(s3: &S3, timeout: Duration) -> Objects {
    Objects::bucket(&Bucket {
        name: "b".into(),
        prefix: String::new(),
        endpoint: Some(s3.endpoint.clone()),
        region: "us-east-1".into(),
        credentials: Some(("id".into(), Secret::new("a very secret secret"))),
        timeout,
        proxy: None,
        no_proxy: None,
        ca_pem: None,
    })
    .unwrap()
}

async fn stored(objects: &Objects, content: &[u8]) -> StoredObject {
    let team = TeamId(clock::new_id());
    let hash = BlobHash::of(content);
    let key = Objects::new_key(team, &hash);
    objects.put(&key, Bytes::copy_from_slice(content)).await.unwrap();
    StoredObject { objects: objects.clone(), key, hash, size: content.len() as u64 }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_is_read_as_it_was_written_or_not_at_all() {
    let s3 = S3::start().await;
    let dir = tempfile::tempdir().unwrap();
    let content: Vec<u8> = (0..20_000_000_u32).map(|at| (at % 251) as u8).collect();
    // A busy machine takes its time for 20 MB; who is silent is another test's.
    for objects in [bucket_silent_for(&s3, Duration::from_secs(20)), Objects::directory(dir.path()).unwrap()] {
        let object = stored(&objects, &content).await;
        assert_eq!(object.bytes().await.unwrap(), content);
        let other = StoredObject { hash: BlobHash::of(b"another"), ..object.clone() };
        assert!(matches!(other.bytes().await, Err(ObjectError::Wrong)));
        let longer = StoredObject { size: object.size + 1, ..object.clone() };
        assert!(matches!(longer.bytes().await, Err(ObjectError::Wrong)));
        objects.remove(&object.key).await.unwrap();
        objects.remove(&object.key).await.unwrap();
        assert!(matches!(object.bytes().await, Err(ObjectError::Missing)));
    }
    assert_eq!(s3.unsigned(), 0, "every request is signed");
    assert!(s3.keys().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_fails_is_told_apart() {
    let s3 = S3::start().await;
    let object = stored(&bucket(&s3), &vec![7; 100_000]).await;
    s3.fails(Fault::Slow);
    assert_eq!(object.bytes().await.unwrap().len(), 100_000, "slow is not wrong");
    for (fault, wrong) in [(Fault::WrongBytes, true), (Fault::CutOff, false), (Fault::Hangs, false)] {
        s3.fails(fault);
        let error = object.bytes().await.unwrap_err();
        assert_eq!(matches!(error, ObjectError::Wrong), wrong, "{fault:?}: {error}");
        assert!(!error.to_string().contains("127.0.0.1"), "{error}");
    }
    s3.fails(Fault::None);
    assert_eq!(object.bytes().await.unwrap().len(), 100_000);
    s3.lose(&s3.keys()[0]);
    assert!(matches!(object.bytes().await, Err(ObjectError::Missing)));
}

fn script() -> Value {
    let big =
        "python3 -c \"import sys; sys.stdout.buffer.write(bytes(i * 7 % 251 for i in range(5_500_000)))\" > big.bin";
    json!({ "sequence": [
        plan(), call("shell", json!({ "command": big })), call("shell", json!({ "command": "echo two > two.txt" })),
        say("Done."), call("shell", json!({ "command": "wc -c < big.bin" })), say("Still there."),
    ] })
}

async fn ground(s3: Option<&S3>) -> Ground {
    let mut ground = Ground::new(&script()).await;
    ground.repositories.make("calc", &[("calc.py", "def add(a, b):\n    return a + b\n")]);
    if let Some(s3) = s3 {
        for (name, value) in
            [("URL", "s3://b/house"), ("ENDPOINT", &s3.endpoint), ("KEY_ID", "id"), ("SECRET", "a very secret secret")]
        {
            ground.variables.push((format!("JOURNEYMAN_OBJECTS_{name}"), value.to_owned()));
        }
    }
    ground
}

fn request(ground: &Ground) -> Value {
    let url = format!("file://{}", ground.repositories.path().join("calc").display());
    json!({ "request": "make it", "repository": { "url": url }, "checks": ["test -f big.bin"] })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_worker_stores_in_a_bucket_every_replica_reads() {
    let s3 = S3::start().await;
    let ground = ground(Some(&s3)).await;
    let (_dir, elsewhere) = second_data_dir();
    let worker = ground.start_as(Role::Worker, ground.data.path(), None).await;
    let front = ground.start_as(Role::Api, &elsewhere, None).await;
    let api = front.api();
    let id = api.create(&request(&ground)).await;
    let task = api.rest(&id).await;
    assert_eq!(task["status"], "succeeded", "{task:#}");
    let wanted: Vec<u8> = (0..5_500_000_u64).map(|i| (i * 7 % 251) as u8).collect();
    let read = async |turn: &str| {
        let url = format!("{}/v1/tasks/{id}/files/big.bin{turn}", api.base);
        let answer = api.http.get(url).bearer_auth(&api.key).send().await.unwrap();
        (answer.status().as_u16(), answer.bytes().await)
    };
    let (status, bytes) = read("").await;
    assert_eq!((status, bytes.unwrap() == wanted), (200, true));
    assert_eq!(read("?turn=1").await.0, 404, "it was not there yet");
    assert!(s3.keys().iter().all(|key| key.starts_with("house/")), "{:?}", s3.keys());
    assert_eq!(s3.unsigned(), 0);
    let patch = api.text(&format!("/v1/tasks/{id}/patch")).await;
    assert_eq!(patch.0, 200);
    s3.fails(Fault::WrongBytes);
    let (_, bytes) = read("").await;
    assert!(bytes.is_err(), "wrong bytes are never a whole answer");
    s3.fails(Fault::None);
    worker.stop().await;
    front.stop().await;
}

async fn retention(ground: &Ground, history: Option<Duration>, grace: Duration) -> (Retention, Store, Objects) {
    let settings = Settings { connections: 2, ..Settings::new(ground.database.clone()) };
    let store = Store::connect(&settings, false).await.unwrap();
    let objects = Objects::directory(&ground.data.path().join("objects")).unwrap();
    let blobs = Blobs::new(store.clone(), objects.clone(), ground.data.path().join("uploads"));
    let settings = RetentionSettings { history, tasks: None, grace };
    (Retention::new(store.clone(), blobs, objects.clone(), settings), store, objects)
}

fn objects_in(directory: &Path) -> usize {
    let entries: Vec<_> = std::fs::read_dir(directory).map(|entries| entries.flatten().collect()).unwrap_or_default();
    entries.iter().map(|entry| if entry.path().is_dir() { objects_in(&entry.path()) } else { 1 }).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_of_an_ended_task_goes_and_what_a_next_run_or_a_fork_needs_stays() {
    let ground = ground(None).await;
    let service = ground.start().await;
    let api = service.api();
    let id = api.create(&request(&ground)).await;
    assert_eq!(api.rest(&id).await["status"], "succeeded");
    let fork = api.post(&format!("/v1/tasks/{id}/fork"), &json!({ "request": "go on" })).await.1;
    let fork = fork["id"].as_str().unwrap().to_owned();
    api.rest(&fork).await;
    let (retention, store, _) = retention(&ground, Some(Duration::ZERO), Duration::ZERO).await;
    for _ in 0..3 {
        retention.round().await.unwrap();
    }
    for task in [&id, &fork] {
        let (status, text) = api.text(&format!("/v1/tasks/{task}/files/two.txt")).await;
        assert_eq!((status, text.as_str()), (200, "two\n"));
        assert_eq!(api.get(&format!("/v1/tasks/{task}/patch")).await.0, 200);
    }
    // The working copy is gone too: it is laid anew from what was kept.
    std::fs::remove_dir_all(ground.data.path().join("workspaces")).ok();
    assert_eq!(api.post(&format!("/v1/tasks/{id}/messages"), &json!({ "text": "is it there?" })).await.0, 202);
    let task = api.until(&id, |task| task["run"] == 2 && task["status"] == "succeeded").await;
    assert_eq!(task["status"], "succeeded", "{task:#}");

    // Deleted, both: nothing of them is left.
    for task in [&id, &fork] {
        let url = format!("{}/v1/tasks/{task}", api.base);
        assert_eq!(api.http.delete(url).bearer_auth(&api.key).send().await.unwrap().status().as_u16(), 204);
    }
    let removed = retention.round().await.unwrap();
    assert!(removed.blobs > 3 && removed.objects >= 1, "{removed:?}");
    assert_eq!(objects_in(&ground.data.path().join("objects")), 0);
    store.close().await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_that_wake_and_fork_while_history_goes_keep_what_they_need() {
    let ground = ground(None).await;
    let service = ground.start().await;
    let api = service.api();
    let tasks = join_all((0..4).map(|_| async {
        let id = api.create(&request(&ground)).await;
        assert_eq!(api.rest(&id).await["status"], "succeeded");
        id
    }))
    .await;
    let (retention, store, _) = retention(&ground, Some(Duration::ZERO), Duration::from_secs(1)).await;
    let done = CancellationToken::new();
    let (over, mut let_go) = (done.clone(), 0);
    let rounds = tokio::spawn(async move {
        while !over.is_cancelled() {
            let_go += retention.round().await.unwrap().let_go;
        }
        let_go
    });
    let forks = join_all(tasks.iter().map(async |id| {
        let (fork, wake) = (format!("/v1/tasks/{id}/fork"), format!("/v1/tasks/{id}/messages"));
        let (on, there) = (json!({ "request": "go on" }), json!({ "text": "is it there?" }));
        let (fork, wake) = futures::join!(api.post(&fork, &on), api.post(&wake, &there));
        assert_eq!((fork.0, wake.0), (201, 202), "{fork:?} {wake:?}");
        fork.1["id"].as_str().unwrap().to_owned()
    }))
    .await;
    join_all(tasks.iter().map(async |id| {
        let rests = |task: &Value| task["run"] == 2 && task["status"] != "queued" && task["status"] != "running";
        let task = api.until(id, rests).await;
        assert_eq!(task["status"], "succeeded", "{task:#}");
    }))
    .await;
    for id in &forks {
        assert_eq!(api.rest(id).await["status"], "succeeded");
    }
    done.cancel();
    assert!(rounds.await.unwrap() > 0, "nothing was let go meanwhile");
    for id in tasks.iter().chain(&forks) {
        let url = format!("{}/v1/tasks/{id}/files/big.bin", api.base);
        let answer = api.http.get(url).bearer_auth(&api.key).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.bytes().await.unwrap().len()), (200, 5_500_000));
        assert_eq!(api.text(&format!("/v1/tasks/{id}/files/two.txt")).await.1, "two\n");
        assert_eq!(api.get(&format!("/v1/tasks/{id}/patch")).await.0, 200);
    }
    store.close().await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_too_large_for_a_patch_is_said() {
    let make = "head -c 17000000 /dev/zero > huge.bin; echo small > small.txt";
    let script = json!({ "sequence": [plan(), call("shell", json!({ "command": make })), say("Done.")] });
    let ground = Ground::new(&script).await;
    ground.repositories.make("calc", &[("calc.py", "x = 1\n")]);
    let service = ground.start().await;
    let api = service.api();
    let mut body = request(&ground);
    body["checks"] = json!(["test -f small.txt"]);
    let id = api.create(&body).await;
    let task = api.rest(&id).await;
    let findings = task["result"]["findings"].as_array().unwrap();
    let left_out = findings.iter().find(|finding| finding["kind"] == "left_out").unwrap_or_else(|| panic!("{task:#}"));
    assert_eq!(left_out["path"], "huge.bin");
    assert!(left_out["message"].as_str().unwrap().contains("larger than 16 MiB"), "{left_out}");
    assert_eq!(task["result"]["patch"]["files"], 1);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_crashes_leave_in_the_object_store_is_found_and_what_is_new_is_left_alone() {
    let ground = ground(None).await;
    let service = ground.start().await;
    let api = service.api();
    let id = api.create(&request(&ground)).await;
    assert_eq!(api.rest(&id).await["status"], "succeeded");
    let kept = objects_in(&ground.data.path().join("objects"));
    assert!(kept >= 1);
    let (patient, store, objects) = retention(&ground, None, Duration::from_secs(3_600)).await;
    // Written, and the process died before the row was.
    let key = Objects::new_key(TeamId(clock::new_id()), &BlobHash::of(b"left"));
    objects.put(&key, Bytes::from_static(b"left")).await.unwrap();
    assert_eq!(patient.sweep_objects().await.unwrap(), 0, "its row may still come");
    let (hasty, other, _) = retention(&ground, None, Duration::ZERO).await;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(hasty.sweep_objects().await.unwrap(), 1);
    assert_eq!(objects_in(&ground.data.path().join("objects")), kept);
    assert_eq!(hasty.round().await.unwrap().blobs, 0, "what a task holds stays");
    let task: TaskId = id.parse().unwrap();
    assert!(api.get(&format!("/v1/tasks/{task}/files/big.bin")).await.0 == 200);
    other.close().await;
    store.close().await;
    service.stop().await;
}
