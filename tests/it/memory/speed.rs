//! How long a recall takes with many memories in its scope; `make bench` has the figure of a release build.

use super::{
    many::{REPOSITORY, hashing, member, recalls, write},
    set::{embed_all, embeddings},
};
use crate::support::database;
use journeyman::{
    clock,
    domain::{TeamId, UserId},
    memory::{Embeddings, Recall},
    store::{Settings, Store, accounts},
};
use sqlx::Connection;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A tenth of what the release build is held to, in a build without optimisation.
const MEMORIES: i32 = 1_000;
/// Others' memories, whose number is to change nothing.
const OTHERS: i32 = 20_000;

#[tokio::test]
async fn a_recall_from_a_thousand_memories_takes_no_longer_for_those_of_others() {
    let url = database().await;
    let store = Store::connect(&Settings { connections: 4, ..Settings::new(&url) }, true).await.unwrap();
    let team = accounts::ensure_team(&store, clock::new_id(), "acme").await.unwrap();
    let user = member(&store, team, "ada").await;
    let other = member(&store, team, "ben").await;
    let mut owner = sqlx::PgConnection::connect(&url).await.unwrap();
    write(&mut owner, team, user, REPOSITORY, MEMORIES).await;
    let stop = CancellationToken::new();
    let embeddings: Embeddings = embeddings(&hashing(&stop).await, "hashing");
    embed_all(&store, &embeddings).await;
    let recall = Recall::new(1_500, Some(embeddings));
    let alone = fastest(&store, &recall, team, user).await;
    write(&mut owner, team, other, "https://git.example.org/acme/other.git", OTHERS).await;
    sqlx::query("ANALYZE memories").execute(&mut owner).await.unwrap();
    let among = fastest(&store, &recall, team, user).await;
    stop.cancel();
    // Without optimisation and beside other tests: a guard against what grows with the table, not a figure.
    assert!(among < alone * 3 + Duration::from_millis(20), "{alone:?}, {among:?}");
}

/// What else the machine does makes a recall slower, and none faster.
async fn fastest(store: &Store, recall: &Recall, team: TeamId, user: UserId) -> Duration {
    recalls(store, recall, team, user, 11).await.into_iter().min().unwrap()
}
