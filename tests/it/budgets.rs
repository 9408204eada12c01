//! Shared budgets: what a team or one of its members may spend holds for all of its tasks together, whatever crashes.

use crate::support::{
    calculator,
    failpoint::each_at_its_own_boundary,
    service::{Api, Ground, call, plan, say},
};
use journeyman::{
    clock,
    domain::{TaskId, TeamId, UserId},
    store::{
        Settings, Store, accounts,
        budgets::{self, Caps, Drawer, Drawn, NanoUsd},
    },
};
use serde_json::{Value, json};
use std::sync::Arc;

/// The calculator with models that have a price and one that has none.
async fn ground(script: &Value) -> Ground {
    let mut ground = calculator::ground(script).await;
    let url = &ground.model.url;
    let entry = |name: &str, rest: &str| {
        format!(
            "[[models]]\nname = \"{name}\"\nurl = \"{url}\"\napi = \"responses\"\nmax_output_tokens = 500\n{rest}\n"
        )
    };
    let prices = "prices = { input = 1.0, cached_input = 0.1, output = 2.0 }";
    let path = ground.data.path().join("models.toml");
    std::fs::write(&path, [entry("priced", prices), entry("unpriced", "")].concat()).unwrap();
    ground.variables.push(("JOURNEYMAN_CONFIG".to_owned(), path.display().to_string()));
    ground
}

async fn store(ground: &Ground) -> Store {
    Store::connect(&Settings { connections: 2, ..Settings::new(ground.database.clone()) }, false).await.unwrap()
}

async fn who(api: &Api) -> (TeamId, UserId) {
    let (_, me) = api.get("/v1/me").await;
    let id = |value: &Value| value["id"].as_str().unwrap().parse().unwrap();
    (TeamId(id(&me["team"])), UserId(id(&me["user"])))
}

fn per_day(usd: f64) -> Caps {
    Caps { cost_usd_per_day: Some(usd), cost_usd_per_month: None }
}

fn request(ground: &Ground, changes: &Value) -> Value {
    let mut body = calculator::request(ground);
    body["model"] = json!("priced");
    for (key, value) in changes.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

/// What a task has spent, in dollars, with what counts as spent.
fn spent(task: &Value) -> f64 {
    let usage = &task["usage"];
    usage["cost_usd"].as_f64().unwrap_or_default() + usage["unreported"]["cost_usd"].as_f64().unwrap()
}

async fn taken(store: &Store, team: TeamId) -> (f64, NanoUsd) {
    let (accounts, held) = budgets::standing(store, team).await.unwrap();
    (accounts.iter().map(|(.., taken)| *taken as f64 / 1e9).sum(), held)
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_tasks_at_once_never_pass_a_shared_cap_whatever_crashes() {
    const CAP: f64 = 0.12;
    let look = || call("list_files", json!({}));
    let read = || call("read_file", json!({ "path": "calc.py" }));
    let script = json!({ "pace": { "first_byte_ms": 25 }, "sequence": [look(), read(), look(), read(), say("Seen.")] });
    let ground = ground(&script).await;
    let (failpoint, fallen) = each_at_its_own_boundary();
    let service = ground.start_with(ground.data.path(), Some(failpoint)).await;
    let api = service.api();
    let (team, _) = who(&api).await;
    let store = store(&ground).await;
    assert!(budgets::set_caps(&store, team, None, per_day(CAP)).await.unwrap());

    let body = request(&ground, &json!({ "mode": "answer", "checks": [] }));
    let mut ids = Vec::new();
    for _ in 0..50 {
        ids.push(api.create(&body).await);
    }
    let mut ends: Vec<Value> = Vec::new();
    for id in &ids {
        ends.push(api.rest(id).await);
        let (now, _) = taken(&store, team).await;
        assert!(now <= CAP + 1e-9, "{now} are spent or held");
    }
    let all: f64 = ends.iter().map(spent).sum();
    let refused = ends.iter().filter(|task| task["error"]["code"] == "limit_cost").count();
    let done = ends.iter().filter(|task| task["status"] == "succeeded").count();
    assert!(all <= CAP, "{all} was spent");
    assert_eq!(refused + done, 50, "{:#?}", ends.iter().map(|task| &task["error"]).collect::<Vec<_>>());
    assert!(refused > 0 && done > 0, "{refused} were refused and {done} done: {all}");
    let (of_account, held) = taken(&store, team).await;
    assert_eq!(held, 0, "who rests holds nothing");
    // Each task's sum is rounded up to a billionth.
    assert!((of_account - all).abs() < 1e-6, "the account says {of_account}, the tasks {all}");
    let crashed = fallen.lock().unwrap().values().filter(|(_, fell)| *fell).count();
    assert!(crashed >= 10, "{crashed} tasks crashed");
    store.close().await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_finds_the_budget_spent_keeps_its_patch_and_goes_on_when_there_is_more() {
    let mend =
        call("shell", json!({ "command": "printf 'def add(a, b):\\n    return a + b\\n' > calc.py; seq 1 1000" }));
    let ground = ground(&json!({ "sequence": [plan(), mend, say("Mended.")] })).await;
    let service = ground.start().await;
    let api = service.api();
    let (team, user) = who(&api).await;
    let store = store(&ground).await;
    // Room for two calls with about three thousand tokens each, most of the second's cached, and not for a third.
    budgets::set_caps(&store, team, Some(user), per_day(0.0068)).await.unwrap();
    let id = api.create(&request(&ground, &json!({}))).await;
    let task = api.rest(&id).await;
    assert_eq!(task["error"]["code"], "limit_cost", "{task:#}");
    assert!(task["error"]["message"].as_str().unwrap().contains("the user's day"), "{task:#}");
    assert_eq!(task["result"]["verdict"], "verified", "the patch was validated: {task:#}");
    let (_, patch) = api.text(&format!("/v1/tasks/{id}/patch")).await;
    assert!(patch.contains("+    return a + b"), "{patch}");
    let events = api.events(&id).await;
    let warned = events.iter().find(|event| event["data"]["limit"] == "budget").unwrap();
    assert_eq!(warned["data"]["limit_value"], 0.0068, "{warned:#}");

    budgets::set_caps(&store, team, Some(user), per_day(10.0)).await.unwrap();
    // Caps are read anew after five seconds.
    let resumed = async {
        loop {
            api.post(&format!("/v1/tasks/{id}/resume"), &json!({})).await;
            let task = api.rest(&id).await;
            if task["status"] == "succeeded" {
                return task;
            }
        }
    };
    let task = tokio::time::timeout(std::time::Duration::from_secs(30), resumed).await.unwrap();
    assert_eq!(task["result"]["verdict"], "verified", "{task:#}");
    store.close().await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_without_a_price_is_refused_where_a_budget_is_set() {
    let ground = ground(&json!({ "sequence": [say("Seen.")] })).await;
    let service = ground.start().await;
    let api = service.api();
    let (team, _) = who(&api).await;
    let store = store(&ground).await;
    let body = request(&ground, &json!({ "mode": "answer", "model": "unpriced", "checks": [] }));
    let free = api.create(&body).await;
    assert_eq!(api.rest(&free).await["status"], "succeeded");
    budgets::set_caps(&store, team, None, Caps { cost_usd_per_day: None, cost_usd_per_month: Some(1.0) })
        .await
        .unwrap();
    let (status, problem) = api.post("/v1/tasks", &body).await;
    assert_eq!(status, 422, "{problem:#}");
    assert_eq!(problem["errors"][0]["pointer"], "/model", "{problem:#}");
    store.close().await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_draws_and_settles_at_once_the_accounts_never_pass_their_caps() {
    const CAP: NanoUsd = 1_000_000;
    let store = crate::support::store().await;
    let team = accounts::ensure_team(&store, clock::new_id(), "all").await.unwrap();
    let user: UserId = clock::new_id();
    let caps = budgets::SharedCaps { team: per_day(CAP as f64 / 1e9), member: per_day(CAP as f64 / 2e9) };
    let store = Arc::new(store);
    let mut workers = tokio::task::JoinSet::new();
    for worker in 0..16_i64 {
        let store = Arc::clone(&store);
        workers.spawn(async move {
            // Half of the tasks are the member's with the smaller cap; the others are nobody's in particular.
            let user = if worker % 2 == 0 { user } else { clock::new_id() };
            let (mut spent, mut refused) = (0, 0);
            let task: TaskId = clock::new_id();
            for round in 0..40 {
                let drawer = |spent| Drawer { team, user, task, spent };
                let need = 1_000 + (worker * 37 + round * 101) % 3_000;
                match budgets::draw(&store, caps, drawer(spent), (need, need * 2)).await.unwrap() {
                    Drawn::Held(held) => {
                        assert!(held >= need);
                        spent += need;
                    }
                    Drawn::Refused { .. } => refused += 1,
                }
                let (accounts, _) = budgets::standing(&store, team).await.unwrap();
                assert!(accounts.iter().all(|(.., taken)| *taken <= CAP), "{accounts:?}");
                if round % 7 == 6 {
                    budgets::settle(&store, drawer(spent)).await.unwrap();
                }
            }
            budgets::settle(&store, Drawer { team, user, task, spent }).await.unwrap();
            (spent, refused)
        });
    }
    let ends: Vec<(NanoUsd, u32)> = workers.join_all().await;
    let all: NanoUsd = ends.iter().map(|(spent, _)| spent).sum();
    assert!(ends.iter().map(|(_, refused)| refused).sum::<u32>() > 0, "the caps were met");
    let (accounts, held) = budgets::standing(&store, team).await.unwrap();
    let of_team = accounts.iter().find(|(holder, ..)| holder.is_nil()).unwrap().2;
    assert_eq!((of_team, held), (all, 0));
    assert!(of_team <= CAP && of_team > CAP * 9 / 10, "{of_team}");
}

#[tokio::test(flavor = "multi_thread")]
async fn caps_that_come_and_go_while_tasks_hold_money_leave_the_accounts_true() {
    let store = crate::support::store().await;
    let team = accounts::ensure_team(&store, clock::new_id(), "changing").await.unwrap();
    let user: UserId = clock::new_id();
    let drawer = |task, spent| Drawer { team, user, task, spent };
    let of_team = budgets::SharedCaps { team: per_day(1.0), member: Caps::default() };
    let of_both = budgets::SharedCaps { team: per_day(1.0), member: per_day(0.5) };
    let (first, second): (TaskId, TaskId) = (clock::new_id(), clock::new_id());
    let held = |drawn| match drawn {
        Drawn::Held(held) => held,
        Drawn::Refused { .. } => panic!("{drawn:?}"),
    };

    let of_first = held(budgets::draw(&store, of_team, drawer(first, 0), (1_000, 2_000)).await.unwrap());
    // The member's account is opened by another task: what the first holds counts in it.
    let of_second = held(budgets::draw(&store, of_both, drawer(second, 0), (1_000, 2_000)).await.unwrap());
    let (standing, _) = budgets::standing(&store, team).await.unwrap();
    assert!(standing.iter().all(|(.., taken)| *taken == of_first + of_second), "{standing:?}");
    assert_eq!(standing.len(), 2);
    budgets::settle(&store, drawer(first, 700)).await.unwrap();
    budgets::settle(&store, drawer(second, 900)).await.unwrap();
    let (standing, held_now) = budgets::standing(&store, team).await.unwrap();
    assert!(standing.iter().all(|(.., taken)| *taken == 1_600), "{standing:?}");
    assert_eq!(held_now, 0);

    // A hold that was drawn under other caps is given back where it came from, and drawn anew.
    budgets::draw(&store, of_team, drawer(first, 700), (1_000, 2_000)).await.unwrap();
    budgets::draw(&store, of_both, drawer(first, 800), (1_000, 2_000)).await.unwrap();
    budgets::settle(&store, drawer(first, 900)).await.unwrap();
    let (standing, _) = budgets::standing(&store, team).await.unwrap();
    let taken = |nil: bool| standing.iter().find(|(holder, ..)| holder.is_nil() == nil).unwrap().2;
    // What was spent while no cap of the member's was heeded is in the team's account alone.
    assert_eq!((taken(true), taken(false)), (1_800, 1_700), "{standing:?}");
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_spent_while_a_cap_was_lifted_counts_when_it_is_set_again() {
    let ground = ground(&json!({ "sequence": [say("Seen.")] })).await;
    let body = request(&ground, &json!({ "mode": "answer", "checks": [] }));
    let store = store(&ground).await;
    let mut all = 0.0;
    let mut of_team = None;
    for caps in [per_day(1.0), Caps::default(), per_day(1.0)] {
        // A service that begins reads the caps at once.
        let service = ground.start().await;
        let api = service.api();
        let (team, _) = who(&api).await;
        of_team = Some(team);
        budgets::set_caps(&store, team, None, caps).await.unwrap();
        let task = api.rest(&api.create(&body).await).await;
        assert_eq!(task["status"], "succeeded", "{task:#}");
        all += spent(&task);
        service.stop().await;
    }
    let (of_account, held) = taken(&store, of_team.unwrap()).await;
    assert_eq!(held, 0);
    assert!(all > 0.0 && (of_account - all).abs() < 1e-6, "the account says {of_account}, the tasks {all}");
    store.close().await;
}
