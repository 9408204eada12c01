//! Webhooks: 200 deliveries a second to ten endpoints, one of which always fails; then the same with the service killed in the
//! midst of it. The load are rows as commits to a log write them, at a steady pace.

use super::{
    floor::Floor,
    report::{Report, median, quantile},
    stand::{Stand, now_us},
};
use axum::{
    Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use uuid::Uuid;

const ENDPOINTS: usize = 10;
/// One for each endpoint at each tick: 200 a second.
const TICK: Duration = Duration::from_millis(50);
const SECONDS: u32 = 15;
const PATIENCE: Duration = Duration::from_secs(90);
/// Attempts are given up soon, so that a killed service's are sent again soon.
const SETTINGS: [(&str, &str); 3] = [
    ("JOURNEYMAN_PRIVATE_HOSTS", "127.0.0.0/8"),
    ("JOURNEYMAN_WEBHOOK_TIMEOUT_SECONDS", "5"),
    ("JOURNEYMAN_WEBHOOK_RETRY_SECONDS", "2,5,3600"),
];

/// By id: when it first came, and how often.
type Arrivals = Arc<Mutex<HashMap<String, (f64, u32)>>>;

/// Takes what comes to it, but for what comes to the first endpoint.
async fn receive(State(arrivals): State<Arrivals>, Path(endpoint): Path<usize>, headers: HeaderMap) -> StatusCode {
    if endpoint == 0 {
        return StatusCode::INTERNAL_SERVER_ERROR;
    }
    let id = headers["webhook-id"].to_str().unwrap().to_owned();
    arrivals.lock().unwrap().entry(id).or_insert_with(|| (now_us(), 0)).1 += 1;
    StatusCode::NO_CONTENT
}

pub(crate) async fn webhooks(floor: &Floor, report: &mut Report) {
    sqlx::query("CREATE DATABASE webhooks").execute(&floor.pool).await.unwrap();
    let mut stand = Stand::start_with(&floor.url_of("webhooks"), "all", &SETTINGS);
    let arrivals = Arrivals::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/{endpoint}", axum::routing::post(receive)).with_state(Arc::clone(&arrivals));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let mut endpoints: Vec<Uuid> = Vec::new();
    for number in 0..ENDPOINTS {
        let body = json!({ "url": format!("http://{address}/{number}"), "events": ["*"] });
        let made = stand.request(Method::POST, "/v1/webhook_endpoints").json(&body).send().await.unwrap();
        let made: Value = made.error_for_status().unwrap().json().await.unwrap();
        endpoints.push(made["id"].as_str().unwrap().parse().unwrap());
    }
    let options: PgConnectOptions = floor.url_of("webhooks").parse().unwrap();
    let options = options.options([("role", "journeyman_worker")]);
    let database = PgPoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
    let cpu = stand.cpu_seconds();
    let since = Instant::now();
    let sent = load(&database, endpoints[0], SECONDS).await;
    arrived(&arrivals, &sent).await;
    let seconds = since.elapsed().as_secs_f64();
    let all = sent.len() as f64 * ENDPOINTS as f64 / (ENDPOINTS - 1) as f64;
    let mut late: Vec<f64> = {
        let arrivals = arrivals.lock().unwrap();
        sent.iter().map(|(id, at)| (arrivals[id].0 - at) / 1e3).collect()
    };
    let what = |figure: &str| format!("webhooks, a tenth to a failing endpoint: {figure}");
    report.at_least(what("deliveries a second, to the last arrival"), all / seconds, "/s", 190.0);
    report.add(what("commit to arrival, median"), median(&mut late), "ms");
    report.at_most(what("commit to arrival, p99"), quantile(&mut late, 0.99), "ms", 1_000.0);
    report.add(what("CPU of the service a delivery"), (stand.cpu_seconds() - cpu) * 1e3 / all, "ms");

    // Killed in the midst, and started again.
    let mut sent = load(&database, endpoints[0], 4).await;
    stand.kill_and_start();
    sent.extend(load(&database, endpoints[0], 2).await);
    arrived(&arrivals, &sent).await;
    let arrivals = arrivals.lock().unwrap();
    let lost = sent.iter().filter(|(id, _)| !arrivals.contains_key(id)).count();
    let twice = sent.iter().filter(|(id, _)| arrivals.get(id).is_some_and(|(_, times)| *times > 1)).count();
    report.at_most("webhooks, kill -9 while sending: lost", lost as f64, "", 0.0);
    report.add("webhooks, kill -9 while sending: sent twice", twice as f64, "");
}

/// Deliveries at a steady pace to all endpoints; those to endpoints that do not fail, with the time of their commit.
async fn load(database: &PgPool, failing: Uuid, seconds: u32) -> Vec<(String, f64)> {
    let (mut ticks, mut sent) = (tokio::time::interval(TICK), Vec::new());
    for _ in 0..seconds * (1_000 / TICK.as_millis() as u32) {
        ticks.tick().await;
        let rows: Vec<(Uuid, Uuid)> = sqlx::query_as(
            "INSERT INTO webhook_deliveries (team, endpoint, kind, task, seq, body)
             SELECT team, id, 'task.status', gen_random_uuid(), 1,
                webhook_body('task.status', now(), team, id, 1, 1, 1, ',\"status\":\"running\"')
             FROM webhook_endpoints RETURNING endpoint, id",
        )
        .fetch_all(database)
        .await
        .unwrap();
        let at = now_us();
        sent.extend(rows.iter().filter(|(endpoint, _)| *endpoint != failing).map(|(_, id)| (id.to_string(), at)));
    }
    sent
}

/// Waits until all have arrived, or for long enough.
async fn arrived(arrivals: &Arrivals, sent: &[(String, f64)]) {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if sent.iter().all(|(id, _)| arrivals.lock().unwrap().contains_key(id)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
