//! The kill switches: what an operator stops is stopped on every replica, is told, and goes on where it was.

use crate::support::{
    calculator,
    replayed::{export, fold},
    service::{Api, Ground, PATIENCE, TestService, call, plan, say, second_data_dir},
};
use journeyman::{
    app::{AdminAction, CancelFilter, Operation, Role, admin, doctor},
    clock,
    domain::{Status, task::LOG_VERSION},
    store::{Settings, Store, jobs, operator_tasks::Chosen, switches},
};
use serde_json::{Value, json};
use std::{
    path::Path,
    time::{Duration, Instant},
};

async fn operate(ground: &Ground, operation: Operation) -> Vec<String> {
    let data = tempfile::tempdir().unwrap();
    admin(&ground.settings(data.path()), AdminAction::Operate(operation)).await.unwrap()
}

async fn store(ground: &Ground) -> Store {
    Store::connect(&Settings { connections: 2, ..Settings::new(&ground.database) }, false).await.unwrap()
}

/// How much a third replica could claim now.
async fn claimable(store: &Store) -> usize {
    let ttl = Duration::from_millis(1);
    jobs::claim_tasks(store, clock::new_id(), clock::new_id(), LOG_VERSION, ttl, 100).await.unwrap().len()
}

/// Two replicas, one of which serves.
async fn replicas(ground: &Ground, elsewhere: &Path) -> (TestService, TestService) {
    let serving = ground.start().await;
    (serving, ground.start_as(Role::Worker, elsewhere, None).await)
}

async fn stop((one, other): (TestService, TestService)) {
    one.stop().await;
    other.stop().await;
}

fn body(ground: &Ground, model: &str) -> Value {
    let mut body = calculator::request(ground);
    (body["checks"], body["model"]) = (json!([]), json!(model));
    body
}

/// The calculator with three models, of which the first has another to fall back on.
async fn ground(script: &Value) -> Ground {
    let mut ground = calculator::ground(script).await;
    let url = &ground.model.url;
    let entry = |name: &str, rest: &str| {
        format!("[[models]]\nname = \"{name}\"\nurl = \"{url}\"\napi = \"responses\"\n{rest}\n")
    };
    let path = ground.data.path().join("models.toml");
    let models = [entry("first", "fallback = \"second\""), entry("second", ""), entry("alone", "")];
    std::fs::write(&path, models.concat()).unwrap();
    ground.variables.push(("JOURNEYMAN_CONFIG".to_owned(), path.display().to_string()));
    ground
}

/// Many turns that give something new each.
fn at_length() -> Value {
    let look = |turn| call("shell", json!({ "command": format!("echo {turn}") }));
    let sequence: Vec<Value> = (0..25).map(look).chain([say("Done.")]).collect();
    json!({ "sequence": sequence, "pace": { "first_byte_ms": 300 } })
}

async fn actions(api: &Api) -> Vec<String> {
    let (_, page) = api.get("/v1/audit_log?limit=100").await;
    let rows = page["data"].as_array().unwrap();
    rows.iter().rev().map(|row| row["action"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_holds_new_tasks_of_a_team_or_of_all_until_it_is_lifted() {
    let ground = ground(&json!({ "sequence": [say("Done.")] })).await;
    let (_dir, elsewhere) = second_data_dir();
    let both = replicas(&ground, &elsewhere).await;
    let ours = both.0.api();
    let theirs = ground.member(&both.0.base, "others", "eve").await;
    let store = store(&ground).await;

    let team = Some("others".to_owned());
    operate(&ground, Operation::Pause { team: team.clone(), running: false }).await;
    let held = theirs.create(&body(&ground, "alone")).await;
    let free = ours.create(&body(&ground, "alone")).await;
    assert_eq!(ours.rest(&free).await["status"], "succeeded");
    assert_eq!(
        (claimable(&store).await, theirs.get(&format!("/v1/tasks/{held}")).await.1["status"].clone()),
        (0, json!("queued"))
    );
    let told = operate(&ground, Operation::Unpause { team }).await;
    assert_eq!(told, ["tasks are claimed again"]);
    assert_eq!(theirs.rest(&held).await["status"], "succeeded");

    operate(&ground, Operation::Pause { team: None, running: false }).await;
    let (one, other) = (theirs.create(&body(&ground, "alone")).await, ours.create(&body(&ground, "alone")).await);
    assert_eq!(claimable(&store).await, 0);
    let told = doctor(&ground.settings(&elsewhere)).await;
    assert!(told.iter().any(|line| line.name == "switches" && line.detail.starts_with("paused since")), "{told:?}");
    let figure = async |wanted: &str| {
        let since = Instant::now();
        while !ours.text("/metrics").await.1.contains(wanted) {
            assert!(since.elapsed() < Duration::from_secs(5), "{wanted}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    figure("journeyman_paused 1").await;
    for (api, task) in [(&theirs, &one), (&ours, &other)] {
        assert_eq!(api.get(&format!("/v1/tasks/{task}")).await.1["status"], "queued");
    }
    operate(&ground, Operation::Unpause { team: None }).await;
    assert_eq!(theirs.rest(&one).await["status"], "succeeded");
    assert_eq!(ours.rest(&other).await["status"], "succeeded");
    assert_eq!(operate(&ground, Operation::Unpause { team: None }).await, ["it was not paused"]);
    stop(both).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_rests_at_its_next_step_and_goes_on_unless_a_person_has_paused_it() {
    let ground = ground(&at_length()).await;
    let (_dir, elsewhere) = second_data_dir();
    let both = replicas(&ground, &elsewhere).await;
    let api = both.0.api();
    let mut tasks = Vec::new();
    for _ in 0..4 {
        tasks.push(api.create(&body(&ground, "alone")).await);
    }
    for task in &tasks {
        api.answered(task, 2).await;
    }
    assert_eq!(api.post(&format!("/v1/tasks/{}/pause", tasks[0]), &json!({})).await.0, 202);
    assert_eq!(api.rest(&tasks[0]).await["waiting_for"], "paused");
    let since = Instant::now();
    operate(&ground, Operation::Pause { team: Some("default".to_owned()), running: true }).await;
    for task in &tasks {
        let rests = api.rest(task).await;
        assert_eq!((&rests["status"], &rests["waiting_for"]), (&json!("waiting"), &json!("paused")));
    }
    assert!(since.elapsed() < Duration::from_secs(8), "{:?}", since.elapsed());
    let events = api.events(&tasks[1]).await;
    let control = events.iter().find(|event| event["kind"] == "task.control").unwrap();
    assert_eq!(control["data"], json!({ "action": "pause", "author": "operator" }));

    operate(&ground, Operation::Unpause { team: Some("default".to_owned()) }).await;
    for task in &tasks[1..] {
        let ended = api.until(task, |task| task["status"] == "succeeded").await;
        assert_eq!(ended["run"], 2, "{ended:#}");
        assert_eq!(fold(&export(&api, task, "").await).difference, None);
    }
    assert_eq!(
        api.get(&format!("/v1/tasks/{}", tasks[0])).await.1["waiting_for"],
        "paused",
        "a person's own pause stays"
    );
    assert_eq!(actions(&api).await[..2], ["team.paused", "team.unpaused"]);
    stop(both).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_empties_every_replica_and_what_it_gave_back_goes_on_afterwards() {
    let mut script = calculator::ten_turns();
    script["pace"]["first_byte_ms"] = 150.into();
    let ground = ground(&script).await;
    let (_dir, elsewhere) = second_data_dir();
    let both = replicas(&ground, &elsewhere).await;
    let api = both.0.api();
    let mut tasks = Vec::new();
    for _ in 0..6 {
        let mut body = calculator::request(&ground);
        body["model"] = json!("alone");
        tasks.push(api.create(&body).await);
    }
    for task in &tasks {
        api.answered(task, 1).await;
    }
    let told = operate(&ground, Operation::Drain { wait: PATIENCE }).await;
    assert!(told[0].starts_with("drained: no replica holds a task"), "{told:?}");
    let store = store(&ground).await;
    assert_eq!((switches::held(&store, None).await.unwrap(), claimable(&store).await), (0, 0));
    for task in &tasks {
        let status = api.get(&format!("/v1/tasks/{task}")).await.1["status"].clone();
        assert!(status == "queued" || status == "succeeded", "{status}");
    }
    let fresh = api.create(&body(&ground, "alone")).await;
    assert_eq!(claimable(&store).await, 0);
    operate(&ground, Operation::Unpause { team: None }).await;
    for task in tasks.iter().chain([&fresh]) {
        let ended = api.rest(task).await;
        assert_eq!((&ended["status"], &ended["run"]), (&json!("succeeded"), &json!(1)), "{ended:#}");
    }
    // A replica that has taken up work again drains once more.
    operate(&ground, Operation::Drain { wait: PATIENCE }).await;
    operate(&ground, Operation::Unpause { team: None }).await;
    assert_eq!(api.rest(&api.create(&body(&ground, "alone")).await).await["status"], "succeeded");
    stop(both).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_is_switched_off_is_called_by_nobody_within_five_seconds() {
    let ground = ground(&at_length()).await;
    let (_dir, elsewhere) = second_data_dir();
    let both = replicas(&ground, &elsewhere).await;
    let api = both.0.api();
    let (mut alone, mut falls) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        alone.push(api.create(&body(&ground, "alone")).await);
        falls.push(api.create(&body(&ground, "first")).await);
    }
    for task in alone.iter().chain(&falls) {
        api.answered(task, 1).await;
    }
    for name in ["alone", "first"] {
        operate(&ground, Operation::Model { name: name.to_owned(), off: true }).await;
    }
    let since = Instant::now();
    for task in &alone {
        let rests = api.rest(task).await;
        assert_eq!((&rests["status"], &rests["waiting_for"]), (&json!("waiting"), &json!("capacity")), "{rests:#}");
    }
    for task in &falls {
        api.met(task, "model.retried", 1).await;
    }
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
    ground.model.forget().await;
    let told = doctor(&ground.settings(&elsewhere)).await;
    assert!(told.iter().any(|line| line.detail.starts_with("the model alone is switched off")), "{told:?}");
    assert!(api.text("/metrics").await.1.contains("journeyman_model_off{model=\"alone\"} 1"));

    let (status, refused) = api.post("/v1/tasks", &body(&ground, "alone")).await;
    assert_eq!((status, &refused["errors"][0]["pointer"]), (422, &json!("/model")), "{refused:#}");
    assert_eq!(api.post(&format!("/v1/tasks/{}/fork", falls[0]), &json!({ "model": "alone" })).await.0, 422);
    for task in &falls {
        let ended = api.rest(task).await;
        assert_eq!(ended["status"], "succeeded", "{ended:#}");
        let retried = api.events(task).await.into_iter().find(|event| event["kind"] == "model.retried").unwrap();
        assert_eq!(retried["data"]["next_model"], "second");
        assert_eq!(fold(&export(&api, task, "").await).difference, None);
    }
    let called: Vec<Value> = ground.model.requests().await.iter().map(|sent| sent["body"]["model"].clone()).collect();
    assert!(!called.is_empty() && called.iter().all(|model| model == "second"), "{called:?}");

    operate(&ground, Operation::Model { name: "alone".to_owned(), off: false }).await;
    for task in &alone {
        let ended = api.until(task, |task| task["status"] == "succeeded").await;
        assert_eq!(ended["model"], "alone");
        assert_eq!(fold(&export(&api, task, "").await).difference, None);
    }
    stop(both).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_cancels_what_he_chooses_and_nothing_else() {
    let script = json!({ "scenarios": {
        "slow": { "sequence": [call("shell", json!({ "command": "sleep 300" })), say("Done.")] },
        "asks": { "sequence": [call("ask_user", json!({ "questions": [{ "question": "Which?" }] })), say("Done.")] },
        "plans": { "sequence": [plan(), say("Done.")] },
    } });
    let ground = ground(&script).await;
    let (_dir, elsewhere) = second_data_dir();
    let both = replicas(&ground, &elsewhere).await;
    let (ours, theirs) = (both.0.api(), ground.member(&both.0.base, "others", "eve").await);
    let made = async |api: &Api, scenario: &str, area: &str| {
        let body =
            json!({ "request": format!("do it [scenario: {scenario}]"), "model": "alone", "labels": { "area": area } });
        api.create(&body).await
    };
    let runs = made(&ours, "slow", "web").await;
    let asks = made(&ours, "asks", "web").await;
    let other = made(&ours, "asks", "db").await;
    let foreign = made(&theirs, "asks", "web").await;
    ours.met(&runs, "tool.started", 1).await;
    for (api, task) in [(&ours, &asks), (&ours, &other), (&theirs, &foreign)] {
        assert_eq!(api.rest(task).await["waiting_for"], "input");
    }
    let chosen = Chosen { label: Some(("area".to_owned(), "web".to_owned())), ..Chosen::default() };
    let filter = CancelFilter { team: Some("default".to_owned()), chosen, dry_run: true };
    let listed = operate(&ground, Operation::Cancel(filter.clone())).await;
    assert_eq!(listed.len(), 3, "{listed:#?}");
    assert!(listed[0].starts_with(&runs) && listed[1].starts_with(&asks) && listed[2].starts_with("2 tasks would"));
    assert_eq!(ours.get(&format!("/v1/tasks/{asks}")).await.1["status"], "waiting");

    operate(&ground, Operation::Cancel(CancelFilter { dry_run: false, ..filter })).await;
    for task in [&runs, &asks] {
        assert_eq!(ours.until(task, |task| task["status"] != "running").await["status"], "cancelled");
    }
    let (_, approvals) = ours.get(&format!("/v1/tasks/{asks}/approvals")).await;
    assert_eq!(
        (&approvals["data"][0]["decision"], &approvals["data"][0]["decided_by"]),
        (&json!("deny"), &Value::Null)
    );
    assert_eq!(ours.get(&format!("/v1/tasks/{other}")).await.1["status"], "waiting");
    assert_eq!(theirs.get(&format!("/v1/tasks/{foreign}")).await.1["status"], "waiting");
    let (_, page) = ours.get("/v1/audit_log?action=task.cancelled").await;
    let rows = page["data"].as_array().unwrap();
    assert_eq!((rows.len(), &rows[0]["actor"]["kind"]), (2, &json!("operator")));
    let filter = &rows[0]["detail"]["filter"];
    assert_eq!((&filter["by_label"], &filter["by_user"]), (&json!(true), &json!(false)), "{filter}");
    assert!(!rows[0].to_string().contains("web"), "what people wrote is not in the audit log: {}", rows[0]);

    let old = Chosen { older_than: Some(Duration::from_secs(3_600)), ..Chosen::default() };
    let none = operate(&ground, Operation::Cancel(CancelFilter { chosen: old, ..CancelFilter::default() })).await;
    assert_eq!(none, ["0 tasks are cancelled, or end at their next step"]);
    let waiting = Chosen { status: vec![Status::Waiting], user: Some("eve".to_owned()), ..Chosen::default() };
    operate(&ground, Operation::Cancel(CancelFilter { chosen: waiting, ..CancelFilter::default() })).await;
    assert_eq!(theirs.get(&format!("/v1/tasks/{foreign}")).await.1["status"], "cancelled");
    stop(both).await;
}
