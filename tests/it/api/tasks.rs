//! Tasks: made with their defaults, listed by filters, changed, steered, deleted.

use super::harness::{ADMIN, server};
use journeyman::domain::{
    BlobHash, EventData, Private, Role, Status, WaitingFor,
    check::{Check, CheckOutcome, CheckResult, CheckRun, CheckSource, Verdict},
    event::{DeltaEntry, TreeDelta},
    task::{PatchStat, Task, TaskDetail, TaskResult},
    tool::ToolOutcome,
};
use journeyman::store::{
    blobs,
    log::{JobChange, NewEvent, TaskChange},
};
use serde_json::{Value, json};

#[tokio::test]
async fn a_task_is_made_with_its_defaults_and_read_back_the_same() {
    let server = server().await;
    let made = server.post("/v1/tasks", ADMIN, &json!({ "request": "  \nMend the dates\nplease" })).await.expect(201);
    let body = made.json();
    assert_eq!(made.header("location"), Some(format!("/v1/tasks/{}", made.id()).as_str()));
    assert_eq!(body["title"], "Mend the dates");
    assert_eq!(
        (&body["status"], &body["phase"], &body["mode"]),
        (&json!("queued"), &json!("analysis"), &json!("auto"))
    );
    assert_eq!((&body["model"], &body["run"], &body["last_seq"]), (&json!("large"), &json!(1), &json!(2)));
    assert_eq!(body["repository"], Value::Null);
    assert_eq!(body["source"], json!({ "kind": "api", "url": null, "integration": null }));
    assert_eq!(body["usage"]["model_calls"], 0);
    assert_eq!(body["team"]["name"], "default");
    assert_eq!(body["created_by"]["name"], "admin");
    assert_eq!(body["limits"]["turns"], 200);
    assert_eq!(body["cancel_requested"], false);
    for empty in ["result", "error", "planning", "waiting_for", "started_at", "finished_at", "environment"] {
        assert_eq!(body.get(empty), Some(&Value::Null), "{empty}");
    }
    let read = server.get(&format!("/v1/tasks/{}", made.id()), ADMIN).await.expect(200);
    assert_eq!(read.bytes, made.bytes);
    assert_eq!(read.header("etag"), Some("\"2\""));
    serde_json::from_value::<Task>(body).expect("it is the Task of the document");
}

#[tokio::test]
async fn everything_that_a_task_may_say_is_kept() {
    let server = server().await;
    let body = json!({
        "request": "Speed it up", "title": "Speed", "mode": "change", "model": "large", "priority": -100,
        "repository": { "url": "https://example.org/team/project.git", "ref": "main" },
        "checks": ["make test", { "name": "bench", "command": "make bench", "kind": "measure", "metric": "took (\\d+)",
            "max_regression": 0.1, "required": false, "timeout_seconds": 60, "workdir": "sub/dir", "network": false }],
        "limits": { "turns": 10, "cost_usd": 2.5 }, "approval": "plan",
        "network": { "mode": "allowlist", "hosts": ["PyPI.org", "*.debian.org"] },
        "output_schema": { "type": "object" }, "labels": { "area": "speed", "empty": "" }, "on_behalf_of": null,
    });
    let made = server.post("/v1/tasks", ADMIN, &body).await.expect(201).json();
    assert_eq!(
        made["repository"],
        json!({ "url": "https://example.org/team/project.git", "ref": "main", "commit": null })
    );
    assert_eq!((&made["title"], &made["mode"], &made["approval"]), (&json!("Speed"), &json!("change"), &json!("plan")));
    assert_eq!((&made["limits"]["turns"], &made["limits"]["cost_usd"]), (&json!(10), &json!(2.5)));
    assert_eq!((&made["labels"]["area"], &made["priority"]), (&json!("speed"), &json!(-100)));
    let path = format!("/v1/tasks/{}/events", made["id"].as_str().unwrap());
    let events = server.get(&path, ADMIN).await.expect(200).json();
    let spec = &events["data"][0]["data"]["spec"];
    assert_eq!(spec["network"], json!({ "mode": "allowlist", "hosts": ["pypi.org", "*.debian.org"] }));
    assert_eq!((&spec["checks"][0]["name"], &spec["checks"][1]["required"]), (&json!("make test"), &json!(false)));
    assert_eq!(spec["output_schema"], json!({ "type": "object" }));
    assert_eq!(events["data"][1]["data"], json!({ "status": "queued", "waiting_for": null, "error": null }));
}

#[tokio::test]
async fn a_list_is_newest_first_and_narrowed_by_its_filters() {
    let server = server().await;
    let (bob, bobs) = server.user("default", "bob", Role::Member, None).await;
    let first = server
        .post(
            "/v1/tasks",
            ADMIN,
            &json!({
                "request": "Repair the parser of dates", "labels": { "area": "dates", "team:x": "a:b" },
                "repository": { "url": "https://example.org/a.git" },
            }),
        )
        .await
        .expect(201)
        .id();
    let second = server.task(&bobs, "Explain the cache").await.to_string();
    let worker = server.claim().await.into_iter().find(|w| w.lease.task.to_string() == second).unwrap();
    worker.status(Status::Waiting, Some(WaitingFor::Input), &TaskDetail::default()).await;
    let ids = async |query: &str| -> Vec<String> {
        let page = server.get(&format!("/v1/tasks?{query}"), ADMIN).await.expect(200).json();
        page["data"].as_array().unwrap().iter().map(|task| task["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids("").await, [second.clone(), first.clone()]);
    let only_first = [
        "status=queued",
        "q=parser",
        "q=dates+repair",
        "label=area:dates",
        "created_by=me",
        "repository=https://example.org/a.git",
        "status=queued,failed&label=area:dates",
    ];
    for query in only_first {
        assert_eq!(ids(query).await, std::slice::from_ref(&first), "{query}");
    }
    let by_bob = format!("created_by={bob}");
    for query in ["status=waiting", "status=failed&status=waiting", "waiting_for=input", "q=cache", by_bob.as_str()] {
        assert_eq!(ids(query).await, std::slice::from_ref(&second), "{query}");
    }
    let none = [
        "status=failed",
        "label=area:other",
        "q=parser+cache",
        "source=github",
        "updated_after=2999-01-01T00:00:00Z",
        "updated_after=2999-01-01T00:00:00+01:00",
    ];
    for query in none {
        assert_eq!(ids(query).await, Vec::<String>::new(), "{query}");
    }
    assert_eq!(ids("source=api,cli&updated_after=2020-01-01T00:00:00Z").await.len(), 2);
    let page = server.get("/v1/tasks", ADMIN).await.json();
    assert!(page["data"][0].get("request").is_none(), "a list is a summary");
}

#[tokio::test]
async fn a_change_is_seen_and_stands_in_the_log() {
    let server = server().await;
    let id = server.task(ADMIN, "Do it").await;
    let path = format!("/v1/tasks/{id}");
    let edit = json!({ "title": " Better ", "labels": { "b": "2" }, "priority": 5, "limits": { "turns": 7 } });
    let body = server.patch(&path, ADMIN, &edit).await.expect(200).json();
    assert_eq!((&body["title"], &body["priority"], &body["limits"]["turns"]), (&json!("Better"), &json!(5), &json!(7)));
    assert_eq!((&body["labels"], &body["last_seq"]), (&json!({ "b": "2" }), &json!(3)));
    assert_eq!(body["limits"]["wall_seconds"], 7_200, "what is absent stays");
    let event = server.get(&format!("{path}/events?after=2"), ADMIN).await.json()["data"][0].clone();
    assert_eq!((&event["kind"], &event["data"]["title"]), (&json!("task.updated"), &json!("Better")));
    for (edit, pointer) in [
        (json!({ "status": "failed" }), "/status"),
        (json!({ "title": "" }), "/title"),
        (json!({ "limits": { "turns": 0 } }), "/limits/turns"),
        (json!({ "priority": 1000 }), "/priority"),
    ] {
        assert_eq!(server.patch(&path, ADMIN, &edit).await.pointers(), [pointer]);
    }
}

#[tokio::test]
async fn a_running_task_is_deleted_by_nobody_and_others_only_by_an_admin() {
    let server = server().await;
    let (_, bob) = server.user("default", "bob", Role::Member, None).await;
    let id = server.task(ADMIN, "Do it").await;
    let path = format!("/v1/tasks/{id}");
    server.delete(&path, &bob).await.expect(403);
    let worker = server.run().await;
    let refused = server.delete(&path, ADMIN).await.expect(409).json();
    assert_eq!((&refused["code"], &refused["state"]), (&json!("task_running"), &json!("running")));
    worker.succeed().await;
    server.delete(&path, ADMIN).await.expect(204);
    server.get(&path, ADMIN).await.expect(404);
    server.get(&format!("{path}/events"), ADMIN).await.expect(404);
    server.delete(&path, ADMIN).await.expect(404);
    let queued = server.task(ADMIN, "Another").await;
    server.delete(&format!("/v1/tasks/{queued}"), ADMIN).await.expect(204);
    assert!(server.claim().await.is_empty(), "its place in the queue has gone with it");
}

#[tokio::test]
async fn a_queued_task_is_paused_resumed_cancelled_and_retried_at_once() {
    let server = server().await;
    let id = server.task(ADMIN, "Do it").await;
    let path = format!("/v1/tasks/{id}");
    let act = async |action: &str| server.post(&format!("{path}/{action}"), ADMIN, &json!({})).await;
    for wrong in ["resume", "retry"] {
        let body = act(wrong).await.expect(409).json();
        assert_eq!((&body["code"], &body["state"]), (&json!("wrong_state"), &json!("queued")));
    }
    assert_eq!(act("pause").await.expect(202).json(), json!({ "seq": 3, "status": "waiting" }));
    assert_eq!(server.get(&path, ADMIN).await.json()["waiting_for"], "paused");
    assert!(server.claim().await.is_empty());
    act("pause").await.expect(409);
    assert_eq!(act("resume").await.expect(202).json()["status"], "queued");
    assert_eq!(server.get(&path, ADMIN).await.json()["run"], 2);
    act("cancel").await.expect(202);
    let ended = server.get(&path, ADMIN).await.json();
    assert_eq!(ended["status"], "cancelled");
    assert!(ended["finished_at"].is_string());
    let again = act("cancel").await.expect(409).json();
    assert_eq!(again["state"], "cancelled");
    let raised = json!({ "limits": { "turns": 400 } });
    server.post(&format!("{path}/retry"), ADMIN, &raised).await.expect(202);
    let retried = server.get(&path, ADMIN).await.json();
    assert_eq!(
        (&retried["status"], &retried["run"], &retried["limits"]["turns"]),
        (&json!("queued"), &json!(3), &json!(400))
    );
    assert_eq!(retried["finished_at"], Value::Null);
    assert_eq!(server.claim().await.len(), 1);
    let odd = json!({ "limits": { "turns": 0 } });
    assert_eq!(server.post(&format!("{path}/retry"), ADMIN, &odd).await.pointers(), ["/limits/turns"]);
    assert_eq!(server.post(&format!("{path}/cancel"), ADMIN, &json!({ "now": true })).await.pointers(), ["/now"]);
}

#[tokio::test]
async fn a_running_task_is_told_by_its_log() {
    let server = server().await;
    let id = server.task(ADMIN, "Do it").await;
    let path = format!("/v1/tasks/{id}");
    let worker = server.run().await;
    let act = async |action: &str, body: Value| server.post(&format!("{path}/{action}"), ADMIN, &body).await;
    let said = act("messages", json!({ "text": "and quickly", "on_busy": "interrupt" })).await.expect(202).json();
    assert_eq!(said, json!({ "seq": 4, "status": "running" }));
    act("pause", json!({})).await.expect(202);
    act("cancel", json!({})).await.expect(202);
    assert_eq!(server.get(&path, ADMIN).await.json()["cancel_requested"], true);
    let events = server.get(&format!("{path}/events?after=3"), ADMIN).await.json();
    let me = server.get("/v1/me", ADMIN).await.json()["user"]["id"].clone();
    let said = json!({ "text": "and quickly", "author": "admin", "user": me, "on_busy": "interrupt" });
    assert_eq!(events["data"][0]["data"], said);
    assert_eq!(events["data"][2]["data"], json!({ "action": "cancel", "author": "admin" }));
    worker.status(Status::Cancelled, None, &TaskDetail::default()).await;
    let woken = act("messages", json!({ "text": "go on" })).await.expect(202).json();
    assert_eq!(woken["status"], "queued");
    let task = server.get(&path, ADMIN).await.json();
    assert_eq!((&task["run"], &task["cancel_requested"]), (&json!(2), &json!(false)));
    for (body, pointer) in [
        (json!({}), "/text"),
        (json!({ "text": "" }), "/text"),
        (json!({ "text": "x", "on_busy": "shout" }), "/on_busy"),
        (json!({ "text": "x", "to": "me" }), "/to"),
    ] {
        assert_eq!(act("messages", body).await.pointers(), [pointer]);
    }
}

#[tokio::test]
async fn a_cancelled_task_is_taken_from_a_worker_that_has_not_begun() {
    let server = server().await;
    let id = server.task(ADMIN, "Do it").await;
    let worker = server.claim().await.remove(0);
    server.post(&format!("/v1/tasks/{id}/cancel"), ADMIN, &json!({})).await.expect(202);
    let data = EventData::TaskStatus { status: Status::Running, waiting_for: None, error: None };
    let event = NewEvent { run: 1, turn: 0, data, private: None };
    let done = worker.append(vec![event], &TaskChange::default(), JobChange::Keep).await;
    assert_eq!(done, journeyman::store::log::Appended::Fenced);
}

#[tokio::test]
async fn what_a_task_has_made_is_read_as_bytes() {
    let server = server().await;
    let id = server.task(ADMIN, "Do it").await;
    let path = format!("/v1/tasks/{id}");
    let worker = server.run().await;
    let team = worker.lease.team;
    assert_eq!(server.get(&format!("{path}/patch"), ADMIN).await.expect(200).bytes, b"");
    let (patch, whole, file) =
        (b"diff --git a/x b/x\n".as_slice(), b"all of it".as_slice(), b"\x00\xffbytes".as_slice());
    let delta = TreeDelta {
        changed: vec![DeltaEntry {
            path: "dir/x".into(),
            mode: 0o100_644,
            oid: "a".repeat(40).parse().unwrap(),
            content: BlobHash::of(file),
        }],
        deleted: vec!["gone".into()],
    };
    let delta_json = serde_json::to_vec(&delta).unwrap();
    let contents: Vec<(BlobHash, &[u8])> =
        [patch, whole, file, &delta_json].into_iter().map(|content| (BlobHash::of(content), content)).collect();
    blobs::put(&server.store, team, id, &contents).await.unwrap();
    let call: journeyman::domain::CallId = "call_3_0".parse().unwrap();
    let completed = |call: &str, output: &str| EventData::ToolCompleted {
        call: call.parse().unwrap(),
        tool: "shell".into(),
        outcome: ToolOutcome::Ok,
        output: output.into(),
        exit_code: Some(0),
        duration_ms: 5,
    };
    let events = vec![
        NewEvent {
            run: 1,
            turn: 3,
            data: completed("call_3_0", "cut"),
            private: Some(Private::Output { blob: Some(BlobHash::of(whole)), changed_files: true, head_bytes: 0 }),
        },
        NewEvent { run: 1, turn: 3, data: completed("call_3_1", "short"), private: None },
        NewEvent {
            run: 1,
            turn: 3,
            data: EventData::Checkpoint {
                turn: 3,
                tree: "b".repeat(40).parse().unwrap(),
                restored: false,
                formatted: Vec::new(),
            },
            private: Some(Private::Checkpoint { delta: BlobHash::of(&delta_json), told: None }),
        },
    ];
    worker.append(events, &TaskChange::default(), JobChange::Keep).await;
    let run = CheckRun {
        outcome: CheckOutcome::Pass,
        exit_code: Some(0),
        duration_ms: 1,
        failing: vec![],
        tests: None,
        counts: None,
        obstacle: None,
        reason: None,
        flaky: None,
        log: "tail".into(),
        log_blob: Some(BlobHash::of(whole)),
    };
    let check = Check::command("make", CheckSource::Task);
    let result = TaskResult {
        verdict: Some(Verdict::Verified),
        checks: vec![CheckResult {
            name: check.name,
            command: check.command,
            source: check.source,
            required: check.required,
            baseline: None,
            final_run: Some(run),
            measured: None,
            log: "tail".into(),
        }],
        patch: Some(PatchStat { files: 1, additions: 1, deletions: 0 }),
        ..TaskResult::default()
    };
    let detail = TaskDetail { result: Some(result), patch: Some(BlobHash::of(patch)), ..TaskDetail::default() };
    worker.status(Status::Succeeded, None, &detail).await;

    let patch_reply = server.get(&format!("{path}/patch"), ADMIN).await.expect(200);
    assert_eq!(patch_reply.bytes, patch);
    assert!(patch_reply.header("content-type").unwrap().starts_with("text/x-diff"));
    assert_eq!(patch_reply.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(server.get(&format!("{path}/patch?from_turn=3"), ADMIN).await.expect(200).bytes, b"1 to 1");
    assert_eq!(server.get(&format!("{path}/patch?to_turn=3"), ADMIN).await.expect(200).bytes, b"0 to 1");
    assert_eq!(server.get(&format!("{path}/outputs/{call}"), ADMIN).await.expect(200).bytes, whole);
    assert_eq!(server.get(&format!("{path}/outputs/call_3_1"), ADMIN).await.expect(200).bytes, b"short");
    server.get(&format!("{path}/outputs/call_3_2"), ADMIN).await.expect(404);
    server.get(&format!("{path}/outputs/nonsense"), ADMIN).await.expect(404);
    assert_eq!(server.get(&format!("{path}/checks/0/log"), ADMIN).await.expect(200).bytes, whole);
    server.get(&format!("{path}/checks/1/log"), ADMIN).await.expect(404);
    assert_eq!(server.get(&format!("{path}/files/dir/x"), ADMIN).await.expect(200).bytes, file);
    assert_eq!(server.get(&format!("{path}/files/README"), ADMIN).await.expect(200).bytes, b"of the base\n");
    for absent in ["gone", "other", "..%2F..%2Fetc%2Fpasswd", "a/../b", ".git/config", "%00"] {
        server.get(&format!("{path}/files/{absent}"), ADMIN).await.expect(404);
    }
    let shown = server.get(&path, ADMIN).await.json();
    assert_eq!(
        (&shown["result"]["verdict"], &shown["result"]["checks"][0]["log"]),
        (&json!("verified"), &json!("tail"))
    );
    assert!(shown["result"].get("log_blob").is_none() && shown.get("patch").is_none());
    let listed = server.get("/v1/tasks", ADMIN).await.json()["data"][0]["result"].clone();
    assert_eq!((&listed["verdict"], &listed["patch"]["files"]), (&json!("verified"), &json!(1)));
    assert!(listed.get("checks").is_none());
}

#[tokio::test]
async fn the_log_and_the_conversation_are_paged_without_private_parts() {
    let server = server().await;
    let id = server.task(ADMIN, "Do it").await;
    let path = format!("/v1/tasks/{id}");
    let worker = server.run().await;
    worker.say(1, EventData::Reasoning { summary: "hm".into() }).await;
    worker.say(1, EventData::MessageAssistant { text: "I look".into(), author: "large".into() }).await;
    let arguments = json!({ "command": "ls" });
    worker.say(1, EventData::ToolStarted { call: "call_1_0".parse().unwrap(), tool: "shell".into(), arguments }).await;
    let secret = Private::Memory { text: "nobody reads this".into(), forgotten: false };
    let event =
        NewEvent { run: 1, turn: 1, data: EventData::MessageDeveloper { text: "go on".into() }, private: Some(secret) };
    worker.append(vec![event], &TaskChange::default(), JobChange::Keep).await;
    let mut seen = Vec::new();
    let mut next = format!("{path}/events?limit=3");
    loop {
        let page = server.get(&next, ADMIN).await.expect(200);
        assert!(!String::from_utf8_lossy(&page.bytes).contains("nobody reads this"));
        let page = page.json();
        seen.extend(page["data"].as_array().unwrap().iter().map(|event| event["seq"].as_i64().unwrap()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        next = format!("{path}/events?limit=3&cursor={cursor}");
    }
    assert_eq!(seen, (1..=7).collect::<Vec<_>>());
    let page = server.get(&format!("{path}/conversation"), ADMIN).await.expect(200).json();
    let items: Vec<_> = page["data"].as_array().unwrap().iter().map(|item| item["type"].as_str().unwrap()).collect();
    assert_eq!(items, ["user", "reasoning", "assistant", "tool_call", "developer"]);
    assert_eq!(page["data"][0]["text"], "Do it");
    assert_eq!(page["data"][3]["arguments"], json!({ "command": "ls" }));
}

#[tokio::test]
async fn feedback_is_kept() {
    let server = server().await;
    let id = server.task(ADMIN, "Do it").await;
    let path = format!("/v1/tasks/{id}/feedback");
    let made = server.post(&path, ADMIN, &json!({ "rating": "up", "comment": "well done" })).await.expect(201).json();
    assert_eq!((&made["rating"], &made["task"]), (&json!("up"), &json!(id)));
    assert_eq!(server.post(&path, ADMIN, &json!({ "rating": "meh" })).await.pointers(), ["/rating"]);
}

#[tokio::test]
async fn a_cap_in_money_is_refused_where_the_model_has_no_price() {
    let server = server().await;
    let capped = json!({ "cost_usd": 1 });
    let body = json!({ "request": "x", "model": "small", "limits": capped });
    let refused = server.post("/v1/tasks", ADMIN, &body).await;
    assert_eq!(refused.pointers(), ["/limits/cost_usd"]);
    let body = json!({ "request": "x", "model": "large", "limits": capped });
    server.post("/v1/tasks", ADMIN, &body).await.expect(201);
    let made = server.post("/v1/tasks", ADMIN, &json!({ "request": "x", "model": "small" })).await.expect(201).json();
    let path = format!("/v1/tasks/{}", made["id"].as_str().unwrap());
    assert_eq!(server.patch(&path, ADMIN, &json!({ "limits": capped })).await.pointers(), ["/limits/cost_usd"]);
    server.post(&format!("{path}/cancel"), ADMIN, &json!({})).await.expect(202);
    let raised = json!({ "limits": capped });
    assert_eq!(server.post(&format!("{path}/retry"), ADMIN, &raised).await.pointers(), ["/limits/cost_usd"]);
}
