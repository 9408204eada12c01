//! The floors: a bare insert, a bare spawn, a bare axum + sqlx route doing the same transaction.

use super::report::{Report, median};
use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    routing::{get, post},
};
use journeyman::postgres::{Cluster, ClusterSettings, DataDirLock};
use sqlx::{AssertSqlSafe, PgPool, Row, postgres::PgPoolOptions};
use std::{net::SocketAddr, time::Instant};
use tempfile::TempDir;
use uuid::Uuid;

pub(crate) struct Floor {
    pub(crate) database_url: String,
    pub(crate) pool: PgPool,
    pub(crate) address: SocketAddr,
    cluster: Cluster,
    _lock: DataDirLock,
    _dir: TempDir,
}

impl Floor {
    pub(crate) async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let lock = DataDirLock::take(dir.path()).unwrap();
        let settings = ClusterSettings { max_connections: 200, ..ClusterSettings::default() };
        let cluster = Cluster::start(&lock, &settings).await.unwrap();
        let database_url = cluster.url().to_owned();
        let pool =
            PgPoolOptions::new().max_connections(16).test_before_acquire(false).connect(&database_url).await.unwrap();
        sqlx::query("CREATE TABLE bare (id bigserial PRIMARY KEY, data text)").execute(&pool).await.unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router =
            Router::new().route("/tasks/{team}/{id}", get(bare)).route("/rows", post(insert)).with_state(pool.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { database_url, pool, address, cluster, _lock: lock, _dir: dir }
    }

    /// Of another database of the same server.
    pub(crate) fn url_of(&self, database: &str) -> String {
        let mut url = reqwest::Url::parse(&self.database_url).unwrap();
        url.set_path(database);
        url.into()
    }

    pub(crate) async fn measure(&self, report: &mut Report) {
        let mut inserts = Vec::new();
        for _ in 0..300 {
            let since = Instant::now();
            sqlx::query("INSERT INTO bare (data) VALUES ($1)").bind("x".repeat(300)).execute(&self.pool).await.unwrap();
            inserts.push(since.elapsed().as_secs_f64() * 1e3);
        }
        report.add("floor: bare insert of 300 bytes, committed", median(&mut inserts), "ms");
        let mut spawns = Vec::new();
        for _ in 0..100 {
            let since = Instant::now();
            tokio::process::Command::new("bash").args(["-c", "echo hi"]).output().await.unwrap();
            spawns.push(since.elapsed().as_secs_f64() * 1e3);
        }
        report.add("floor: bare spawn of bash -c 'echo hi'", median(&mut spawns), "ms");
    }

    /// Transactions that the database has committed so far.
    pub(crate) async fn commits(&self) -> i64 {
        // A backend that rests tells its statistics after ten seconds.
        tokio::time::sleep(std::time::Duration::from_secs(11)).await;
        sqlx::query_scalar("SELECT sum(xact_commit + xact_rollback)::bigint FROM pg_stat_database")
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    pub(crate) async fn stop(self) {
        self.pool.close().await;
        self.cluster.stop().await.unwrap();
    }
}

/// The same transaction as GET of a task: the team's scope, one row, its JSON.
async fn bare(State(pool): State<PgPool>, Path((team, id)): Path<(Uuid, Uuid)>) -> String {
    let begin = format!("BEGIN; SET LOCAL app.team = '{team}'");
    let mut tx = pool.begin_with(AssertSqlSafe(begin)).await.unwrap();
    let row = sqlx::query("SELECT id, spec, detail, status FROM tasks WHERE team = $1 AND id = $2")
        .bind(team)
        .bind(id)
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let (spec, detail): (String, String) = (row.get("spec"), row.get("detail"));
    format!("{{\"spec\":{spec},\"detail\":{detail}}}")
}

/// Takes in a body, and inserts a row as long as those of what trackers send.
async fn insert(State(pool): State<PgPool>, body: Bytes) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned();
    sqlx::query("INSERT INTO bare (data) VALUES ($1)").bind(text).execute(&pool).await.unwrap();
    body.len().to_string()
}
