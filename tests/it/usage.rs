//! What was used and what it cost: the sums are those of the logs, whatever broke off, and outlive what they count.

use crate::support::{
    calculator,
    process::Process,
    service::{Api, Ground, call, say},
};
use journeyman::{
    clock,
    domain::{TeamId, UserId},
    store::{
        Settings, Store,
        usage::{self, UsageFilter, UsageGroup},
    },
};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use std::time::Instant;
use time::macros::date;

/// The calculator with a model that has a price and one that has none.
async fn ground(script: &Value) -> Ground {
    let mut ground = calculator::ground(script).await;
    let url = &ground.model.url;
    let entry = |name: &str, rest: &str| {
        format!("[[models]]\nname = \"{name}\"\nurl = \"{url}\"\napi = \"responses\"\n{rest}\n")
    };
    let prices = "prices = { input = 1.0, cached_input = 0.25, output = 2.0 }";
    let path = ground.data.path().join("models.toml");
    std::fs::write(&path, [entry("priced", prices), entry("unpriced", "")].concat()).unwrap();
    ground.variables.push(("JOURNEYMAN_CONFIG".to_owned(), path.display().to_string()));
    ground
}

async fn rows(api: &Api, query: &str) -> Vec<Value> {
    let (status, page) = api.get(&format!("/v1/usage?limit=100&{query}")).await;
    assert_eq!(status, 200, "{page}");
    page["data"].as_array().unwrap().clone()
}

fn figures(row: &Value) -> [u64; 5] {
    ["tasks", "model_calls", "input_tokens", "cached_input_tokens", "output_tokens"]
        .map(|name| row[name].as_u64().unwrap())
}

/// The same of tasks as they show themselves.
fn of_tasks(tasks: &[&Value]) -> [u64; 5] {
    let sum = |name: &str| tasks.iter().map(|task| task["usage"][name].as_u64().unwrap()).sum();
    [tasks.len() as u64, sum("model_calls"), sum("input_tokens"), sum("cached_input_tokens"), sum("output_tokens")]
}

fn assert_near(found: &Value, wanted: f64) {
    let found = found.as_f64().unwrap_or_else(|| panic!("{found} is no number"));
    assert!((found - wanted).abs() < 1e-7, "{found} is not {wanted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sums_are_had_by_day_user_model_repository_and_label_and_outlive_their_tasks() {
    let look = || call("list_files", json!({}));
    let ground = ground(&json!({ "sequence": [look(), look(), say("Seen.")] })).await;
    let service = ground.start().await;
    let admin = service.api();
    let bob = ground.member(&service.base, "default", "bob").await;
    let eve = ground.member(&service.base, "others", "eve").await;
    let body = |model: &str, labels: Value| {
        let mut body = calculator::request(&ground);
        (body["model"], body["labels"], body["checks"]) = (json!(model), labels, json!([]));
        body
    };
    let run = async |api: &Api, body: Value| {
        let id = api.create(&body).await;
        api.rest(&id).await
    };
    let first = run(&admin, body("priced", json!({ "area": "web" }))).await;
    let second = run(&bob, body("priced", json!({ "area": "db" }))).await;
    let third = run(&bob, body("unpriced", json!({}))).await;
    let foreign = run(&eve, body("priced", json!({ "area": "web" }))).await;
    assert!(first["usage"]["cached_input_tokens"].as_u64().unwrap() > 0, "{:#}", first["usage"]);

    let by_model = rows(&admin, "group_by=model").await;
    assert_eq!(by_model.iter().map(|row| row["group"].as_str().unwrap()).collect::<Vec<_>>(), ["priced", "unpriced"]);
    assert_eq!(figures(&by_model[0]), of_tasks(&[&first, &second]));
    assert_eq!(figures(&by_model[1]), of_tasks(&[&third]));
    let cost = |task: &Value| task["usage"]["cost_usd"].as_f64().unwrap();
    assert_near(&by_model[0]["cost_usd"], cost(&first) + cost(&second));
    let cached = of_tasks(&[&first, &second])[3] as f64;
    assert_near(&by_model[0]["saved_by_cache_usd"], cached * 0.75 / 1e6);
    let unpriced = &by_model[1];
    assert_eq!((&unpriced["cost_usd"], &unpriced["saved_by_cache_usd"]), (&Value::Null, &Value::Null));
    assert_eq!((&unpriced["unpriced_calls"], &by_model[0]["unpriced_calls"]), (&unpriced["model_calls"], &json!(0)));

    let by_user = rows(&admin, "group_by=user").await;
    let of = |name: &str| by_user.iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("{by_user:#?}"));
    assert_eq!((by_user.len(), figures(of("admin"))), (2, of_tasks(&[&first])));
    assert_eq!(figures(of("bob")), of_tasks(&[&second, &third]));
    let day = clock::now().0.date().to_string();
    let by_day = rows(&admin, "").await;
    assert_eq!((by_day.len(), figures(&by_day[0])), (1, of_tasks(&[&first, &second, &third])));
    assert!(
        [day, (clock::now().0 - time::Duration::days(1)).date().to_string()]
            .contains(&by_day[0]["group"].as_str().unwrap().to_owned())
    );
    let by_label = rows(&admin, "group_by=label:area").await;
    assert_eq!(
        by_label.iter().map(|row| row["group"].clone()).collect::<Vec<_>>(),
        [json!("db"), json!("web"), Value::Null]
    );
    assert_eq!(figures(&by_label[1]), of_tasks(&[&first]));
    let url = calculator::request(&ground)["repository"]["url"].clone();
    let by_repository = rows(&admin, "group_by=repository&label=area:db").await;
    assert_eq!((&by_repository[0]["group"], figures(&by_repository[0])), (&url, of_tasks(&[&second])));
    let team = rows(&admin, "group_by=team").await;
    assert_eq!((team.len(), &team[0]["name"]), (1, &json!("default")));

    // A member sees what is his own, and nobody what is another team's.
    let own = rows(&bob, "group_by=user").await;
    assert_eq!((own.len(), figures(&own[0])), (1, of_tasks(&[&second, &third])));
    let other = first["created_by"]["id"].as_str().unwrap();
    assert_eq!(bob.get(&format!("/v1/usage?user={other}")).await.0, 403);
    assert_eq!(figures(&rows(&admin, &format!("user={other}")).await[0]), of_tasks(&[&first]));
    assert_eq!(figures(&rows(&eve, "").await[0]), of_tasks(&[&foreign]));

    // An operator of the instance, as the first admin is, sees all teams'.
    let teams = rows(&admin, "of=instance&group_by=team").await;
    let of_team =
        |name: &str| figures(teams.iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("{teams:#?}")));
    assert_eq!((teams.len(), of_team("others")), (2, of_tasks(&[&foreign])));
    assert_eq!(of_team("default"), of_tasks(&[&first, &second, &third]));
    let users = rows(&admin, "of=instance&group_by=user").await;
    assert!(users.iter().any(|row| row["name"] == "eve"), "{users:#?}");
    for api in [&bob, &eve] {
        assert_eq!(api.get("/v1/usage?of=instance").await.0, 403);
    }

    // Pages, and all of it as CSV.
    let (_, page) = admin.get("/v1/usage?group_by=label:area&limit=2").await;
    let next = page["next_cursor"].as_str().unwrap();
    let (_, rest) = admin.get(&format!("/v1/usage?group_by=label:area&limit=2&cursor={next}")).await;
    assert_eq!((&rest["data"][0]["group"], &rest["next_cursor"]), (&Value::Null, &Value::Null), "{rest:#}");
    let csv = admin.http.get(format!("{}/v1/usage?group_by=model", admin.base)).bearer_auth(&admin.key);
    let csv = csv.header("accept", "text/csv").send().await.unwrap().text().await.unwrap();
    let [_, priced, unpriced] = csv.lines().collect::<Vec<_>>()[..] else { panic!("{csv}") };
    assert!(priced.starts_with("priced,,2,") && unpriced.contains(",,,"), "{csv}");
    for wrong in
        ["group_by=colour", "of=world", "from=2026", "from=2026-02-01&to=2026-01-01", "from=1990-01-01", "label=x"]
    {
        assert_eq!(admin.get(&format!("/v1/usage?{wrong}")).await.0, 422, "{wrong}");
    }
    assert_eq!(rows(&admin, "to=2020-01-01").await, Vec::<Value>::new());

    // A fork counts what it does itself; what is deleted was used all the same.
    let id = second["id"].as_str().unwrap();
    let (status, fork) = bob.post(&format!("/v1/tasks/{id}/fork"), &json!({ "request": "once more" })).await;
    assert_eq!(status, 201, "{fork}");
    let fork = bob.rest(fork["id"].as_str().unwrap()).await;
    let before = rows(&admin, "group_by=model").await;
    assert_eq!(figures(&before[0]), of_tasks(&[&first, &second, &fork]));
    for task in [&first, &second, &third, &fork] {
        let url = format!("{}/v1/tasks/{}", admin.base, task["id"].as_str().unwrap());
        assert_eq!(admin.http.delete(url).bearer_auth(&admin.key).send().await.unwrap().status().as_u16(), 204);
    }
    assert_eq!(rows(&admin, "group_by=model").await, before);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_counted_twice_or_lost_when_a_worker_is_killed() {
    let mut script = calculator::ten_turns();
    script["pace"]["first_byte_ms"] = 120.into();
    let ground = ground(&script).await;
    let mut process = Process::start(&ground, ground.data.path());
    let mut body = calculator::request(&ground);
    body["model"] = json!("priced");
    let mut ids = Vec::new();
    for _ in 0..6 {
        ids.push(process.api.create(&body).await);
    }
    for turns in [2, 4, 7] {
        process.api.answered(&ids[0], turns).await;
        process.kill();
        process = Process::start(&ground, ground.data.path());
    }
    let mut tasks = Vec::new();
    for id in &ids {
        tasks.push(process.api.rest(id).await);
    }
    let tasks: Vec<&Value> = tasks.iter().collect();
    let sums = rows(&process.api, "group_by=team").await;
    assert_eq!(figures(&sums[0]), of_tasks(&tasks));
    let cost: f64 = tasks.iter().map(|task| task["usage"]["cost_usd"].as_f64().unwrap()).sum();
    assert_near(&sums[0]["cost_usd"], cost);
    let lost: u64 = tasks.iter().map(|task| task["usage"]["unreported"]["calls"].as_u64().unwrap()).sum();
    assert!(lost > 0, "the kills came in the midst of calls");
}

/// Sums over a month of a large team, from rows as two hundred thousand tasks leave them.
#[tokio::test(flavor = "multi_thread")]
async fn sums_over_two_hundred_thousand_tasks_are_had_at_once() {
    let url = crate::support::database().await;
    let store = Store::connect(&Settings { connections: 2, ..Settings::new(&url) }, false).await.unwrap();
    let team: TeamId = clock::new_id();
    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::query(
        "INSERT INTO usage_days (team, day, task, model, user_id, repository, labels, model_calls, counted_calls,
            input_tokens, cached_input_tokens, output_tokens, cost_nano, saved_nano)
         SELECT CASE WHEN n % 2 = 0 THEN $1 ELSE md5('team ' || n % 50)::uuid END, date '2026-01-01' + n / 2 % 180,
            md5('task ' || n)::uuid, 'model ' || n % 3, md5('user ' || n % 500)::uuid, 'https://example.org/' || n % 100,
            jsonb_build_object('area', 'a' || n % 20), 12, 12, 100000, 80000, 2000, 1000000, 100000
         FROM generate_series(1, 200000) AS n",
    )
    .bind(team.0)
    .execute(&mut connection)
    .await
    .unwrap();
    sqlx::query("ANALYZE usage_days").execute(&mut connection).await.unwrap();
    let (from, to) = (date!(2026 - 03 - 01), date!(2026 - 03 - 31));
    let filter = UsageFilter { from, to, user: None, model: None, repository: None, label: None };
    for (group, groups) in [
        (UsageGroup::Day, 31),
        (UsageGroup::User, 250),
        (UsageGroup::Model, 3),
        (UsageGroup::Repository, 50),
        (UsageGroup::Label("area".to_owned()), 10),
    ] {
        let mut tx = store.team(team).await.unwrap();
        usage::sums(&mut tx, &group, &filter, None, 10_000).await.unwrap();
        let began = Instant::now();
        let sums = usage::sums(&mut tx, &group, &filter, None, 10_000).await.unwrap();
        let took = began.elapsed();
        assert_eq!(sums.len(), groups, "{group:?}");
        assert!(took.as_millis() < 1_000, "{group:?} took {took:?}");
    }
    let of_one = UsageFilter { user: Some(UserId(clock::new_id())), ..filter };
    let mut tx = store.team(team).await.unwrap();
    assert_eq!(usage::sums(&mut tx, &UsageGroup::Day, &of_one, None, 10).await.unwrap(), []);
}
