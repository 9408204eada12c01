//! The whole database as rows of text, out of one snapshot and into an empty database. No program of Postgres's own is
//! needed, and neither side has to be of the same version of it.
//!
//! Transaction ids are left out: in another cluster they could lie ahead of its counter, and the tail of the log would
//! not see new rows. Rows that come in get that of the restore.

use super::{Store, StoreError, pools};
use crate::domain::{BlobHash, TeamId};
use bytes::Bytes;
use futures::{Stream, TryStreamExt};
use serde::{Deserialize, Serialize};
use sqlx::{
    AssertSqlSafe, PgConnection, PgPool, Postgres, Row, Transaction,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use std::{collections::BTreeSet, str::FromStr, time::Duration};

/// A table and those of its columns that are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    pub name: String,
    pub columns: Vec<String>,
}

impl Table {
    /// As it stands in a statement.
    fn quoted(&self) -> (String, String) {
        let quote = |name: &String| format!("\"{}\"", name.replace('"', "\"\""));
        (quote(&self.name), self.columns.iter().map(quote).collect::<Vec<_>>().join(", "))
    }
}

/// A content that lies in the object store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectRow {
    pub team: TeamId,
    pub hash: BlobHash,
    pub size: u64,
    /// Absent of what an earlier build stored.
    pub key: Option<String>,
}

/// One moment of the database, beside all that goes on.
#[derive(Debug)]
pub struct Snapshot {
    tx: Transaction<'static, Postgres>,
}

impl Snapshot {
    pub async fn open(store: &Store) -> Result<Self, StoreError> {
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = 0; \
            SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL TimeZone = 'UTC'; SET LOCAL DateStyle = 'ISO, YMD'";
        Ok(Self { tx: store.begin_with(begin).await? })
    }

    /// The versions of the schema that it has.
    pub async fn migrations(&mut self) -> Result<Vec<i64>, StoreError> {
        Ok(sqlx::query_scalar("SELECT version FROM _sqlx_migrations WHERE success ORDER BY version")
            .fetch_all(&mut *self.tx)
            .await?)
    }

    /// All tables that are kept, those that others refer to first.
    pub async fn tables(&mut self) -> Result<Vec<Table>, StoreError> {
        let hidden: Option<String> = sqlx::query_scalar(AssertSqlSafe(format!(
            "SELECT c.relname::text {KEPT} AND NOT has_table_privilege(c.oid, 'SELECT') LIMIT 1"
        )))
        .fetch_optional(&mut *self.tx)
        .await?;
        if let Some(name) = hidden {
            return Err(StoreError::Schema(format!("the role journeyman_worker may not read the table {name}")));
        }
        tables(&mut self.tx).await
    }

    /// The rows of a table, in Postgres's own text form: a line each.
    pub async fn rows(
        &mut self,
        table: &Table,
    ) -> Result<impl Stream<Item = Result<Bytes, StoreError>> + Send + '_, StoreError> {
        let (name, columns) = table.quoted();
        // Of a query: a table with row security is read as its policies say.
        let statement = format!("COPY (SELECT {columns} FROM {name}) TO STDOUT");
        Ok(self.tx.copy_out_raw(&statement).await?.map_err(StoreError::from))
    }

    /// Contents in the object store after `after`.
    pub async fn objects(
        &mut self,
        after: Option<(TeamId, &BlobHash)>,
        limit: u32,
    ) -> Result<Vec<ObjectRow>, StoreError> {
        let rows = sqlx::query(
            "SELECT team, hash, size, object FROM blobs
             WHERE content IS NULL AND ($1::uuid IS NULL OR (team, hash) > ($1, $2)) ORDER BY team, hash LIMIT $3",
        )
        .bind(after.map(|(team, _)| team.0))
        .bind(after.map(|(_, hash)| hash.as_str()))
        .bind(i64::from(limit))
        .fetch_all(&mut *self.tx)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(ObjectRow {
                    team: TeamId(row.try_get("team")?),
                    hash: BlobHash(row.try_get("hash")?),
                    size: row.try_get::<i64, _>("size")? as u64,
                    key: row.try_get("object")?,
                })
            })
            .collect()
    }
}

/// Tables that outlive a crash, but for the list of migrations.
const KEPT: &str = "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'public' AND c.relkind = 'r' AND c.relpersistence = 'p' AND c.relname <> '_sqlx_migrations'";

async fn tables(connection: &mut PgConnection) -> Result<Vec<Table>, StoreError> {
    let rows: Vec<(String, Vec<String>, Vec<String>)> = sqlx::query_as(AssertSqlSafe(format!(
        "SELECT c.relname::text,
            ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0
                AND NOT a.attisdropped AND a.attgenerated = '' AND a.atttypid <> 'xid8'::regtype ORDER BY a.attnum),
            ARRAY(SELECT DISTINCT r.relname::text FROM pg_constraint f JOIN pg_class r ON r.oid = f.confrelid
                WHERE f.contype = 'f' AND f.conrelid = c.oid AND f.confrelid <> c.oid)
         {KEPT} ORDER BY c.relname"
    )))
    .fetch_all(connection)
    .await?;
    let (mut ordered, mut placed): (Vec<Table>, BTreeSet<String>) = (Vec::new(), BTreeSet::new());
    let mut left = rows;
    while !left.is_empty() {
        let (ready, waiting): (Vec<_>, Vec<_>) =
            left.into_iter().partition(|(_, _, refers)| refers.iter().all(|name| placed.contains(name)));
        if ready.is_empty() {
            return Err(StoreError::Schema("the tables refer to each other in a circle".to_owned()));
        }
        for (name, columns, _) in ready {
            placed.insert(name.clone());
            ordered.push(Table { name, columns });
        }
        left = waiting;
    }
    Ok(ordered)
}

/// An empty database that is being filled: all of it is there once this is committed, or nothing.
#[derive(Debug)]
pub struct Restoring {
    pool: PgPool,
    tx: Transaction<'static, Postgres>,
    tables: Vec<Table>,
    /// Those whose owner their row security holds for.
    forced: Vec<String>,
}

impl Restoring {
    /// Makes the schema as it was where the rows come from, in a database in which nothing is.
    ///
    /// # Errors
    /// [`StoreError::Schema`] where something is in it, where it has another schema already, or where the rows come from
    /// a later release.
    pub async fn begin(url: &str, migrations: &[i64]) -> Result<Self, StoreError> {
        let options = PgConnectOptions::from_str(url)
            .map_err(|e| StoreError::Schema(format!("DATABASE_URL cannot be read: {e}")))?
            .application_name("journeyman restore")
            .options([("statement_timeout", "0"), ("TimeZone", "UTC"), ("DateStyle", "ISO, YMD")]);
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(Duration::from_secs(10))
            .connect_with(options)
            .await?;
        pools::schema_as_of(&pool, migrations).await?;
        let mut tx = pool.begin().await?;
        let forced: Vec<String> =
            sqlx::query_scalar(AssertSqlSafe(format!("SELECT c.relname::text {KEPT} AND c.relforcerowsecurity")))
                .fetch_all(&mut *tx)
                .await?;
        let tables = tables(&mut tx).await?;
        for name in &forced {
            security(&mut tx, name, "NO FORCE").await?;
        }
        for table in &tables {
            let (name, _) = table.quoted();
            let full: bool = sqlx::query_scalar(AssertSqlSafe(format!("SELECT EXISTS (SELECT 1 FROM {name})")))
                .fetch_one(&mut *tx)
                .await?;
            if full {
                return Err(StoreError::Schema(format!(
                    "the database is not empty (there are rows in {}): restore into a new one",
                    table.name
                )));
            }
        }
        Ok(Self { pool, tx, tables, forced })
    }

    /// Takes rows in, as [`Snapshot::rows`] gave them; how many.
    pub async fn rows(
        &mut self,
        table: &Table,
        rows: impl Stream<Item = Result<Bytes, StoreError>>,
    ) -> Result<u64, StoreError> {
        let known = self.tables.iter().find(|known| known.name == table.name);
        if known.is_none_or(|known| !table.columns.iter().all(|column| known.columns.contains(column))) {
            return Err(StoreError::Schema(format!("the backup has a table {} that its schema has not", table.name)));
        }
        let (name, columns) = table.quoted();
        let statement = format!("COPY {name} ({columns}) FROM STDIN");
        let mut copy = self.tx.copy_in_raw(&statement).await?;
        let mut rows = std::pin::pin!(rows);
        loop {
            match rows.try_next().await {
                Ok(Some(piece)) => {
                    copy.send(piece).await?;
                }
                Ok(None) => return Ok(copy.finish().await?),
                Err(error) => {
                    copy.abort("the backup could not be read").await?;
                    return Err(error);
                }
            }
        }
    }

    /// Work goes on at once, as after the loss of a host; counters go on after what was counted.
    pub async fn commit(mut self) -> Result<(), StoreError> {
        for statement in [
            "UPDATE jobs SET lease_until = now(), ready_at = least(ready_at, now()) WHERE lease_replica IS NOT NULL",
            "UPDATE erasures SET lease_until = NULL WHERE lease_until IS NOT NULL",
        ] {
            sqlx::query(statement).execute(&mut *self.tx).await?;
        }
        let counters: Vec<(String, String, String)> = sqlx::query_as(
            "SELECT s.oid::regclass::text, quote_ident(c.relname), quote_ident(a.attname) FROM pg_class s
             JOIN pg_depend d ON d.refobjid = s.oid AND d.refclassid = 'pg_class'::regclass AND d.classid = 'pg_attrdef'::regclass
             JOIN pg_attrdef e ON e.oid = d.objid JOIN pg_class c ON c.oid = e.adrelid
             JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = e.adnum WHERE s.relkind = 'S'
             UNION
             SELECT s.oid::regclass::text, quote_ident(c.relname), quote_ident(a.attname) FROM pg_class s
             JOIN pg_depend d ON d.objid = s.oid AND d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
                AND d.deptype IN ('i', 'a') AND d.refobjsubid > 0
             JOIN pg_class c ON c.oid = d.refobjid AND c.relpersistence = 'p'
             JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.refobjsubid WHERE s.relkind = 'S'",
        )
        .fetch_all(&mut *self.tx)
        .await?;
        for (counter, table, column) in counters {
            let statement = format!(
                "SELECT setval('{counter}', (SELECT max({column}) FROM {table})) WHERE EXISTS (SELECT 1 FROM {table})"
            );
            sqlx::query(AssertSqlSafe(statement)).execute(&mut *self.tx).await?;
        }
        for name in &self.forced {
            security(&mut self.tx, name, "FORCE").await?;
        }
        self.tx.commit().await?;
        self.pool.close().await;
        Ok(())
    }
}

async fn security(connection: &mut PgConnection, table: &str, force: &str) -> Result<(), StoreError> {
    let statement = format!("ALTER TABLE \"{table}\" {force} ROW LEVEL SECURITY");
    sqlx::query(AssertSqlSafe(statement)).execute(connection).await?;
    Ok(())
}
