//! A database with many users and tasks, filled as `make bench-data` fills its own: what callers and workers do often reads
//! no table from end to end.

use crate::support::service::{Api, Ground, KEY, PATIENCE, call, say};
use journeyman::{
    app::Role,
    clock,
    domain::{ReplicaId, task::LOG_VERSION},
    store::{Settings, Store, jobs},
};
use reqwest::Client;
use serde_json::json;
use sha2::{Digest, Sha256};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

const TEAMS: i32 = 20;
const USERS: i32 = 400;
const TASKS: i32 = 6_000;
const QUEUED: i32 = 100;
const CALLER: &str = "jm_test-key-of-a-member-of-a-full-database-01";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_often_reads_no_table_from_end_to_end() {
    let ground = Ground::new(&json!({ "sequence": [call("list_files", json!({})), say("Seen.")] })).await;
    let url = ground.repositories.make("r", &[("a.txt", "a\n")]);
    let working = ground.start().await;
    let template =
        working.api().create(&json!({ "request": "look", "mode": "answer", "repository": { "url": url } })).await;
    assert_eq!(working.api().rest(&template).await["status"], "succeeded");
    let length = working.api().events(&template).await.len();
    working.stop().await;

    let mut database = PgConnection::connect(&ground.database).await.unwrap();
    sqlx::raw_sql(include_str!("../../examples/bench/data.sql")).execute(&mut database).await.unwrap();
    sqlx::query("CALL bench.fill($1, $2, $3, $4, $5)")
        .bind(TEAMS)
        .bind(USERS)
        .bind(TASKS)
        .bind(template.parse::<Uuid>().unwrap())
        .bind(<[u8; 32]>::from(Sha256::digest(CALLER)))
        .execute(&mut database)
        .await
        .unwrap();
    sqlx::query("CALL bench.queue($1, $2)").bind(QUEUED).bind(USERS).execute(&mut database).await.unwrap();
    sqlx::query("VACUUM ANALYZE").execute(&mut database).await.unwrap();
    sqlx::query("SELECT pg_stat_reset()").execute(&mut database).await.unwrap();

    let service = ground.start_as(Role::Api, ground.data.path(), None).await;
    let member = Api { base: service.base.clone(), key: CALLER.to_owned(), http: Client::new() };
    let (_, mine) = member.get("/v1/tasks?status=succeeded&limit=100").await;
    let mine = mine["data"].as_array().unwrap();
    assert_eq!(mine.len(), 100, "a full page");
    let task = mine[99]["id"].as_str().unwrap();
    assert_eq!(member.events(task).await.len(), length, "the copy has the template's log");
    assert_eq!(member.get(&format!("/v1/tasks/{template}")).await.0, 404, "the template is another team's");
    assert_eq!(Api { key: KEY.to_owned(), ..member.clone() }.get(&format!("/v1/tasks/{template}")).await.0, 200);
    for path in ["/v1/tasks?limit=20", "/v1/tasks?status=queued&limit=20", "/v1/tasks?q=area%20777", "/v1/me"] {
        for _ in 0..5 {
            let (status, answer) = member.text(path).await;
            assert_eq!(status, 200, "{path}: {answer}");
        }
    }
    for _ in 0..5 {
        assert_eq!(member.get(&format!("/v1/tasks/{task}")).await.1["status"], "succeeded");
        let (status, found) = member.post("/v1/memories/search", &json!({ "query": "checks of package" })).await;
        assert_eq!(status, 200, "{found}");
        assert!(!found["data"].as_array().unwrap().is_empty(), "{found}");
    }
    let store = Store::connect(&Settings::new(ground.database.clone()), false).await.unwrap();
    for _ in 0..5 {
        let (replica, host) = (ReplicaId(clock::new_id()), clock::new_id());
        let claimed = jobs::claim_tasks(&store, replica, host, LOG_VERSION, PATIENCE, 1).await.unwrap();
        assert_eq!(claimed.len(), 1);
    }
    store.close().await;
    // A connection that ends tells what it read.
    service.stop().await;

    let read: Vec<(String, i64, i64)> = sqlx::query_as(
        "SELECT relname::text, seq_tup_read, n_live_tup FROM pg_stat_user_tables
         WHERE schemaname = 'public' AND n_live_tup > 300 AND seq_tup_read >= n_live_tup",
    )
    .fetch_all(&mut database)
    .await
    .unwrap();
    assert!(read.is_empty(), "read from end to end (table, rows read, rows): {read:?}");
    let looked_at: i64 = sqlx::query_scalar("SELECT idx_scan FROM pg_stat_user_tables WHERE relname = 'tasks'")
        .fetch_one(&mut database)
        .await
        .unwrap();
    let searched: i64 =
        sqlx::query_scalar("SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'tasks_search'")
            .fetch_one(&mut database)
            .await
            .unwrap();
    assert_eq!(searched, 5, "words are looked up in their index, under row security too");
    assert!(looked_at > 20, "the database counted {looked_at} looks at tasks by an index");
}
