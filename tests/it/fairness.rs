//! Fairness between users, from HTTP to the end of the tasks.

use crate::support::service::{Api, Ground, say, second_data_dir};
use futures::{StreamExt, stream};
use journeyman::app::Role;
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection, Row};
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

const MANY: usize = 500;
const FEW: usize = 5;
const WORKERS: usize = 4;
/// Of the many, so many are let run to their end; the rest is cancelled.
const KEPT: usize = 60;
/// Requests at once.
const AT_ONCE: usize = 16;

async fn queue(api: &Api, count: usize) -> Vec<String> {
    let body = json!({ "request": "say yes", "mode": "answer" });
    let made = stream::iter(0..count).map(|_| api.create(&body)).buffer_unordered(AT_ONCE);
    made.collect().await
}

/// All tasks that a caller sees.
async fn all(api: &Api) -> Vec<Value> {
    let mut tasks: Vec<Value> = Vec::new();
    let mut cursor = String::new();
    loop {
        let (status, page) = api.get(&format!("/v1/tasks?limit=100{cursor}")).await;
        assert_eq!(status, 200, "{page}");
        tasks.extend(page["data"].as_array().unwrap().iter().cloned());
        let Some(next) = page["next_cursor"].as_str() else { return tasks };
        cursor = format!("&cursor={next}");
    }
}

fn of<'a>(tasks: &'a [Value], name: &'a str) -> impl Iterator<Item = &'a Value> + Clone {
    tasks.iter().filter(move |task| task["created_by"]["name"] == name)
}

fn at(task: &Value, what: &str) -> Option<OffsetDateTime> {
    Some(OffsetDateTime::parse(task[what].as_str()?, &Rfc3339).unwrap())
}

fn ended(task: &Value) -> bool {
    !task["finished_at"].is_null()
}

/// Asks for all tasks until they are as wanted.
async fn until(api: &Api, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let since = Instant::now();
    loop {
        let tasks = all(api).await;
        if wanted(&tasks) {
            return tasks;
        }
        assert!(since.elapsed() < Duration::from_secs(90), "{:#?}", tasks.last());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn five_tasks_do_not_wait_for_another_users_five_hundred_and_none_is_lost() {
    let mut ground = Ground::new(&json!({ "pace": { "first_byte_ms": 150 }, "sequence": [say("Yes.")] })).await;
    ground.variables.push(("JOURNEYMAN_WORKERS".to_owned(), WORKERS.to_string()));
    let serving = ground.start_as(Role::Api, ground.data.path(), None).await;
    let many = ground.member(&serving.base, "one", "many").await;
    let few = ground.member(&serving.base, "one", "few").await;
    let ids = queue(&many, MANY).await;
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), MANY);

    let (_dir, data_dir) = second_data_dir();
    let worker = ground.start_as(Role::Worker, &data_dir, None).await;
    until(&many, |tasks| tasks.iter().filter(|task| ended(task)).count() >= WORKERS).await;
    queue(&few, FEW).await;
    let tasks = until(&few, |tasks| of(tasks, "few").filter(|task| ended(task)).count() == FEW).await;

    // A free place goes to whoever has fewer tasks running (`store::jobs::claim_tasks`): the first two
    // that become free are the newcomer's, and while he has tasks waiting half of all are. His are
    // through after so many rounds on his half; the other's half turns as often, and once more for
    // the round that was under way. As rounds last no longer for the one than for the other, twice
    // that is more than enough, whatever the machine does besides.
    let rounds = FEW.div_ceil(WORKERS / 2);
    let share = WORKERS / 2 * (rounds + 1);
    let came = of(&tasks, "few").filter_map(|task| at(task, "created_at")).min().unwrap();
    let through = of(&tasks, "few").filter_map(|task| at(task, "finished_at")).max().unwrap();
    let begun: Vec<_> = of(&tasks, "many").filter_map(|task| at(task, "started_at")).collect();
    let before = begun.iter().filter(|begun| **begun < came).count();
    let meanwhile = begun.iter().filter(|begun| (came..through).contains(*begun)).count();
    assert!(meanwhile <= 2 * share, "{meanwhile} of the other's began meanwhile; his share is {share}");
    assert!(MANY - before - meanwhile > MANY / 2, "{before} began before, {meanwhile} meanwhile");

    // The rest need not run: what nobody cancels does, what somebody cancels ends at once. The list
    // is newest first; those that began since are not asked about any more.
    let waiting: Vec<_> = of(&tasks, "many").filter(|task| at(task, "started_at").is_none()).collect();
    let cancelling = stream::iter(&waiting[..waiting.len() - KEPT]).map(|task| async {
        let path = format!("/v1/tasks/{}/cancel", task["id"].as_str().unwrap());
        let (status, answer) = many.post(&path, &json!({})).await;
        assert!(status == 202 || status == 409, "{status} {answer}");
        status == 202
    });
    let cancelled: Vec<bool> = cancelling.buffer_unordered(AT_ONCE).collect().await;
    let cancelled = cancelled.into_iter().filter(|cancelled| *cancelled).count();
    let tasks = until(&many, |tasks| tasks.iter().all(ended)).await;
    assert_eq!(tasks.len(), MANY + FEW);
    let seen: BTreeSet<_> = of(&tasks, "many").map(|task| task["id"].as_str().unwrap()).collect();
    assert_eq!(seen, ids.iter().map(String::as_str).collect());
    let with = |status: &str| tasks.iter().filter(|task| task["status"] == status).count();
    assert_eq!((with("succeeded"), with("cancelled")), (MANY + FEW - cancelled, cancelled));
    let mut connection = PgConnection::connect(&ground.database).await.unwrap();
    assert_eq!(connection.fetch_one("SELECT count(*) FROM jobs").await.unwrap().get::<i64, _>(0), 0);
    worker.stop().await;
    serving.stop().await;
}
