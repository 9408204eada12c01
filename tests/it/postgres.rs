//! Tests of postgres, with the machine's own binaries.

use crate::support::{
    self,
    database::{careless, search_path, watch},
};
use journeyman::postgres::{Cluster, ClusterSettings, DataDirLock, PostgresError, data_dir};
use sqlx::{Connection, Executor, PgConnection, Row};
use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::PathBuf,
    process::{Child, Command},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// A data directory that is cleared away, server included, however the test ends.
struct Home {
    dir: PathBuf,
    _watcher: Child,
    _parent: TempDir,
}

impl Home {
    fn new() -> Self {
        Self::below("jm")
    }

    fn below(name: &str) -> Self {
        let parent = tempfile::Builder::new().prefix("jm-pg-").tempdir().unwrap();
        fs::set_permissions(parent.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let dir = parent.path().join(name);
        fs::create_dir_all(&dir).unwrap();
        Self { _watcher: watch(&dir), dir, _parent: parent }
    }

    fn data(&self) -> PathBuf {
        self.dir.join("postgres/data")
    }

    async fn start(&self) -> Result<(Cluster, DataDirLock), PostgresError> {
        let lock = DataDirLock::take(&self.dir)?;
        Ok((Cluster::start(&lock, &careless()).await?, lock))
    }
}

async fn query(url: &str, sql: &'static str) -> String {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let text = connection.fetch_one(sql).await.unwrap().get::<String, _>(0);
    connection.close().await.unwrap();
    text
}

async fn execute(url: &str, sql: &'static str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    connection.execute(sql).await.unwrap();
    connection.close().await.unwrap();
}

fn kill(signal: &str, pid: u32) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}

fn alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !holds().await {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The service dies as `kill -9` lets it die: nothing of it runs on, its server does.
fn die(cluster: Cluster, lock: DataDirLock) {
    drop(cluster);
    drop(lock);
}

#[tokio::test]
async fn a_cluster_is_made_from_nothing_within_a_few_seconds_and_listens_on_a_socket_alone() {
    let home = Home::new();
    let start = Instant::now();
    let (cluster, _lock) = home.start().await.unwrap();
    let took = start.elapsed();
    assert!(took < Duration::from_secs(20), "cold start took {took:?}");
    assert!(!cluster.adopted());
    assert_eq!(query(cluster.url(), "SHOW listen_addresses").await, "");
    assert_eq!(query(cluster.url(), "SHOW server_encoding").await, "UTF8");
    assert_eq!(query(cluster.url(), "SELECT lower('ÄÉ')").await, "äé");
    let pid = cluster.pid();
    cluster.stop().await.unwrap();
    assert!(!alive(pid));
}

#[tokio::test]
async fn durable_settings_are_the_default() {
    let home = Home::new();
    let lock = DataDirLock::take(&home.dir).unwrap();
    let settings = ClusterSettings { search_path: search_path(), ..ClusterSettings::default() };
    let cluster = Cluster::start(&lock, &settings).await.unwrap();
    for (sql, expected) in [
        ("SHOW fsync", "on"),
        ("SHOW synchronous_commit", "on"),
        ("SHOW full_page_writes", "on"),
        ("SHOW timezone", "UTC"),
    ] {
        assert_eq!(query(cluster.url(), sql).await, expected, "{sql}");
    }
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn what_was_written_is_there_after_a_stop_and_a_start() {
    let home = Home::new();
    let (cluster, lock) = home.start().await.unwrap();
    execute(cluster.url(), "CREATE TABLE t AS SELECT 'kept' AS v").await;
    cluster.stop().await.unwrap();
    drop(lock);
    let (cluster, _lock) = home.start().await.unwrap();
    assert!(!cluster.adopted());
    assert_eq!(query(cluster.url(), "SELECT v FROM t").await, "kept");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_that_outlived_its_service_is_adopted_and_can_be_stopped() {
    let home = Home::new();
    let (cluster, lock) = home.start().await.unwrap();
    let pid = cluster.pid();
    execute(cluster.url(), "CREATE TABLE t AS SELECT 'kept' AS v").await;
    die(cluster, lock);
    let (cluster, _lock) = home.start().await.unwrap();
    assert!(cluster.adopted());
    assert_eq!(cluster.pid(), pid);
    assert_eq!(query(cluster.url(), "SELECT v FROM t").await, "kept");
    cluster.stop().await.unwrap();
    until("the adopted server ends", async || !alive(pid)).await;
}

#[tokio::test]
async fn an_unclean_end_of_service_and_server_is_survived() {
    let home = Home::new();
    let (cluster, lock) = home.start().await.unwrap();
    let pid = cluster.pid();
    execute(cluster.url(), "CREATE TABLE t AS SELECT 'kept' AS v").await;
    die(cluster, lock);
    kill("-KILL", pid);
    assert!(home.data().join("postmaster.pid").exists());
    let (cluster, _lock) = home.start().await.unwrap();
    assert_ne!(cluster.pid(), pid);
    assert_eq!(query(cluster.url(), "SELECT v FROM t").await, "kept");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_killed_while_the_service_runs_is_started_again_on_the_same_socket() {
    let home = Home::new();
    let (cluster, _lock) = home.start().await.unwrap();
    let pid = cluster.pid();
    kill("-KILL", pid);
    until("the server runs again", async || cluster.pid() != pid).await;
    assert_eq!(query(cluster.url(), "SELECT 'there'").await, "there");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_stale_pid_file_is_survived_whoever_has_the_pid_now() {
    let home = Home::new();
    let (cluster, lock) = home.start().await.unwrap();
    cluster.stop().await.unwrap();
    drop(lock);
    let stranger = Command::new("sleep").arg("60").spawn().unwrap();
    let mut dead = Command::new("true").spawn().unwrap();
    dead.wait().unwrap();
    for pid in [stranger.id(), dead.id(), std::process::id(), 1] {
        let text =
            format!("{pid}\n{}\n1700000000\n5432\n/nowhere\n\n  5432001  32769\nready   \n", home.data().display());
        fs::write(home.data().join("postmaster.pid"), text).unwrap();
        let (cluster, lock) = home.start().await.unwrap();
        assert_eq!(query(cluster.url(), "SELECT 'there'").await, "there");
        cluster.stop().await.unwrap();
        drop(lock);
    }
    let mut stranger = stranger;
    assert!(stranger.try_wait().unwrap().is_none(), "the stranger was left alone");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[tokio::test]
async fn a_running_server_whose_socket_is_gone_is_replaced() {
    let home = Home::new();
    let (cluster, lock) = home.start().await.unwrap();
    let pid = cluster.pid();
    fs::remove_file(home.dir.join("postgres/run/.s.PGSQL.5432")).unwrap();
    die(cluster, lock);
    let (cluster, _lock) = home.start().await.unwrap();
    assert_ne!(cluster.pid(), pid);
    assert_eq!(query(cluster.url(), "SELECT 'there'").await, "there");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_cluster_of_another_major_version_is_refused_with_both_versions_and_left_alone() {
    let home = Home::new();
    let (cluster, lock) = home.start().await.unwrap();
    cluster.stop().await.unwrap();
    drop(lock);
    fs::write(home.data().join("PG_VERSION"), "14\n").unwrap();
    let error = home.start().await.unwrap_err();
    assert!(matches!(&error, PostgresError::OtherVersion { made_by, .. } if made_by == "14"));
    let text = error.to_string();
    for part in ["was made by PostgreSQL 14", "are PostgreSQL 1", "postgresql-14", "pg_upgrade"] {
        assert!(text.contains(part), "{text}");
    }
    assert!(home.data().join("global/pg_control").exists());
}

#[tokio::test]
async fn an_initdb_that_was_cut_off_is_done_again() {
    let home = Home::new();
    fs::create_dir_all(home.dir.join("postgres/data.new/base")).unwrap();
    fs::write(home.dir.join("postgres/data.new/PG_VERSION"), "15\n").unwrap();
    let (cluster, _lock) = home.start().await.unwrap();
    assert_eq!(query(cluster.url(), "SELECT 'there'").await, "there");
    assert!(!home.dir.join("postgres/data.new").exists());
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn what_is_no_cluster_is_set_aside_and_kept() {
    let home = Home::new();
    fs::create_dir_all(home.data()).unwrap();
    fs::write(home.data().join("PG_VERSION"), "15\n").unwrap();
    fs::write(home.data().join("precious"), "x").unwrap();
    let (cluster, _lock) = home.start().await.unwrap();
    let mut aside = fs::read_dir(home.dir.join("postgres")).unwrap().map(|entry| entry.unwrap().path());
    let aside = aside.find(|path| path.file_name().unwrap().to_str().unwrap().starts_with("data.broken-")).unwrap();
    assert_eq!(fs::read_to_string(aside.join("precious")).unwrap(), "x");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_long_data_directory_gets_a_short_private_socket_directory() {
    let home = Home::below(&format!("{}/{}", "d".repeat(60), "e".repeat(60)));
    let (cluster, lock) = home.start().await.unwrap();
    let memory = home.dir.join("postgres/socket_dir");
    let socket_dir = PathBuf::from(fs::read_to_string(&memory).unwrap().trim());
    assert!(socket_dir.as_os_str().len() < 60);
    assert_eq!(fs::metadata(&socket_dir).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(query(cluster.url(), "SELECT 'there'").await, "there");
    let url = cluster.url().to_owned();
    die(cluster, lock);
    let (cluster, _lock) = home.start().await.unwrap();
    assert_eq!(cluster.url(), url);
    cluster.stop().await.unwrap();
    assert!(!socket_dir.exists() && !memory.exists());
}

#[tokio::test]
async fn a_remembered_socket_directory_that_others_could_enter_is_not_used() {
    let home = Home::below(&"d".repeat(120));
    let open = tempfile::tempdir().unwrap();
    fs::set_permissions(open.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir_all(home.dir.join("postgres")).unwrap();
    fs::write(home.dir.join("postgres/socket_dir"), open.path().to_str().unwrap()).unwrap();
    let (cluster, _lock) = home.start().await.unwrap();
    assert_eq!(fs::read_dir(open.path()).unwrap().count(), 0);
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn started_as_root_the_server_runs_unprivileged() {
    let root = rustix::process::geteuid().is_root();
    let home = Home::new();
    // As root made it, and private to root.
    fs::set_permissions(&home.dir, fs::Permissions::from_mode(0o700)).unwrap();
    let (cluster, lock) = home.start().await.unwrap();
    let uid = fs::metadata(format!("/proc/{}", cluster.pid())).unwrap().uid();
    let own = rustix::process::geteuid().as_raw();
    assert_eq!(uid == own, !root, "root: {root}, the server's uid: {uid}");
    assert_eq!(fs::metadata(home.data()).unwrap().uid(), uid);
    assert_eq!(fs::metadata(home.data()).unwrap().permissions().mode() & 0o077, 0);
    assert_eq!(fs::metadata(&home.dir).unwrap().permissions().mode() & 0o067, 0, "others may pass or list");
    cluster.stop().await.unwrap();
    drop(lock);
    if root {
        // A backup that root has put back.
        assert!(
            Command::new("chown").args(["-R", "root:root"]).arg(home.dir.join("postgres")).status().unwrap().success()
        );
        let (cluster, _lock) = home.start().await.unwrap();
        assert_eq!(query(cluster.url(), "SELECT 'there'").await, "there");
        cluster.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_data_directory_below_one_that_only_its_owner_may_enter_works_too() {
    let home = Home::below("closed/data");
    fs::set_permissions(home.dir.parent().unwrap(), fs::Permissions::from_mode(0o700)).unwrap();
    let (cluster, lock) = home.start().await.unwrap();
    execute(cluster.url(), "CREATE TABLE t AS SELECT 'kept' AS v").await;
    die(cluster, lock);
    let (cluster, lock) = home.start().await.unwrap();
    assert!(cluster.adopted());
    cluster.stop().await.unwrap();
    drop(lock);
    let (cluster, _lock) = home.start().await.unwrap();
    assert_eq!(query(cluster.url(), "SELECT v FROM t").await, "kept");
    let pid = cluster.pid();
    kill("-KILL", pid);
    until("the server runs again", async || cluster.pid() != pid).await;
    assert_eq!(query(cluster.url(), "SELECT v FROM t").await, "kept");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_full_disk_is_called_by_its_name() {
    // A small file system can be had as root alone; elsewhere the other tests of this file remain.
    let parent = tempfile::tempdir().unwrap();
    let mount = |size: &str| {
        let options = format!("size={size},mode=755");
        let status =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "journeyman-test"]).arg(parent.path()).status();
        status.is_ok_and(|status| status.success())
    };
    let unmount = || Command::new("umount").arg(parent.path()).status().unwrap();
    fs::set_permissions(parent.path(), fs::Permissions::from_mode(0o755)).unwrap();
    if !mount("8m") {
        return;
    }
    let lock = DataDirLock::take(parent.path()).unwrap();
    let error = Cluster::start(&lock, &careless()).await.unwrap_err();
    let left = fs::read_dir(parent.path().join("postgres")).unwrap().count();
    drop(lock);
    unmount();
    assert!(matches!(error, PostgresError::DiskFull { .. }), "{error}");
    assert!(error.to_string().contains("is full: free some space"), "{error}");
    assert_eq!(left, 0, "half a cluster is taken away");
}

#[tokio::test]
async fn no_binaries_and_wrong_binaries_are_told_with_the_mend() {
    let home = Home::new();
    let lock = DataDirLock::take(&home.dir).unwrap();
    let empty = tempfile::tempdir().unwrap();
    let settings = ClusterSettings { bin_dir: Some(empty.path().to_owned()), ..ClusterSettings::default() };
    let error = Cluster::start(&lock, &settings).await.unwrap_err().to_string();
    assert!(error.contains("JOURNEYMAN_POSTGRES_BIN") && error.contains("has no working"), "{error}");
}

#[tokio::test]
async fn a_data_directory_belongs_to_one_process_which_is_named() {
    let home = Home::new();
    let lock = DataDirLock::take(&home.dir).unwrap();
    let error = DataDirLock::take(&home.dir).unwrap_err();
    let holder = std::process::id().to_string();
    assert!(matches!(&error, PostgresError::InUse { holder: named, .. } if *named == holder), "{error}");
    assert!(error.to_string().contains(&format!("is in use by process {holder}")), "{error}");
    drop(lock);
    DataDirLock::take(&home.dir).unwrap();
}

#[tokio::test]
async fn the_lock_does_not_pass_to_the_server() {
    let home = Home::new();
    let (cluster, lock) = home.start().await.unwrap();
    die(cluster, lock);
    DataDirLock::take(&home.dir).unwrap();
}

#[tokio::test]
async fn where_the_service_listens_is_known_only_while_it_runs() {
    let home = Home::new();
    assert_eq!(data_dir::read_listen(&home.dir), None);
    let lock = DataDirLock::take(&home.dir).unwrap();
    let address = "127.0.0.1:4711".parse().unwrap();
    lock.write_listen(address).unwrap();
    assert_eq!(data_dir::read_listen(&home.dir), Some(address));
    // A service that was killed leaves the file behind, but not the lock.
    fs::copy(home.dir.join("listen"), home.dir.join("kept")).unwrap();
    drop(lock);
    assert!(!home.dir.join("listen").exists());
    fs::rename(home.dir.join("kept"), home.dir.join("listen")).unwrap();
    assert_eq!(data_dir::read_listen(&home.dir), None);
    let _lock = DataDirLock::take(&home.dir).unwrap();
    assert_eq!(data_dir::read_listen(&home.dir), None);
}

#[tokio::test]
async fn each_test_gets_a_database_of_its_own() {
    let (one, two) = (support::database().await, support::database().await);
    assert_ne!(one, two);
    execute(&one, "CREATE TABLE only_here ()").await;
    let count = "SELECT count(*)::text FROM pg_tables WHERE tablename = 'only_here'";
    assert_eq!((query(&one, count).await, query(&two, count).await), ("1".to_owned(), "0".to_owned()));
    let empty = support::empty_database().await;
    assert_eq!(query(&empty, "SELECT count(*)::text FROM pg_tables WHERE schemaname = 'public'").await, "0");
    support::store().await.ready().await.unwrap();
}
