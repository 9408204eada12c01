//! Row-level security stands behind the service's own checks: on every table that the catalogue lists, for the role that works in
//! one team. A new table without it fails here, and so does one that nobody has said anything of.

use crate::support;
use journeyman::clock;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row, postgres::PgRow};
use std::collections::BTreeSet;
use uuid::Uuid;

/// Tables whose rows need be no team's, and what the role of one team may do there.
const OF_NO_TEAM: [(&str, &[&str]); 8] = [
    ("_sqlx_migrations", &["SELECT"]),
    // One's own team, and who is in it: see below.
    ("teams", &["SELECT", "UPDATE"]),
    ("users", &["SELECT"]),
    ("sessions", &[]),
    ("endings", &[]),
    // Of the service's own erasures.
    ("erasure_objects", &[]),
    ("task_watches", &[]),
    ("live_pieces", &[]),
];

/// Column values that a table's constraints ask for; others are made by the column's type.
const VALUES: [(&str, &str, &str); 0] = [];

struct Table {
    name: String,
    of_team: bool,
}

async fn ask(connection: &mut PgConnection, statement: &str) -> Vec<PgRow> {
    sqlx::query(AssertSqlSafe(statement.to_owned()))
        .fetch_all(connection)
        .await
        .unwrap_or_else(|error| panic!("{statement}: {error}"))
}

async fn words(connection: &mut PgConnection, statement: &str) -> Vec<String> {
    ask(connection, statement).await.iter().map(|row| row.get(0)).collect()
}

async fn number(connection: &mut PgConnection, statement: &str) -> i64 {
    ask(connection, statement).await[0].get(0)
}

async fn tables(connection: &mut PgConnection) -> Vec<Table> {
    let rows = ask(
        connection,
        "SELECT c.relname::text AS name, EXISTS (SELECT 1 FROM pg_attribute a
            WHERE a.attrelid = c.oid AND a.attname = 'team' AND a.attnotnull AND NOT a.attisdropped) AS of_team
         FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') ORDER BY 1",
    );
    let tables: Vec<Table> =
        rows.await.iter().map(|row| Table { name: row.get("name"), of_team: row.get("of_team") }).collect();
    assert!(tables.len() > 20, "the catalogue lists the tables");
    tables
}

#[tokio::test]
async fn every_table_is_under_row_security_that_its_owner_is_under_too() {
    let mut connection = PgConnection::connect(&support::database().await).await.unwrap();
    let open = words(
        &mut connection,
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
            AND NOT (relrowsecurity AND relforcerowsecurity) AND relname <> '_sqlx_migrations'",
    )
    .await;
    assert_eq!(open, [] as [String; 0], "ENABLE and FORCE ROW LEVEL SECURITY in the migration that makes it");
    let owned = words(
        &mut connection,
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace
            AND pg_get_userbyid(relowner) IN ('journeyman_app', 'journeyman_worker')",
    )
    .await;
    assert_eq!(owned, [] as [String; 0], "what a role owns it could lay open");
    let powers = words(
        &mut connection,
        "SELECT rolname::text FROM pg_roles WHERE rolname IN ('journeyman_app', 'journeyman_worker')
            AND (rolsuper OR rolbypassrls OR rolcreaterole OR rolcanlogin)",
    )
    .await;
    assert_eq!(powers, [] as [String; 0]);
    // Views and functions with their owner's rights would lead around it. The one that does looks at the transaction's team alone.
    let around = words(
        &mut connection,
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('v', 'm')
         UNION ALL
         SELECT proname::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prosecdef
            AND has_function_privilege('journeyman_app', oid, 'EXECUTE')",
    )
    .await;
    assert_eq!(around, ["tasks_found"]);
}

#[tokio::test]
async fn words_are_found_in_the_transactions_team_alone() {
    let mut connection = PgConnection::connect(&support::database().await).await.unwrap();
    let [user, one, other]: [Uuid; 3] = [(); 3].map(|()| clock::new_id());
    let mut ids = Vec::new();
    connection
        .execute(AssertSqlSafe(format!(
            "INSERT INTO users (id, issuer, subject, name) VALUES ('{user}', 'local', '{user}', 'x')"
        )))
        .await
        .unwrap();
    for team in [one, other] {
        let id: Uuid = clock::new_id();
        let made = format!(
            "INSERT INTO teams (id, name) VALUES ('{team}', '{team}');
             INSERT INTO tasks (team, id, created_by, title, request, status, source_kind, spec, log_version)
                VALUES ('{team}', '{id}', '{user}', 'a wombat', 'in its burrow', 'queued', 'api', '{{}}', 1)"
        );
        sqlx::raw_sql(AssertSqlSafe(made)).execute(&mut connection).await.unwrap();
        ids.push(id.to_string());
    }
    connection.execute("SET ROLE journeyman_app").await.unwrap();
    let found = async |connection: &mut PgConnection, team: &str, asked: &str| {
        let set = format!("SELECT set_config('app.team', '{team}', false)");
        connection.execute(AssertSqlSafe(set)).await.unwrap();
        words(connection, &format!("SELECT id::text FROM tasks_found('{asked}', 10) AS id")).await
    };
    for asked in ["wombat", "wombat burrow", "-badger", &format!("team {other} or wombat")] {
        assert_eq!(found(&mut connection, &one.to_string(), asked).await, [ids[0].as_str()], "{asked}");
        assert_eq!(found(&mut connection, &other.to_string(), asked).await, [ids[1].as_str()], "{asked}");
    }
    assert_eq!(found(&mut connection, "", "wombat").await, [] as [String; 0], "of no team none");
}

#[tokio::test]
async fn every_table_is_a_teams_or_said_to_be_none() {
    let mut connection = PgConnection::connect(&support::database().await).await.unwrap();
    let tables = tables(&mut connection).await;
    let none: BTreeSet<&str> = tables.iter().filter(|table| !table.of_team).map(|table| table.name.as_str()).collect();
    let said: BTreeSet<&str> = OF_NO_TEAM.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        none, said,
        "a table whose column team may be absent: say in row_security.rs what the role of one team may do there"
    );
    for (name, rights) in OF_NO_TEAM {
        let asked = format!(
            "SELECT p FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) AS p
             WHERE has_table_privilege('journeyman_app', '{name}', p)"
        );
        assert_eq!(words(&mut connection, &asked).await, rights, "{name}");
    }
}

/// An SQL expression for each column of a new row, generated ones left out.
async fn row_of(connection: &mut PgConnection, table: &str, team: &str) -> (String, String) {
    let columns = ask(
        connection,
        &format!(
            "SELECT a.attname::text AS name, format_type(a.atttypid, NULL) AS type,
                (SELECT substring(pg_get_constraintdef(k.oid) FROM '''([^'']+)''') FROM pg_constraint k
                 WHERE k.conrelid = a.attrelid AND k.contype = 'c' AND k.conkey = ARRAY[a.attnum] LIMIT 1) AS word
             FROM pg_attribute a WHERE a.attrelid = '{table}'::regclass AND a.attnum > 0 AND NOT a.attisdropped
                AND a.attidentity = '' AND a.attgenerated = '' AND a.attnotnull
                AND (NOT a.atthasdef OR a.attname = 'team') ORDER BY a.attnum"
        ),
    )
    .await;
    let (mut names, mut values) = (Vec::new(), Vec::new());
    for column in &columns {
        let (name, kind): (String, String) = (column.get("name"), column.get("type"));
        let said = VALUES.iter().find(|(of, column, _)| (*of, *column) == (table, name.as_str()));
        let value = match (said, column.get::<Option<String>, _>("word"), kind.as_str()) {
            _ if name == "team" => format!("'{team}'::uuid"),
            (Some((_, _, value)), ..) => (*value).to_owned(),
            (None, Some(word), _) => format!("'{word}'"),
            (None, None, "uuid") => "gen_random_uuid()".to_owned(),
            (None, None, "text") => "gen_random_uuid()::text".to_owned(),
            (None, None, "bytea") => "decode(md5(random()::text), 'hex')".to_owned(),
            (None, None, "smallint" | "integer" | "bigint" | "numeric" | "real" | "double precision") => "1".to_owned(),
            (None, None, "boolean") => "false".to_owned(),
            (None, None, "timestamp with time zone") => "now()".to_owned(),
            (None, None, "date") => "current_date".to_owned(),
            (None, None, "jsonb" | "json" | "text[]") => "'{}'".to_owned(),
            (None, None, "real[]" | "double precision[]") => "'{1}'".to_owned(),
            (None, None, other) => {
                panic!("say in row_security.rs what {table}.{name} may hold: it is of the type {other}")
            }
        };
        names.push(name);
        values.push(value);
    }
    (names.join(", "), values.join(", "))
}

#[tokio::test]
async fn in_one_team_no_row_of_another_is_seen_changed_or_made() {
    let mut connection = PgConnection::connect(&support::database().await).await.unwrap();
    // Rows of two teams in every table, whatever they refer to.
    connection.execute("SET session_replication_role = replica").await.unwrap();
    let (ours, theirs) = (Uuid::from_u128(1).to_string(), Uuid::from_u128(2).to_string());
    let tables: Vec<Table> = tables(&mut connection).await.into_iter().filter(|table| table.of_team).collect();
    for table in &tables {
        for team in [&ours, &theirs] {
            let (names, values) = row_of(&mut connection, &table.name, team).await;
            let made = format!("INSERT INTO {} ({names}) VALUES ({values})", table.name);
            connection.execute(AssertSqlSafe(made.clone())).await.unwrap_or_else(|error| panic!("{made}: {error}"));
        }
    }
    for (team, user) in [(&ours, 3), (&theirs, 4)] {
        let user = Uuid::from_u128(user);
        for made in [
            format!("INSERT INTO teams (id, name) VALUES ('{team}', '{team}')"),
            format!("INSERT INTO users (id, issuer, subject, name) VALUES ('{user}', 'local', '{user}', 'x')"),
            format!("INSERT INTO members (team, user_id, role) VALUES ('{team}', '{user}', 'member')"),
        ] {
            connection.execute(AssertSqlSafe(made)).await.unwrap();
        }
    }
    connection.execute("SET session_replication_role = origin; SET ROLE journeyman_app").await.unwrap();
    connection.execute(AssertSqlSafe(format!("SET app.team = '{ours}'"))).await.unwrap();
    let mut read = 0;
    for Table { name, .. } in &tables {
        let may = async |connection: &mut PgConnection, right: &str| {
            let asked = format!("SELECT has_table_privilege('{name}', '{right}')::int::bigint");
            number(connection, &asked).await == 1
        };
        if may(&mut connection, "SELECT").await {
            read += 1;
            let own = number(&mut connection, &format!("SELECT count(*) FROM {name} WHERE team = '{ours}'")).await;
            let all = number(&mut connection, &format!("SELECT count(*) FROM {name}")).await;
            assert!(own > 0 && own == all, "{name}: {own} of {all} rows are the team's");
        }
        for (right, change) in [
            ("UPDATE", format!("UPDATE {name} SET team = team WHERE team = '{theirs}'")),
            ("DELETE", format!("DELETE FROM {name} WHERE team = '{theirs}'")),
        ] {
            let done = connection.execute(AssertSqlSafe(change)).await;
            match done {
                Ok(done) => assert_eq!(done.rows_affected(), 0, "{name}: {right}"),
                Err(error) => assert_eq!(code(&error), "42501", "{name}: {right}: {error}"),
            }
        }
        let (names, values) = row_of(&mut connection, name, &theirs).await;
        let made = connection.execute(AssertSqlSafe(format!("INSERT INTO {name} ({names}) VALUES ({values})"))).await;
        let error = made.expect_err("a row of another team");
        assert_eq!(code(&error), "42501", "{name}: {error}");
    }
    assert!(read > 15, "the role reads its team's tables: {read}");
    assert_eq!(words(&mut connection, "SELECT id::text FROM teams").await, [ours]);
    assert_eq!(words(&mut connection, "SELECT id::text FROM users").await, [Uuid::from_u128(3).to_string()]);
    // Without a team there is nothing.
    connection.execute("RESET app.team").await.unwrap();
    for Table { name, .. } in &tables {
        let asked = format!("SELECT has_table_privilege('{name}', 'SELECT')::int::bigint");
        if number(&mut connection, &asked).await == 1 {
            assert_eq!(number(&mut connection, &format!("SELECT count(*) FROM {name}")).await, 0, "{name}");
        }
    }
}

fn code(error: &sqlx::Error) -> String {
    error.as_database_error().and_then(|error| error.code()).unwrap_or_default().into_owned()
}
