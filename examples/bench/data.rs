//! The same calls on a full database and on one of a hundredth of its size, in turns.

use super::{
    floor::Floor,
    report::{Report, median},
    stand::Stand,
};
use journeyman::{
    clock,
    domain::{ReplicaId, task::LOG_VERSION},
    store::{Settings, Store, jobs},
};
use reqwest::Method;
use serde_json::json;
use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, PgPool};
use std::time::{Duration, Instant};
use uuid::Uuid;

const CALLER: &str = "jm_bench-key-of-a-member-0123456789-abcdefgh";
const TEAMS: i32 = 20;
/// Tasks that wait, on both, and the users whose they are: a backlog is load, not size.
const QUEUED: i32 = 200;
const QUEUERS: i32 = 2 * TEAMS;
const ROUNDS: usize = 200;
/// What a call may take on the full database, as a multiple of the small one.
const GROWTH_MAX: f64 = 1.5;

type Call = fn(&Full, &str) -> reqwest::RequestBuilder;

/// A database of the service that is full of tasks, with a service that answers for it and works on none.
struct Full {
    stand: Stand,
    pool: PgPool,
    store: Store,
    /// In the middle of the caller's team's.
    task: Uuid,
    events: i64,
}

/// `scale` is a part of 10,000 users, 200,000 tasks and about 5 million events.
pub(crate) async fn data(floor: &Floor, scale: f64, report: &mut Report) {
    let small = Full::make(floor, "bench_small", scale / 100.0).await;
    let full = Full::make(floor, "bench_full", scale).await;
    report.add(
        format!("a database of {} users, {} tasks: its events", users(scale), tasks(scale)),
        full.events as f64,
        "",
    );
    let text = "which checks must run before the work is done";
    let calls: [(&str, Call); 7] = [
        ("GET /v1/tasks?limit=20", |full, _| full.request(Method::GET, "/v1/tasks?limit=20")),
        ("GET /v1/tasks?status=queued", |full, _| full.request(Method::GET, "/v1/tasks?status=queued&limit=20")),
        ("GET /v1/tasks?q= of two words", |full, _| full.request(Method::GET, "/v1/tasks?q=area%20777&limit=20")),
        ("GET /v1/tasks/{id}", |full, _| full.request(Method::GET, &format!("/v1/tasks/{}", full.task))),
        ("GET /v1/tasks/{id}/events", |full, _| full.request(Method::GET, &format!("/v1/tasks/{}/events", full.task))),
        ("GET /v1/usage of a day by model", |full, _| {
            full.request(Method::GET, &format!("/v1/usage?group_by=model&from={0}&to={0}", today()))
        }),
        ("POST /v1/memories/search", |full, text| {
            full.request(Method::POST, "/v1/memories/search").json(&json!({ "query": text }))
        }),
    ];
    for (what, call) in calls {
        let (mut few, mut many) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS + 20 {
            for (database, taken) in [(&small, &mut few), (&full, &mut many)] {
                let milliseconds = answered(call(database, text)).await;
                // The first of each fill what is kept in memory.
                if round >= 20 {
                    taken.push(milliseconds);
                }
            }
        }
        compared(what, &mut few, &mut many, report);
    }
    let (mut few, mut many) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        few.push(small.claim().await);
        many.push(full.claim().await);
    }
    compared(&format!("a claim among {QUEUED} waiting tasks of {QUEUERS} users"), &mut few, &mut many, report);
}

fn compared(what: &str, few: &mut [f64], many: &mut [f64], report: &mut Report) {
    let (few, many) = (median(few), median(many));
    report.add(format!("{what}, a hundredth of the size"), few, "ms");
    report.add(format!("{what}, full"), many, "ms");
    report.at_most(format!("{what}, full against a hundredth"), many / few, "×", GROWTH_MAX);
}

async fn answered(request: reqwest::RequestBuilder) -> f64 {
    let since = Instant::now();
    let answer = request.send().await.unwrap();
    let status = answer.status();
    let body = answer.text().await.unwrap();
    assert!(status.is_success(), "{status}: {body}");
    since.elapsed().as_secs_f64() * 1e3
}

fn users(scale: f64) -> i32 {
    ((10_000.0 * scale) as i32).max(2 * TEAMS)
}

fn tasks(scale: f64) -> i32 {
    ((200_000.0 * scale) as i32).max(2 * QUEUED)
}

fn today() -> String {
    clock::now().0.date().to_string()
}

impl Full {
    async fn make(floor: &Floor, name: &str, scale: f64) -> Self {
        sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&floor.pool).await.unwrap();
        let url = floor.url_of(name);
        let working = Stand::start(&url);
        let template = working.create("five", "small").await;
        working.end(&template).await;
        drop(working);
        let pool = PgPool::connect(&url).await.unwrap();
        sqlx::raw_sql(include_str!("data.sql")).execute(&pool).await.unwrap();
        let caller: [u8; 32] = Sha256::digest(CALLER).into();
        let template: Uuid = template.parse().unwrap();
        sqlx::query("CALL bench.fill($1, $2, $3, $4, $5)")
            .bind(TEAMS)
            .bind(users(scale))
            .bind(tasks(scale))
            .bind(template)
            .bind(caller)
            .execute(&pool)
            .await
            .unwrap();
        sqlx::query("CALL bench.queue($1, $2)").bind(QUEUED).bind(QUEUERS).execute(&pool).await.unwrap();
        sqlx::query("VACUUM ANALYZE").execute(&pool).await.unwrap();
        let (task, events) = sqlx::query_as(
            "SELECT (SELECT s.id FROM bench.tasks s JOIN bench.teams t ON t.id = s.team WHERE t.n = 1
                ORDER BY s.n OFFSET (SELECT count(*) / $1 / 2 FROM bench.tasks) LIMIT 1),
                (SELECT count(*) FROM task_events)",
        )
        .bind(TEAMS)
        .fetch_one(&pool)
        .await
        .unwrap();
        let stand = Stand::start_as(&url, "api");
        let store = Store::connect(&Settings::new(url), false).await.unwrap();
        Self { stand, pool, store, task, events }
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.stand.http.request(method, format!("{}{path}", self.stand.base)).bearer_auth(CALLER)
    }

    /// Milliseconds that a claim takes; it is given back.
    async fn claim(&self) -> f64 {
        let (replica, host) = (ReplicaId(clock::new_id()), clock::new_id());
        let since = Instant::now();
        let claimed =
            jobs::claim_tasks(&self.store, replica, host, LOG_VERSION, Duration::from_secs(60), 1).await.unwrap();
        let taken = since.elapsed().as_secs_f64() * 1e3;
        assert_eq!(claimed.len(), 1);
        sqlx::query("UPDATE jobs SET lease_replica = NULL, lease_host = NULL, lease_until = NULL WHERE id = $1")
            .bind(claimed[0].task.0)
            .execute(&self.pool)
            .await
            .unwrap();
        taken
    }
}
