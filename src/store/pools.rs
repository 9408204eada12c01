//! The pools, one for each database role, and the transaction of a team.

use super::{StoreError, roles};
use crate::domain::{Principal, TeamId, UserId};
use sqlx::{
    AssertSqlSafe, Connection, Executor, PgConnection, PgPool, Postgres, SqlSafeStr, Transaction,
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
    pgvector: bool,
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
            make_pgvector(&owner).await;
        } else {
            check_schema(&owner).await?;
        }
        let pgvector = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM pg_extension WHERE extname = 'vector')");
        let pgvector = pgvector.fetch_one(&owner).await?;
        owner.close().await;
        let store = Self {
            pgvector,
            app: pool(settings, options.clone(), "SET ROLE journeyman_app").await?,
            worker: pool(settings, options, "SET ROLE journeyman_worker").await?,
        };
        reset_future_xids(&store.worker).await?;
        Ok(store)
    }

    /// Whether the database compares vectors itself.
    pub fn has_pgvector(&self) -> bool {
        self.pgvector
    }

    /// A transaction that sees the rows of `team` alone.
    pub async fn team(&self, team: TeamId) -> Result<TeamTx, StoreError> {
        // A UUID's text has no quote in it.
        let begin_statement = format!("BEGIN; SET LOCAL app.team = '{team}'");
        Ok(TeamTx(begin(&self.app, AssertSqlSafe(begin_statement)).await?))
    }

    /// The same for a person: what he writes into logs is known to be his.
    pub async fn person(&self, principal: &Principal) -> Result<TeamTx, StoreError> {
        let (team, user) = (principal.team, principal.user);
        let begin_statement = format!("BEGIN; SET LOCAL app.team = '{team}'; SET LOCAL app.person = '{user}'");
        Ok(TeamTx(begin(&self.app, AssertSqlSafe(begin_statement)).await?))
    }

    /// A transaction that sees the rows of all teams: for operators and for what the service does by itself, never
    /// for a principal.
    pub async fn across_teams(&self) -> Result<AcrossTx, StoreError> {
        Ok(AcrossTx(self.begin().await?))
    }

    /// A transaction of `team` that also reaches what is no team's: users, sessions, other teams. For operators of the
    /// instance, and never for a principal otherwise.
    pub async fn operator(&self, team: TeamId) -> Result<TeamTx, StoreError> {
        let begin_statement = format!("BEGIN; SET LOCAL app.team = '{team}'");
        Ok(TeamTx(begin(&self.worker, AssertSqlSafe(begin_statement)).await?))
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

    /// A transaction of the role that sees all teams.
    pub(super) async fn begin(&self) -> Result<Transaction<'static, Postgres>, StoreError> {
        begin(&self.worker, "BEGIN").await
    }

    /// The same, with settings that hold in it. `statement` has to succeed: what may fail comes after.
    pub(super) async fn begin_with(
        &self,
        statement: impl SqlSafeStr,
    ) -> Result<Transaction<'static, Postgres>, StoreError> {
        begin(&self.worker, statement).await
    }

    /// The pool of the role that sees all teams: for the log, the queue and looking up credentials.
    pub(super) fn across(&self) -> &PgPool {
        &self.worker
    }
}

/// Begins a transaction to the end, whoever waits for it no longer. `sqlx` counts a transaction once its BEGIN was answered: one
/// that is given up before would go back to its pool begun and uncounted, and what the next ones write there would never be
/// committed.
async fn begin(pool: &PgPool, statement: impl SqlSafeStr) -> Result<Transaction<'static, Postgres>, StoreError> {
    let (pool, statement) = (pool.clone(), statement.into_sql_str());
    let begun = tokio::spawn(async move { pool.begin_with(statement).await }).await;
    Ok(begun.map_err(|error| sqlx::Error::Io(std::io::Error::other(error)))??)
}

/// A transaction of one team; dropped without [`TeamTx::commit`], it is rolled back.
#[derive(Debug)]
pub struct TeamTx(Transaction<'static, Postgres>);

impl TeamTx {
    pub async fn commit(self) -> Result<(), StoreError> {
        Ok(self.0.commit().await?)
    }

    /// What is written into logs from here on is this user's: who asks for it does so in his stead.
    pub async fn in_the_name_of(&mut self, user: UserId) -> Result<(), StoreError> {
        // A UUID's text has no quote in it.
        sqlx::query(AssertSqlSafe(format!("SET LOCAL app.person = '{user}'"))).execute(&mut *self.0).await?;
        Ok(())
    }

    pub(super) fn connection(&mut self) -> &mut PgConnection {
        &mut self.0
    }
}

/// A transaction across teams; dropped without [`AcrossTx::commit`], it is rolled back.
#[derive(Debug)]
pub struct AcrossTx(Transaction<'static, Postgres>);

impl AcrossTx {
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

/// Has the database compare vectors where pgvector is installed and the owner may; without it the service does.
async fn make_pgvector(owner: &PgPool) {
    let made = sqlx::query(
        "DO $$ BEGIN
            IF EXISTS (SELECT 1 FROM pg_available_extensions WHERE name = 'vector') THEN
                CREATE EXTENSION IF NOT EXISTS vector;
            END IF;
         END $$",
    )
    .execute(owner)
    .await;
    if let Err(error) = made {
        tracing::info!(%error, "pgvector is there, but cannot be used: vectors are compared in the service");
    }
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

/// Makes the schema as it is after these migrations, where none or some of them have been run.
pub(super) async fn schema_as_of(pool: &PgPool, wanted: &[i64]) -> Result<(), StoreError> {
    if let Some(newer) = wanted.iter().find(|version| MIGRATIONS.iter().all(|m| m.version != **version)) {
        return Err(StoreError::Schema(format!("the backup is of a later release: it has migration {newer}")));
    }
    let listed: bool = sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL").fetch_one(pool).await?;
    if listed {
        let applied: Vec<i64> = sqlx::query_scalar("SELECT version FROM _sqlx_migrations").fetch_all(pool).await?;
        if let Some(further) = applied.iter().find(|version| !wanted.contains(version)) {
            return Err(StoreError::Schema(format!(
                "the database has migration {further}, which the backup has not: restore into a new one"
            )));
        }
    }
    roles::ensure(pool).await?;
    let migrations = MIGRATIONS.iter().filter(|m| wanted.contains(&m.version)).cloned().collect();
    let migrator = sqlx::migrate::Migrator::with_migrations(migrations);
    migrator.run(pool).await.map_err(|e| StoreError::Schema(format!("migrations: {e}")))
}

/// After a restore into a new cluster the stored transaction ids may lie ahead of its counter, and
/// the tail would not see new rows for long: such rows are set back.
async fn reset_future_xids(pool: &PgPool) -> Result<(), StoreError> {
    sqlx::query("UPDATE task_events SET xid = '3' WHERE xid >= pg_snapshot_xmax(pg_current_snapshot())")
        .execute(pool)
        .await?;
    Ok(())
}
