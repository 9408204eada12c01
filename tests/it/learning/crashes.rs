//! Learning under kills and caps: once for each run, and never beyond what a budget has.

use super::{LEARNS, asked, counted, ground, learnt, memories, memory, names, number, request, script, sql};
use crate::support::{
    process::Process,
    service::{Ground, PATIENCE},
};
use journeyman::{
    app::{AdminAction, Operation, admin},
    clock,
    domain::{TeamId, UserId},
    store::{
        Settings, Store,
        budgets::{self, Caps},
        jobs,
    },
};
use serde_json::{Value, json};
use std::time::Duration;

const SAID: &str = "Use four spaces, please, not tabs.";

fn rule(pace_ms: u64) -> Value {
    let mut reply = names(&[memory("Use four spaces, not tabs", "preference", "user", &["{{1}}"])]);
    reply["pace"] = json!({ "first_byte_ms": pace_ms });
    json!({ "when": { "instructions_contain": LEARNS, "matches": r#""name":"(\w+)""# }, "reply": reply })
}

async fn until_asked(ground: &Ground, count: usize) {
    let waiting = async {
        while asked(ground).await.len() < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_killed_in_the_midst_of_learning_leaves_it_to_the_next_and_it_is_learnt_once() {
    let ground = ground(&script(vec![rule(1_500)], json!([{ "text": "Looked.", "repeat": 9 }]))).await;
    let first = Process::start(&ground, ground.data.path());
    let id = first.api.create(&request(&ground, &json!({}))).await;
    first.api.rest(&id).await;
    let feedback = json!({ "rating": "down", "comment": SAID });
    assert_eq!(first.api.post(&format!("/v1/tasks/{id}/feedback"), &feedback).await.0, 201);
    until_asked(&ground, 1).await;
    first.kill();
    let second = Process::start(&ground, ground.data.path());
    let rows = learnt(&second.api, &id, 2).await;
    assert_eq!((&rows[0]["outcome"], &rows[0]["calls"]), (&json!("learned"), &json!(2)), "{rows:#?}");
    assert_eq!(memories(&second.api).await.len(), 1);
    assert_eq!(asked(&ground).await.len(), 2);
    assert_eq!(number(&ground, "SELECT count(*) FROM jobs WHERE kind = 'learn'").await, 0);
    // The lost call counts at what it may have cost: more than the answered one did.
    let cost = rows[0]["cost_usd"].as_f64().unwrap();
    let charged = number(&ground, "SELECT sum(charged)::bigint FROM learnings").await as f64 / 1e9;
    assert!(charged > cost * 1.5, "{charged} {cost}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_drains_gives_back_what_it_learns_from() {
    let ground = ground(&script(vec![rule(3_000)], json!([{ "text": "Looked.", "repeat": 9 }]))).await;
    let first = Process::start(&ground, ground.data.path());
    let id = first.api.create(&request(&ground, &json!({}))).await;
    first.api.rest(&id).await;
    first.api.post(&format!("/v1/tasks/{id}/feedback"), &json!({ "rating": "down", "comment": SAID })).await;
    until_asked(&ground, 1).await;
    assert!(first.running.drain().await.success());
    let free = "SELECT count(*) FROM jobs WHERE kind = 'learn' AND lease_replica IS NULL AND ready_at <= now()";
    assert_eq!(number(&ground, free).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_that_has_no_room_for_it_is_asked_again_later_and_its_account_stays_true() {
    let ground = ground(&script(vec![rule(0)], json!([{ "text": "Looked.", "repeat": 9 }]))).await;
    let service = ground.start().await;
    let api = service.api();
    let id = api.create(&request(&ground, &json!({}))).await;
    let task = api.rest(&id).await;
    learnt(&api, &id, 1).await;
    let me = api.get("/v1/me").await.1;
    let uuid = |value: &Value| value["id"].as_str().unwrap().parse().unwrap();
    let (team, user) = (TeamId(uuid(&me["team"])), UserId(uuid(&me["user"])));
    let store = Store::connect(&Settings { connections: 2, ..Settings::new(&ground.database) }, false).await.unwrap();
    let cap = async |usd: f64| {
        let caps = Caps { cost_usd_per_day: Some(usd), cost_usd_per_month: None };
        assert!(budgets::set_caps(&store, team, Some(user), caps).await.unwrap());
    };
    let spent = task["usage"]["cost_usd"].as_f64().unwrap();
    cap(spent + 0.000_01).await;
    api.post(&format!("/v1/tasks/{id}/feedback"), &json!({ "rating": "down", "comment": SAID })).await;
    counted(&ground, "SELECT count(*) FROM jobs WHERE kind = 'learn' AND attempts = 1 AND lease_replica IS NULL", 1)
        .await;
    let rows = api.get(&format!("/v1/tasks/{id}/learnings")).await.1["data"].clone();
    assert_eq!(
        (&rows[0]["outcome"], &rows[0]["calls"], &rows[0]["detail"]),
        (&Value::Null, &json!(0), &json!("the budget of the user's day has no room for it"))
    );
    assert_eq!(asked(&ground).await.len(), 0);

    cap(1.0).await;
    sql(&ground, "UPDATE jobs SET ready_at = now() WHERE kind = 'learn'").await;
    let rows = learnt(&api, &id, 2).await;
    assert_eq!((&rows[0]["outcome"], &rows[0]["calls"]), (&json!("learned"), &json!(1)), "{rows:#?}");
    counted(&ground, "SELECT count(*) FROM (SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM budget_holds)) none", 1).await;
    let all = spent + rows[0]["cost_usd"].as_f64().unwrap();
    let taken = async || budgets::standing(&store, team).await.unwrap().0[0].2 as f64 / 1e9;
    assert!((taken().await - all).abs() < 1e-6, "{} {all}", taken().await);
    // An account that is opened anew knows of it as well.
    assert!(budgets::set_caps(&store, team, Some(user), Caps::default()).await.unwrap());
    cap(2.0).await;
    // A service that begins reads the caps at once.
    service.stop().await;
    let service = ground.start().await;
    let api = service.api();
    api.rest(&api.create(&request(&ground, &json!({}))).await).await;
    assert!(taken().await > all, "{} {all}", taken().await);
    store.close().await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_learnt_while_an_operator_has_paused_the_team_or_switched_the_model_off() {
    let ground = ground(&script(vec![rule(0)], json!([{ "text": "Looked.", "repeat": 9 }]))).await;
    let service = ground.start().await;
    let api = service.api();
    let operate = async |operation: Operation| {
        let data = tempfile::tempdir().unwrap();
        admin(&ground.settings(data.path()), AdminAction::Operate(operation)).await.unwrap();
    };
    let id = api.create(&request(&ground, &json!({}))).await;
    api.rest(&id).await;
    learnt(&api, &id, 1).await;
    let feedback = json!({ "rating": "down", "comment": SAID });
    operate(Operation::Model { name: "learner".to_owned(), off: true }).await;
    let known = async |off: bool| {
        let seen = async {
            while api.text("/metrics").await.1.contains("journeyman_model_off{model=\"learner\"} 1") != off {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, seen).await.unwrap();
    };
    known(true).await;
    assert_eq!(api.post(&format!("/v1/tasks/{id}/feedback"), &feedback).await.0, 201);
    counted(&ground, "SELECT count(*) FROM jobs WHERE kind = 'learn' AND attempts = 1 AND lease_replica IS NULL", 1)
        .await;
    let rows = api.get(&format!("/v1/tasks/{id}/learnings")).await.1["data"].clone();
    assert_eq!((&rows[0]["calls"], &rows[0]["detail"]), (&json!(0), &json!("its model is switched off")), "{rows:#}");

    operate(Operation::Pause { team: None, running: false }).await;
    operate(Operation::Model { name: "learner".to_owned(), off: false }).await;
    sql(&ground, "UPDATE jobs SET ready_at = now() WHERE kind = 'learn'").await;
    let store = Store::connect(&Settings { connections: 2, ..Settings::new(&ground.database) }, false).await.unwrap();
    let other = (clock::new_id(), clock::new_id());
    assert_eq!(jobs::claim(&store, "learn", other, Duration::from_millis(1), (9, 9)).await.unwrap(), []);
    store.close().await;
    assert_eq!(number(&ground, "SELECT attempts::bigint FROM jobs WHERE kind = 'learn'").await, 1, "nobody claims it");
    // Who claims it before he knows that the model is on again gives it back for a while.
    known(false).await;
    operate(Operation::Unpause { team: None }).await;
    assert_eq!(learnt(&api, &id, 2).await[0]["outcome"], "learned");
    assert_eq!(asked(&ground).await.len(), 1);
    service.stop().await;
}
