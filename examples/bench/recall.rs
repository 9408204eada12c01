//! Recall of memories: how well it finds what fits (the sets of tests/fixtures/memory), and how long it takes.

use super::{
    floor::Floor,
    many::{self, REPOSITORY},
    report::{Report, median},
    set::{self, Set},
};
use journeyman::{
    clock,
    memory::Recall,
    store::{Settings, Store, accounts},
};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::time::Instant;
use tokio_util::sync::CancellationToken;

const MEMORIES: i32 = 10_000;
const ROUNDS: usize = 100;

pub(crate) async fn recall(floor: &Floor, missed: bool, report: &mut Report) {
    for (name, of) in [("set", "the set by which the weights were chosen"), ("held_out", "the held-out set")] {
        quality(floor, (name, of), missed, report).await;
    }
    speed(floor, report).await;
}

/// A database of its own beside the service's.
async fn database(floor: &Floor, name: &str) -> (Store, String) {
    let mut owner = PgConnection::connect(&floor.database_url).await.unwrap();
    sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name} TEMPLATE template0"))).execute(&mut owner).await.unwrap();
    owner.close().await.unwrap();
    let url = floor.database_url.replace("/postgres?", &format!("/{name}?"));
    let store = Store::connect(&Settings { connections: 4, ..Settings::new(&url) }, true).await.unwrap();
    (store, url)
}

async fn quality(floor: &Floor, (name, of): (&str, &str), missed: bool, report: &mut Report) {
    let (set, stop) = (Set::read(name), CancellationToken::new());
    let (store, url) = database(floor, &format!("recall_{name}")).await;
    let filled = set::fill(store, &url, &set).await;
    let by_words = set::evaluate(&filled, &Recall::new(1_500, None), &set).await;
    let embeddings = set::embeddings(&set::vectors(name, &stop).await, "all-MiniLM-L6-v2");
    set::embed_all(&filled.store, &embeddings).await;
    let by_both = set::evaluate(&filled, &Recall::new(1_500, Some(embeddings)), &set).await;
    stop.cancel();
    for (how, scores, goal) in [("by words", by_words, 0.75), ("with vectors", by_both, 0.9)] {
        report.at_least(format!("recall at 5 {how}, {of}"), scores.all, "", goal);
        let paraphrases = scores.by_wording["paraphrase"];
        report.add(format!("recall at 5 {how}, {of}: paraphrases alone"), paraphrases, "");
        if missed {
            scores.missed.iter().for_each(|missed| println!("{missed}"));
        }
    }
    filled.store.close().await;
}

async fn speed(floor: &Floor, report: &mut Report) {
    let (store, url) = database(floor, "recall_speed").await;
    let team = accounts::ensure_team(&store, clock::new_id(), "acme").await.unwrap();
    let user = many::member(&store, team, "ada").await;
    let mut owner = PgConnection::connect(&url).await.unwrap();
    many::write(&mut owner, team, user, REPOSITORY, MEMORIES).await;
    let stop = CancellationToken::new();
    let embeddings = set::embeddings(&many::hashing(&stop).await, "hashing");
    set::embed_all(&store, &embeddings).await;
    sqlx::query("ANALYZE").execute(&mut owner).await.unwrap();
    let mut ranked = Vec::new();
    for round in 0..ROUNDS {
        let since = Instant::now();
        let found: Vec<(uuid::Uuid,)> = sqlx::query_as(
            "SELECT id FROM memories, to_tsquery('english', $1) AS q WHERE words @@ q ORDER BY ts_rank(words, q) DESC LIMIT 20",
        )
        .bind(format!("repair | word{round} | word7 | word40 | meet | number{round} | word900 | late"))
        .fetch_all(&mut owner)
        .await
        .unwrap();
        assert_eq!(found.len(), 20);
        ranked.push(since.elapsed().as_secs_f64() * 1e3);
    }
    report.add("floor: PostgreSQL's own ts_rank over 10,000 memories, the first 20", median(&mut ranked), "ms");
    let ms = |times: Vec<std::time::Duration>| times.iter().map(|time| time.as_secs_f64() * 1e3).collect::<Vec<_>>();
    let words = Recall::new(1_500, None);
    let mut times = ms(many::recalls(&store, &words, team, user, ROUNDS).await);
    report.at_most("recall with 10,000 memories in scope, by words", median(&mut times), "ms", 20.0);
    let both = Recall::new(1_500, Some(embeddings));
    let mut times = ms(many::recalls(&store, &both, team, user, ROUNDS).await);
    report.at_most("recall with 10,000 memories in scope, with vectors over HTTP", median(&mut times), "ms", 20.0);
    let mut changed = Vec::new();
    for _ in 0..15 {
        many::write(&mut owner, team, user, REPOSITORY, 1).await;
        changed.push(many::recall_once(&store, &words, team, user, 0).await.as_secs_f64() * 1e3);
    }
    report.add("the same by words, the first after a memory was added", median(&mut changed), "ms");
    many::write(&mut owner, team, user, "https://git.example.org/acme/other.git", 200_000).await;
    sqlx::query("ANALYZE").execute(&mut owner).await.unwrap();
    let mut times = ms(many::recalls(&store, &words, team, user, ROUNDS).await);
    report.at_most("the same by words, beside 200,000 memories elsewhere", median(&mut times), "ms", 20.0);
    stop.cancel();
    owner.close().await.unwrap();
    store.close().await;
}
