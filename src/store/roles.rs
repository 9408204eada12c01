//! The two roles that the service works as. They belong to the whole cluster, so that they are
//! made before the migrations and may be there already.

use super::StoreError;
use sqlx::{PgPool, Row};

const MEND: &str = "let the user of DATABASE_URL create roles (ALTER ROLE … CREATEROLE), or run as a superuser: \
    CREATE ROLE journeyman_app NOLOGIN; CREATE ROLE journeyman_worker NOLOGIN; GRANT both TO that user";

/// Makes what is missing and makes the connected user a member.
pub(super) async fn ensure(pool: &PgPool) -> Result<(), StoreError> {
    for attempt in 0.. {
        match try_ensure(pool).await {
            Ok(()) => return Ok(()),
            // Another replica makes them at the same moment ("tuple concurrently updated").
            Err(sqlx::Error::Database(_)) if attempt < 10 => {
                tokio::time::sleep(std::time::Duration::from_millis(50 * (attempt + 1))).await;
            }
            Err(error @ sqlx::Error::Database(_)) => return Err(StoreError::Schema(format!("{error}: {MEND}"))),
            Err(other) => return Err(other.into()),
        }
    }
    Ok(())
}

async fn try_ensure(pool: &PgPool) -> Result<(), sqlx::Error> {
    let rows = sqlx::query(
        "SELECT r.name, EXISTS (SELECT 1 FROM pg_roles WHERE rolname = r.name) AS present,
            coalesce((SELECT pg_has_role(current_user, p.oid, 'MEMBER') FROM pg_roles p WHERE p.rolname = r.name), false) AS member
         FROM (VALUES ('journeyman_app'), ('journeyman_worker')) AS r (name)",
    )
    .fetch_all(pool)
    .await?;
    for row in rows {
        let app = row.try_get::<String, _>("name")? == "journeyman_app";
        if !row.try_get::<bool, _>("present")? {
            let create =
                if app { "CREATE ROLE journeyman_app NOLOGIN" } else { "CREATE ROLE journeyman_worker NOLOGIN" };
            sqlx::query(create).execute(pool).await?;
        }
        if !row.try_get::<bool, _>("member")? {
            let grant =
                if app { "GRANT journeyman_app TO CURRENT_USER" } else { "GRANT journeyman_worker TO CURRENT_USER" };
            sqlx::query(grant).execute(pool).await?;
        }
    }
    Ok(())
}
