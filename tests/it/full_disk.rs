//! Full disks: a task's own limit, and the file system of the data directory.

use crate::support::{
    calculator::{self, BROKEN, TESTS, request, ten_turns},
    process::Process,
    service::{Ground, call, plan, say},
};
use journeyman::domain::TaskId;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use std::{
    fs::File,
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

fn shell(command: &str) -> Value {
    call("shell", json!({ "command": command }))
}

/// Outcome and output of each call.
fn answers(events: &[Value]) -> Vec<(&str, &str)> {
    let answers = events.iter().filter(|e| e["kind"] == "tool.completed").map(|e| &e["data"]);
    answers.map(|data| (data["outcome"].as_str().unwrap(), data["output"].as_str().unwrap())).collect()
}

const FILL: &str = "for n in 1 2 3 4; do head -c 20M /dev/zero > part$n; done; sleep 60";

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_fills_its_disk_is_ended_and_told_and_the_task_goes_on() {
    let mut ground = calculator::ground(&json!({ "pace": { "first_byte_ms": 200 }, "sequence": [
        plan(),
        shell("head -c 64M /dev/zero > big"),
        shell(FILL),
        // Whoever finds it full has time to clear it: longer than between two looks at the disk.
        shell("sleep 6; rm big part*; ls"),
        call("edit", json!({ "path": "calc.py", "old": "a - b", "new": "a + b" })),
        say("Mended."),
    ] }))
    .await;
    ground.variables.push(("JOURNEYMAN_SANDBOX_DISK_MIB".to_owned(), "32".to_owned()));
    let service = ground.start().await;
    let api = service.api();
    let id = api.create(&request(&ground)).await;
    let task = api.rest(&id).await;
    let events = api.events(&id).await;
    assert_eq!(task["result"]["verdict"], "verified", "{task:#} {events:#?}");
    let answers = &answers(&events)[1..];
    assert!(answers[0].0 == "error" && answers[0].1.contains("File size limit exceeded"), "{answers:#?}");
    assert!(answers[1].0 == "error" && answers[1].1.contains("grew beyond its limit"), "{answers:#?}");
    assert!(answers[2].0 == "ok" && answers[2].1.contains("calc.py"), "{answers:#?}");
    assert_eq!(task["result"]["patch"], json!({ "files": 1, "additions": 1, "deletions": 1 }));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_leaves_its_disk_full_ends_all_the_same() {
    let mut ground = calculator::ground(&json!({ "sequence": [shell(FILL), say("I give up.")] })).await;
    ground.variables.push(("JOURNEYMAN_SANDBOX_DISK_MIB".to_owned(), "32".to_owned()));
    let service = ground.start().await;
    let api = service.api();
    let mut body = request(&ground);
    body["mode"] = json!("answer");
    let id = api.create(&body).await;
    let task = api.rest(&id).await;
    assert_eq!(task["status"], "succeeded", "{task:#} {:#?}", api.events(&id).await);
    service.stop().await;
}

/// The data directory of a service as that service sees it: on a small file system of its own.
struct SmallDisk {
    filler: PathBuf,
    filling: Option<Filling>,
}

/// Takes what others give back, until it is dropped.
struct Filling {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl SmallDisk {
    const BYTES: &str = "67108864";

    fn start(ground: &Ground, data_dir: &Path) -> (Process, Self) {
        let directory = data_dir.to_str().unwrap();
        let starter =
            ["bwrap", "--die-with-parent", "--dev-bind", "/", "/", "--size", Self::BYTES, "--tmpfs", directory];
        let process = Process::start_by(ground, data_dir, &starter);
        let outer = process.running.id();
        let children = std::fs::read_to_string(format!("/proc/{outer}/task/{outer}/children")).unwrap();
        let filler = PathBuf::from(format!("/proc/{}/root{directory}/filler", children.trim()));
        (process, Self { filler, filling: None })
    }

    /// Takes all that is left of it, and what becomes free later.
    fn fill(&mut self) {
        let mut file = File::create(&self.filler).unwrap();
        fill_up(&mut file);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                fill_up(&mut file);
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        self.filling = Some(Filling { stop, thread });
    }

    fn make_room(&mut self) {
        let Filling { stop, thread } = self.filling.take().unwrap();
        stop.store(true, Ordering::Relaxed);
        thread.join().unwrap();
        std::fs::remove_file(&self.filler).unwrap();
    }
}

fn fill_up(file: &mut File) {
    for size in [1 << 20, 4 << 10, 1] {
        let piece = vec![0; size];
        loop {
            match file.write_all(&piece) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_data_directory_fails_tasks_visibly_or_makes_them_wait_and_loses_none() {
    let mut script = ten_turns();
    script["pace"]["first_byte_ms"] = 200.into();
    let ground = calculator::ground(&script).await;
    let unknown = ground.repositories.make("unknown", &[("calc.py", BROKEN), ("test_calc.py", TESTS)]);
    let (process, mut disk) = SmallDisk::start(&ground, ground.data.path());
    let api = &process.api;
    let (waits, gives_up) = (api.create(&request(&ground)).await, api.create(&request(&ground)).await);
    for task in [&waits, &gives_up] {
        api.answered(task, 7).await;
    }
    disk.fill();

    // What is created now is accepted, and fails for what it is: no room here, not the repository.
    let mut body = request(&ground);
    let known = api.create(&body).await;
    body["repository"]["url"] = json!(unknown);
    let unknown = api.create(&body).await;
    for task in [&known, &unknown] {
        let task = api.rest(task).await;
        assert_eq!(task["error"]["code"], "workspace_failed", "{task:#}");
        assert!(task["error"]["message"].as_str().unwrap().contains("storage"), "{task:#}");
    }
    // What has work to lose is tried again, though not for ever.
    let mut connection = PgConnection::connect(&ground.database).await.unwrap();
    api.met(&gives_up, "recovered", 1).await;
    sqlx::query("UPDATE jobs SET attempts = 25 WHERE id = $1")
        .bind(gives_up.parse::<TaskId>().unwrap().0)
        .execute(&mut connection)
        .await
        .unwrap();
    let task = api.rest(&gives_up).await;
    assert_eq!(task["error"]["code"], "internal", "{task:#}");
    api.met(&waits, "recovered", 1).await;
    assert_eq!(api.get(&format!("/v1/tasks/{waits}")).await.1["status"], "running");

    disk.make_room();
    let later = api.create(&request(&ground)).await;
    for task in [&known, &unknown, &gives_up] {
        let (status, answer) = api.post(&format!("/v1/tasks/{task}/retry"), &json!({})).await;
        assert_eq!(status, 202, "{answer}");
    }
    for task in [&waits, &later, &known, &unknown, &gives_up] {
        let ended = api.rest(task).await;
        assert_eq!(ended["result"]["verdict"], "verified", "{ended:#} {:#?}", api.events(task).await);
    }
}
