//! One private cluster for the whole test process, and a fresh database for each test that asks.
//!
//! The cluster is the service's own, under a temporary directory. A small watching process holds
//! the other end of a pipe: however the tests end, it stops the server and takes the directory away.

use journeyman::{
    postgres::{Cluster, ClusterSettings, DataDirLock},
    store::{Settings, Store},
};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};
use tokio::sync::OnceCell;

/// A fresh database with every migration applied; its URL. Nobody else uses it.
pub(crate) async fn database() -> String {
    static TEMPLATE: OnceCell<String> = OnceCell::const_new();
    let template = TEMPLATE.get_or_init(|| async {
        let (name, url) = create(None).await;
        Store::connect(&Settings::new(url), true).await.unwrap().close().await;
        name
    });
    create(Some(template.await)).await.1
}

/// A fresh database with nothing in it; its URL.
pub(crate) async fn empty_database() -> String {
    create(None).await.1
}

/// A store on a fresh, migrated database, with few connections.
pub(crate) async fn store() -> Store {
    let settings = Settings { connections: 4, ..Settings::new(database().await) };
    Store::connect(&settings, true).await.unwrap()
}

/// Settings of a server whose data nobody will miss.
pub(crate) fn careless() -> ClusterSettings {
    let options = [("fsync", "off"), ("full_page_writes", "off")];
    let options = options.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    ClusterSettings { max_connections: 400, options, search_path: search_path(), ..ClusterSettings::default() }
}

pub(crate) fn search_path() -> Vec<PathBuf> {
    std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default()
}

/// The URL of another database of the same cluster.
pub(crate) fn with_database(url: &str, name: &str) -> String {
    url.replace("/postgres?", &format!("/{name}?"))
}

async fn create(template: Option<&str>) -> (String, String) {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let mut connection = PgConnection::connect(cluster()).await.unwrap();
    let template = template.unwrap_or("template0");
    connection.execute(AssertSqlSafe(format!("CREATE DATABASE {name} TEMPLATE {template}"))).await.unwrap();
    connection.close().await.unwrap();
    (name.clone(), with_database(cluster(), &name))
}

/// The URL of this process' cluster, started at the first call.
fn cluster() -> &'static str {
    static CLUSTER: OnceLock<(String, Child)> = OnceLock::new();
    let (url, _watcher) = CLUSTER.get_or_init(|| {
        let dir = tempfile::Builder::new().prefix("journeyman-test-").tempdir().unwrap().keep();
        let watcher = watch(&dir);
        let (sender, receiver) = std::sync::mpsc::channel();
        // Tests come and go with runtimes of their own; the cluster's keeper needs one that stays.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let lock = DataDirLock::take(&dir).unwrap();
                let cluster = Cluster::start(&lock, &careless()).await.unwrap();
                sender.send(cluster.url().to_owned()).unwrap();
                std::future::pending::<()>().await;
            });
        });
        (receiver.recv().expect("the cluster starts"), watcher)
    });
    url
}

/// Waits in a process of its own for the end of this one, then clears the directory away.
pub(crate) fn watch(dir: &Path) -> Child {
    let script = "read -r line; pid=$(head -n 1 \"$0/postgres/data/postmaster.pid\" 2>/dev/null) && kill -QUIT \"$pid\"
        while kill -0 \"${pid:-0}\" 2>/dev/null && [ -n \"$pid\" ]; do sleep 0.05; done; rm -rf \"$0\"";
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(dir).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}
