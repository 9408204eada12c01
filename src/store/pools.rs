//! The pools, one for each database role, and the transaction of a team.

use super::{StoreError, roles};
use crate::domain::TeamId;
use sqlx::{
    AssertSqlSafe, Connection, Executor, PgConnection, PgPool, Postgres, Transaction,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use std::{str::FromStr, time::Duration};

/// How long a connection may rest before it is tried when it is next used.
const RESTED: Duration = Duration::from_secs(1);

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!();

#[derive(Clone, Debug)]
pub struct Settings {
    pub url: String,
    /// Connections of each of the two pools.
    pub connections: u32,
    /// How long a caller waits for a connection.
    pub acquire_timeout: Duration,
}

impl Settings {
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), connections: 16, acquire_timeout: Duration::from_secs(5) }
    }
}

/// The database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    app: PgPool,
    worker: PgPool,
}

impl Store {
    /// Connects, making the roles if they are missing, and migrates if told to.
    ///
    /// # Errors
    /// [`StoreError::Schema`] where migrations are due and `migrate` is false, or where the
    /// database is newer than this build.
    pub async fn connect(settings: &Settings, migrate: bool) -> Result<Self, StoreError> {
        let options = PgConnectOptions::from_str(&settings.url)
            .map_err(|e| StoreError::Schema(format!("DATABASE_URL cannot be read: {e}")))?
            .application_name("journeyman");
        let owner = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(settings.acquire_timeout)
            .connect_with(options.clone());
        let owner = owner.await?;
        if migrate {
            roles::ensure(&owner).await?;
            MIGRATIONS.run(&owner).await.map_err(|e| StoreError::Schema(format!("migrations: {e}")))?;
        } else {
            check_schema(&owner).await?;
        }
        owner.close().await;
        let store = Self {
            app: pool(settings, options.clone(), "SET ROLE journeyman_app").await?,
            worker: pool(settings, options, "SET ROLE journeyman_worker").await?,
        };
        reset_future_xids(&store.worker).await?;
        Ok(store)
    }

    /// A transaction that sees the rows of `team` alone.
    pub async fn team(&self, team: TeamId) -> Result<TeamTx, StoreError> {
        // A UUID's text has no quote in it.
        let begin = format!("BEGIN; SET LOCAL app.team = '{team}'");
        Ok(TeamTx(self.app.begin_with(AssertSqlSafe(begin)).await?))
    }

    /// Answers whether the database can be reached and is migrated.
    pub async fn ready(&self) -> Result<(), StoreError> {
        check_schema(&self.worker).await
    }

    /// Gives the connections back. What still runs on them ends first.
    pub async fn close(&self) {
        self.app.close().await;
        self.worker.close().await;
    }

    /// The pool of the role that sees all teams: for the log, the queue and looking up credentials.
    pub(super) fn across(&self) -> &PgPool {
        &self.worker
    }
}

/// A transaction of one team; dropped without [`TeamTx::commit`], it is rolled back.
#[derive(Debug)]
pub struct TeamTx(Transaction<'static, Postgres>);

impl TeamTx {
    pub async fn commit(self) -> Result<(), StoreError> {
        Ok(self.0.commit().await?)
    }

    pub(super) fn connection(&mut self) -> &mut PgConnection {
        &mut self.0
    }
}

async fn pool(settings: &Settings, options: PgConnectOptions, role: &'static str) -> Result<PgPool, StoreError> {
    let pool = PgPoolOptions::new()
        .max_connections(settings.connections)
        .min_connections(1)
        .acquire_timeout(settings.acquire_timeout)
        .idle_timeout(Duration::from_secs(300))
        .test_before_acquire(false)
        // A connection that has rested may be dead by now; one in steady use is not asked each time.
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                if meta.idle_for > RESTED {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .after_connect(move |connection, _| {
            Box::pin(async move {
                connection.execute(role).await?;
                Ok(())
            })
        });
    Ok(pool.connect_with(options).await?)
}

async fn check_schema(pool: &PgPool) -> Result<(), StoreError> {
    let applied: Vec<i64> = sqlx::query_scalar("SELECT version FROM _sqlx_migrations WHERE success")
        .fetch_all(pool)
        .await
        .map_err(|e| match StoreError::from(e) {
            StoreError::Database(_) => StoreError::Schema("the database has not been migrated".into()),
            other => other,
        })?;
    let due = MIGRATIONS.iter().filter(|m| !applied.contains(&m.version)).count();
    if let Some(newer) = applied.iter().find(|version| MIGRATIONS.iter().all(|m| m.version != **version)) {
        return Err(StoreError::Schema(format!("the database is newer than this build: it has migration {newer}")));
    }
    if due > 0 {
        return Err(StoreError::Schema(format!("{due} migrations are due: start once without --no-migrate")));
    }
    Ok(())
}

/// After a restore into a new cluster the stored transaction ids may lie ahead of its counter, and
/// the tail would not see new rows for long: such rows are set back.
async fn reset_future_xids(pool: &PgPool) -> Result<(), StoreError> {
    sqlx::query("UPDATE task_events SET xid = '3' WHERE xid >= pg_snapshot_xmax(pg_current_snapshot())")
        .execute(pool)
        .await?;
    Ok(())
}
