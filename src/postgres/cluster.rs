//! The cluster of one data directory, kept running until it is stopped.

use super::{
    DataDirLock, PostgresError,
    account::{self, Account},
    binaries::{self, Binaries},
    initialise::{self, SUPERUSER},
    process::{self, Status},
    server::{Plan, Server},
    sockets,
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::{
    fs::{self, DirBuilder},
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

#[derive(Clone, Debug)]
pub struct ClusterSettings {
    /// The directory of `initdb` and `postgres`; absent: they are found.
    pub bin_dir: Option<PathBuf>,
    /// Where programs are looked for first (`PATH`).
    pub search_path: Vec<PathBuf>,
    pub max_connections: u32,
    /// Further server settings, which override ours.
    pub options: Vec<(String, String)>,
}

impl Default for ClusterSettings {
    fn default() -> Self {
        Self { bin_dir: None, search_path: Vec::new(), max_connections: 100, options: Vec::new() }
    }
}

/// A running private cluster. A server that ends by itself is started again, on the same socket.
/// Dropping this leaves the server running, to be adopted; [`Cluster::stop`] ends it.
#[derive(Debug)]
pub struct Cluster {
    url: String,
    adopted: bool,
    pid: watch::Receiver<u32>,
    stop: CancellationToken,
    keeper: JoinHandle<Result<(), PostgresError>>,
}

/// The places below the data directory.
#[derive(Clone, Debug)]
struct Places {
    home: PathBuf,
    data: PathBuf,
    log: PathBuf,
    sockets: PathBuf,
    socket_memory: PathBuf,
}

impl Places {
    fn below(data_dir: &Path) -> Self {
        let home = data_dir.join("postgres");
        Self {
            data: home.join("data"),
            log: home.join("log"),
            sockets: home.join("run"),
            socket_memory: home.join("socket_dir"),
            home,
        }
    }
}

impl Cluster {
    /// The cluster under `<data dir>/postgres`, ready for connections: made if there is none,
    /// adopted if its server still runs, else started. About 1 s from nothing, 0.2 s from rest.
    ///
    /// The lock is proof that no other service uses the directory; it must be held until after
    /// [`Cluster::stop`].
    pub async fn start(lock: &DataDirLock, settings: &ClusterSettings) -> Result<Self, PostgresError> {
        let places = Places::below(lock.dir());
        let account = prepare(lock.dir(), &places)?;
        let made_by = initialise::made_by(&places.data);
        let wanted = made_by.as_deref().and_then(|version| version.parse().ok());
        let binaries = binaries::find(settings.bin_dir.as_deref(), &settings.search_path, wanted).await?;
        match made_by {
            Some(made_by) if made_by != binaries.major.to_string() => {
                let (dir, bin_dir) = (places.data, binaries.dir);
                return Err(PostgresError::OtherVersion { dir, made_by, bin_dir, found: binaries.major });
            }
            Some(_) => {}
            None => initialise::initialise(&binaries, &places.data, account).await?,
        }
        let adopted = Server::adopt(&places.data).await?;
        let plan = plan(&places, binaries, account, settings)?;
        let (server, adopted) = match adopted {
            Some(server) => {
                tracing::info!(pid = server.pid, "adopted the private PostgreSQL that was left running");
                (server, true)
            }
            None => (Server::start(&plan).await?, false),
        };
        let plan = Plan { socket_dir: server.socket_dir.clone(), ..plan };
        let url = url(&server.socket_dir);
        let (pid_sender, pid) = watch::channel(server.pid);
        let stop = CancellationToken::new();
        let keeper = tokio::spawn(keep(server, plan, places.socket_memory, stop.clone(), pid_sender));
        Ok(Self { url, adopted, pid, stop, keeper })
    }

    /// Where the cluster below a data directory that another process holds can be reached; none where it
    /// does not run.
    pub fn url_of_running(data_dir: &Path) -> Option<String> {
        let data = Places::below(data_dir).data;
        let file = process::read_pid_file(&data)?;
        let runs = file.status == Status::Ready && process::serves(file.pid, &data);
        runs.then(|| url(&file.socket_dir))
    }

    /// Where to connect, as the cluster's owner.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether the server had been left running by a service before this one.
    pub fn adopted(&self) -> bool {
        self.adopted
    }

    /// The server's process now; another one after it has been restarted.
    pub fn pid(&self) -> u32 {
        *self.pid.borrow()
    }

    /// Ends the server in order: everything committed is on disk. At most 4 s.
    pub async fn stop(mut self) -> Result<(), PostgresError> {
        self.stop.cancel();
        match (&mut self.keeper).await {
            Ok(result) => result,
            // It panicked or its runtime is gone; the server, if it runs, is adopted next time.
            Err(_) => Err(PostgresError::Stop { pid: *self.pid.borrow() }),
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Whoever takes the lock next keeps the server; two would fight over it.
        self.keeper.abort();
    }
}

/// Makes the directories, each with its owner, and says as whom the server runs.
fn prepare(data_dir: &Path, places: &Places) -> Result<Option<Account>, PostgresError> {
    let account = account::choose(&places.data)?;
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&places.home)
        .map_err(PostgresError::io("cannot make", &places.home))?;
    if let Some(account) = account {
        let_pass(data_dir, account).map_err(PostgresError::io("cannot open up", data_dir))?;
        let owner = fs::metadata(&places.data).map(|metadata| metadata.uid());
        if owner.is_ok_and(|owner| owner == account.uid) {
            chown(&places.home, Some(account.uid), Some(account.gid))
                .map_err(PostgresError::io("cannot change the owner of", &places.home))?;
        } else {
            // New, or a copy that root made.
            account::give(&places.home, account)?;
        }
    }
    Ok(account)
}

/// Lets the account's group pass through a directory of ours, and list nothing there. Others stay
/// out: beside the cluster lie repositories and keys.
fn let_pass(dir: &Path, account: Account) -> std::io::Result<()> {
    let metadata = fs::metadata(dir)?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o001 != 0 || (metadata.gid() == account.gid && mode & 0o010 != 0) {
        return Ok(());
    }
    chown(dir, None, Some(account.gid))?;
    fs::set_permissions(dir, fs::Permissions::from_mode((mode & !0o070) | 0o010))
}

fn plan(
    places: &Places,
    binaries: Binaries,
    account: Option<Account>,
    settings: &ClusterSettings,
) -> Result<Plan, PostgresError> {
    let reached = account.is_none_or(|account| account::can_pass(&places.data, account));
    let socket_dir = sockets::directory(&places.sockets, reached, &places.socket_memory, account)?;
    let own = [
        ("listen_addresses", String::new()),
        ("port", "5432".to_owned()),
        ("unix_socket_permissions", "0700".to_owned()),
        ("max_connections", settings.max_connections.to_string()),
        ("shared_buffers", "64MB".to_owned()),
        ("max_wal_size", "512MB".to_owned()),
        // Nothing replicates from here.
        ("wal_level", "minimal".to_owned()),
        ("max_wal_senders", "0".to_owned()),
        ("fsync", "on".to_owned()),
        ("jit", "off".to_owned()),
        ("huge_pages", "off".to_owned()),
        ("timezone", "UTC".to_owned()),
        ("log_timezone", "UTC".to_owned()),
        ("log_line_prefix", "%m [%p] ".to_owned()),
        ("log_checkpoints", "off".to_owned()),
    ];
    let own = own.into_iter().map(|(name, value)| (name.to_owned(), value));
    let options = own.chain(settings.options.iter().cloned()).collect();
    Ok(Plan { binaries, data: places.data.clone(), log: places.log.clone(), socket_dir, account, options })
}

fn url(socket_dir: &Path) -> String {
    let host = utf8_percent_encode(&socket_dir.to_string_lossy(), NON_ALPHANUMERIC).to_string();
    format!("postgres://{SUPERUSER}@localhost/postgres?host={host}")
}

/// Starts the server again whenever it ends, until told to stop.
async fn keep(
    mut server: Server,
    plan: Plan,
    socket_memory: PathBuf,
    stop: CancellationToken,
    pid: watch::Sender<u32>,
) -> Result<(), PostgresError> {
    loop {
        tokio::select! {
            () = stop.cancelled() => {
                server.stop().await?;
                sockets::forget(&plan.socket_dir, &socket_memory);
                return Ok(());
            }
            () = server.ended() => tracing::error!(pid = server.pid, "the private PostgreSQL has ended: starting it again"),
        }
        let mut pause = Duration::from_millis(100);
        server = loop {
            match restart(&plan).await {
                Ok(server) => break server,
                Err(error) => tracing::error!(%error, "the private PostgreSQL does not start: trying again"),
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(Duration::from_secs(5)),
            }
        };
        pid.send_replace(server.pid);
        tracing::info!(pid = server.pid, "the private PostgreSQL runs again");
    }
}

async fn restart(plan: &Plan) -> Result<Server, PostgresError> {
    match Server::adopt(&plan.data).await? {
        // Somebody else's doing, on another socket: ours must be where the pools look.
        Some(other) if other.socket_dir != plan.socket_dir => other.stop().await?,
        Some(server) => return Ok(server),
        None => {}
    }
    Server::start(plan).await
}
