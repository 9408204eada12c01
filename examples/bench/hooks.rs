//! Hooks in: what a GitHub sends to one replica, by a schedule that does not wait for answers. Most asks for nothing, a fifth
//! comes twice, a tenth are comments on issues without a task, and a handful make tasks. Latencies count from the moment that a
//! delivery was due.

use super::{
    floor::Floor,
    report::{Report, median, quantile},
    stand::Stand,
};
use aws_lc_rs::hmac;
use axum::body::Bytes;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::PgPool;
use std::{
    collections::HashSet,
    fmt::Write,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use uuid::Uuid;

const SECRET: &str = "what a tracker signs with";
const SECONDS: usize = 10;
const CALM: usize = 100;
const BUSY: usize = 1_000;
const TASKS: usize = 5;
/// Time for the tasks to be made, after the last answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request to be sent.
#[derive(Clone)]
struct Delivery {
    id: String,
    event: &'static str,
    body: Bytes,
    signature: Arc<str>,
}

impl Delivery {
    fn new(event: &'static str, payload: &Value) -> Self {
        let body = Bytes::from(serde_json::to_vec(payload).unwrap());
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), &body);
        let signature = tag.as_ref().iter().fold("sha256=".to_owned(), |mut hex, byte| {
            write!(hex, "{byte:02x}").unwrap();
            hex
        });
        Self { id: String::new(), event, body, signature: signature.into() }
    }

    /// The same content under an id of its own.
    fn anew(&self) -> Self {
        Self { id: Uuid::now_v7().to_string(), ..self.clone() }
    }
}

pub(crate) async fn hooks(floor: &Floor, report: &mut Report) {
    let url = format!("http://{}/rows", floor.address);
    let rows = plan(BUSY, 0);
    let before = size(&floor.pool, "bare").await;
    let mut late = send(&url, &rows, BUSY).await;
    let grown = size(&floor.pool, "bare").await - before;
    let what = |figure: &str| format!("floor: bare axum route that inserts a row, {BUSY} a second: {figure}");
    report.add(what("median"), median(&mut late), "ms");
    report.add(what("p99"), quantile(&mut late, 0.99), "ms");
    report.add(what("growth of the database a row"), grown / rows.len() as f64, "bytes");

    sqlx::query("CREATE DATABASE hooks").execute(&floor.pool).await.unwrap();
    let stand = Stand::start(&floor.url_of("hooks"));
    let database = PgPool::connect(&floor.url_of("hooks")).await.unwrap();
    let url = integration(&stand).await;

    let calm = plan(CALM, 0);
    let mut late = send(&url, &calm, CALM).await;
    let what = |rate: usize, figure: &str| format!("hooks in, {rate} a second: {figure}");
    report.add(what(CALM, "median"), median(&mut late), "ms");
    report.at_most(what(CALM, "p99"), quantile(&mut late, 0.99), "ms", 20.0);

    let busy = plan(BUSY, TASKS);
    let (before, cpu) = (size(&database, "tracker_deliveries").await, stand.cpu_seconds());
    let mut late = send(&url, &busy, BUSY).await;
    let cpu = stand.cpu_seconds() - cpu;
    let grown = size(&database, "tracker_deliveries").await - before;
    let new = busy.iter().map(|delivery| &delivery.id).collect::<HashSet<_>>().len();
    report.add(what(BUSY, "median"), median(&mut late), "ms");
    report.at_most(what(BUSY, "p99"), quantile(&mut late, 0.99), "ms", 50.0);
    report.add(what(BUSY, "CPU of the service a delivery"), cpu * 1e3 / busy.len() as f64, "ms");
    report.add(what(BUSY, "growth of the database a new delivery"), grown / new as f64, "bytes");

    let sent = calm.iter().chain(&busy).map(|delivery| delivery.id.clone());
    report.at_most(
        "hooks in: distinct ids that are not written down just once",
        astray(&database, sent).await,
        "",
        0.0,
    );
    report.at_least("hooks in: tasks made of them", made(&database).await, "", TASKS as f64);
    database.close().await;
}

/// The integration's hook.
async fn integration(stand: &Stand) -> String {
    let body = json!({
        "name": "bench", "tracker": "github", "secret": SECRET, "allowed_users": ["ada"],
        "rules": { "labels": ["agent"], "mention": "@journeyman", "assignee": "journeyman-acme" },
        "repositories": { "acme/calc": { "url": stand.repository("small"), "ref": "main" } },
    });
    let made = stand.request(Method::POST, "/v1/integrations").json(&body).send().await.unwrap();
    let made: Value = made.error_for_status().unwrap().json().await.unwrap();
    format!("{}/v1/hooks/{}", stand.base, made["id"].as_str().unwrap())
}

/// What is sent in [`SECONDS`], in its order.
fn plan(rate: usize, tasks: usize) -> Vec<Delivery> {
    let with = |name: &str, change: &dyn Fn(&mut Value)| {
        let mut payload = payload(name);
        change(&mut payload);
        payload
    };
    let ignored = [
        Delivery::new("issues", &with("issues_labeled", &|p| p["action"] = json!("unlabeled"))),
        Delivery::new("issues", &with("issues_labeled", &|p| p["label"]["name"] = json!("bug"))),
        Delivery::new("issues", &with("issues_opened", &|p| p["issue"]["body"] = json!("It should give 5."))),
        Delivery::new("issue_comment", &with("issue_comment_created", &|p| p["action"] = json!("edited"))),
        Delivery::new("pull_request", &with("pull_request_closed", &|p| p["action"] = json!("synchronize"))),
        Delivery::new("check_run", &with("check_run_completed", &|p| p["check_run"]["conclusion"] = json!("success"))),
        Delivery::new("star", &payload("star")),
    ];
    let comment = |number: usize| {
        let change = |p: &mut Value| {
            p["issue"]["number"] = json!(number % 200 + 100);
            p["comment"]["id"] = json!(number);
            p["comment"]["body"] = json!(format!("I saw it {number} times."));
        };
        Delivery::new("issue_comment", &with("issue_comment_created", &change)).anew()
    };
    let task = |number: usize| {
        let change = |p: &mut Value| {
            p["issue"]["number"] = json!(number + 10);
            p["issue"]["body"] = json!("[scenario: one] It should give 5.");
        };
        Delivery::new("issues", &with("issues_labeled", &change)).anew()
    };
    let all = rate * SECONDS;
    let mut plan: Vec<Delivery> = Vec::with_capacity(all);
    for number in 0..all {
        let next = match number % 10 {
            // Some come again at once, others after a while.
            7 | 8 => plan[number - 1 - number * 7 % number.min(300)].clone(),
            9 => comment(number),
            // In the place of one that asks for nothing.
            3 if tasks > 0 && number % (all / tasks) < 10 => task(number / (all / tasks)),
            kind => ignored[kind].anew(),
        };
        plan.push(next);
    }
    plan
}

fn payload(name: &str) -> Value {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/trackers/github");
    serde_json::from_slice(&std::fs::read(place.join(format!("{name}.json"))).unwrap()).unwrap()
}

/// Sends each when it is due; milliseconds from then to the end of its answer.
async fn send(url: &str, plan: &[Delivery], rate: usize) -> Vec<f64> {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    // Not before all of them wait for their time.
    let begun = Instant::now() + Duration::from_millis(300);
    let sent = plan.iter().enumerate().map(|(number, delivery)| {
        let request = http
            .post(url)
            .header("content-type", "application/json")
            .header("x-github-event", delivery.event)
            .header("x-github-delivery", &delivery.id)
            .header("x-hub-signature-256", &*delivery.signature)
            .body(delivery.body.clone());
        let due = begun + Duration::from_secs(1) * number as u32 / rate as u32;
        tokio::spawn(async move {
            tokio::time::sleep_until(due.into()).await;
            let answer = request.send().await.unwrap();
            assert!(answer.status().is_success(), "{answer:?}");
            answer.bytes().await.unwrap();
            due.elapsed().as_secs_f64() * 1e3
        })
    });
    let sent: Vec<_> = sent.collect();
    let mut late = Vec::with_capacity(sent.len());
    for one in sent {
        late.push(one.await.unwrap());
    }
    late
}

/// Bytes of a table with its indexes.
async fn size(pool: &PgPool, table: &str) -> f64 {
    let bytes: i64 =
        sqlx::query_scalar("SELECT pg_total_relation_size($1::regclass)").bind(table).fetch_one(pool).await.unwrap();
    bytes as f64
}

/// How many of the ids that were sent are not there just once.
async fn astray(database: &PgPool, sent: impl Iterator<Item = String>) -> f64 {
    let sent: HashSet<String> = sent.collect();
    let rows: Vec<(String, i64)> =
        sqlx::query_as("SELECT delivery, count(*) FROM tracker_deliveries GROUP BY delivery")
            .fetch_all(database)
            .await
            .unwrap();
    let once: HashSet<String> = rows.into_iter().filter(|(_, count)| *count == 1).map(|(id, _)| id).collect();
    sent.symmetric_difference(&once).count() as f64
}

/// How many tasks were made, once nothing waits any more.
async fn made(database: &PgPool) -> f64 {
    let begun = Instant::now();
    loop {
        let (waiting, made): (i64, i64) = sqlx::query_as(
            "SELECT count(*) FILTER (WHERE state = 'waiting'), count(DISTINCT task) FROM tracker_deliveries",
        )
        .fetch_one(database)
        .await
        .unwrap();
        if waiting == 0 || begun.elapsed() > PATIENCE {
            return made as f64;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
