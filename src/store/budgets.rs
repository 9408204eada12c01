//! Shared budgets in money: caps of a team and of its members by day and by month, and what tasks hold of them.
//!
//! What a task may spend it draws first, in chunks, from every capped account at once or from none; what it did not
//! spend goes back when it rests. A crash leaves the hold, which the next worker goes on with. So the sum of what is
//! spent and held never passes a cap, whatever happens. Amounts are in billionths of a US dollar.
//!
//! Caps come and go while tasks hold money. A hold knows the accounts that it was drawn from; one that does not fit the
//! caps of now is given back and drawn anew. An account begins with what was spent and with what is held at that moment.
//! Whoever writes accounts of a team has its lock.

use super::{AcrossTx, Store, StoreError, TeamTx};
use crate::domain::{TaskId, TeamId, UserId};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, Row};
use time::Date;

/// Billionths of a dollar.
pub type NanoUsd = i64;

/// So much of a call's need is drawn at once, where there is plenty: a part of what an account has left, and a number
/// of calls.
const CHUNK_PART: NanoUsd = 32;
const CHUNK_CALLS: NanoUsd = 8;

/// The caps of one holder, a team or a member, in US dollars; absent: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Caps {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd_per_day: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd_per_month: Option<f64>,
}

impl Caps {
    pub fn is_empty(self) -> bool {
        self.cost_usd_per_day.is_none() && self.cost_usd_per_month.is_none()
    }
}

/// The caps that hold for a task: its team's, and its creator's in the team.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SharedCaps {
    pub team: Caps,
    pub member: Caps,
}

impl SharedCaps {
    pub fn is_empty(self) -> bool {
        self.team.is_empty() && self.member.is_empty()
    }
}

/// Who draws, and what his task has spent so far.
#[derive(Clone, Copy, Debug)]
pub struct Drawer {
    pub team: TeamId,
    pub user: UserId,
    pub task: TaskId,
    pub spent: NanoUsd,
}

/// What a draw gave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Drawn {
    /// The task may spend so much from here on: at least what it needs.
    Held(NanoUsd),
    /// An account has not so much left.
    Refused { of: &'static str, taken: NanoUsd, cap: NanoUsd },
}

/// The caps of a task's team and creator.
pub async fn caps(store: &Store, team: TeamId, user: UserId) -> Result<SharedCaps, StoreError> {
    let row = sqlx::query(CAPS).bind(team.0).bind(user.0).fetch_optional(store.across()).await?;
    row.map_or_else(|| Ok(SharedCaps::default()), |row| read_caps(&row, team))
}

/// The same for a member of the transaction's team.
pub async fn caps_of(tx: &mut TeamTx, team: TeamId, user: UserId) -> Result<SharedCaps, StoreError> {
    let row = sqlx::query(CAPS).bind(team.0).bind(user.0).fetch_optional(tx.connection()).await?;
    row.map_or_else(|| Ok(SharedCaps::default()), |row| read_caps(&row, team))
}

const CAPS: &str = "SELECT t.limits AS team, m.limits AS member FROM teams t
     LEFT JOIN members m ON m.team = t.id AND m.user_id = $2 WHERE t.id = $1";

fn read_caps(row: &sqlx::postgres::PgRow, team: TeamId) -> Result<SharedCaps, StoreError> {
    let read = |text: Option<String>| -> Result<Caps, StoreError> {
        let Some(text) = text else { return Ok(Caps::default()) };
        serde_json::from_str(&text).map_err(|_| StoreError::corrupt("teams", "limits", team))
    };
    Ok(SharedCaps { team: read(row.try_get("team")?)?, member: read(row.try_get("member")?)? })
}

/// Sets caps of a team, or of a member of it; other limits stay. False where there is no such team or member.
pub async fn set_caps(store: &Store, team: TeamId, user: Option<UserId>, caps: Caps) -> Result<bool, StoreError> {
    let mut tx = store.across_teams().await?;
    let there = set_caps_across(&mut tx, team, user, caps).await?;
    tx.commit().await?;
    Ok(there)
}

/// The same within an operator's transaction.
pub async fn set_caps_across(
    tx: &mut AcrossTx,
    team: TeamId,
    user: Option<UserId>,
    caps: Caps,
) -> Result<bool, StoreError> {
    let tx = tx.connection();
    lock(tx, team).await?;
    let row = sqlx::query(CAPS).bind(team.0).bind(user.map(|user| user.0)).fetch_optional(&mut *tx).await?;
    let before = row.map_or_else(|| Ok(SharedCaps::default()), |row| read_caps(&row, team))?;
    let before = if user.is_some() { before.member } else { before.team };
    let holder = user.map_or(uuid::Uuid::nil(), |user| user.0);
    for (span, was, is) in [
        ("day", before.cost_usd_per_day, caps.cost_usd_per_day),
        ("month", before.cost_usd_per_month, caps.cost_usd_per_month),
    ] {
        // Nobody counts in an account without a cap: what it says is not true any more when there is one again.
        if was.is_some() != is.is_some() {
            forget(tx, team, holder, span).await?;
        }
    }
    let caps = serde_json::to_string(&caps).map_err(|_| StoreError::corrupt("teams", "limits", team))?;
    let statement = match user {
        None => {
            "UPDATE teams SET limits = ((limits::jsonb - 'cost_usd_per_day' - 'cost_usd_per_month') || $3::jsonb)::text
             WHERE id = $1 AND $2::uuid IS NULL"
        }
        Some(_) => {
            "UPDATE members SET limits = ((limits::jsonb - 'cost_usd_per_day' - 'cost_usd_per_month') || $3::jsonb)::text
             WHERE team = $1 AND user_id = $2"
        }
    };
    let done = sqlx::query(statement).bind(team.0).bind(user.map(|user| user.0)).bind(caps).execute(tx).await?;
    Ok(done.rows_affected() > 0)
}

/// Removes the accounts of a holder; holds that were drawn from them are not any more.
async fn forget(connection: &mut PgConnection, team: TeamId, holder: uuid::Uuid, span: &str) -> Result<(), StoreError> {
    for statement in [
        "DELETE FROM budget_hold_accounts WHERE team = $1 AND holder = $2 AND span = $3",
        "DELETE FROM budget_accounts WHERE team = $1 AND holder = $2 AND span = $3",
    ] {
        sqlx::query(statement).bind(team.0).bind(holder).bind(span).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Held until the transaction ends by whoever writes a team's accounts and holds.
async fn lock(connection: &mut PgConnection, team: TeamId) -> Result<(), StoreError> {
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('budgets ' || $1::text, 0))")
        .bind(team.0)
        .execute(connection)
        .await?;
    Ok(())
}

/// An account with its cap.
#[derive(Clone, Copy, Debug)]
struct Account {
    holder: uuid::Uuid,
    span: &'static str,
    /// For people.
    name: &'static str,
    cap: NanoUsd,
}

fn accounts(caps: SharedCaps, user: UserId) -> Vec<Account> {
    let nil = uuid::Uuid::nil();
    let all = [
        (nil, "day", "the team's day", caps.team.cost_usd_per_day),
        (nil, "month", "the team's month", caps.team.cost_usd_per_month),
        (user.0, "day", "the user's day", caps.member.cost_usd_per_day),
        (user.0, "month", "the user's month", caps.member.cost_usd_per_month),
    ];
    all.into_iter()
        .filter_map(|(holder, span, name, cap)| Some(Account { holder, span, name, cap: nano(cap?) }))
        .collect()
}

/// Dollars as what accounts count.
pub fn nano(usd: f64) -> NanoUsd {
    (usd.max(0.0) * 1e9).ceil().min(9e18) as NanoUsd
}

/// Makes sure that a task holds at least `need` more than it has spent, and up to `want` where there is less than a
/// chunk. Draws nothing where any account has too little.
pub async fn draw(
    store: &Store,
    caps: SharedCaps,
    drawer: Drawer,
    (need, want): (NanoUsd, NanoUsd),
) -> Result<Drawn, StoreError> {
    let mut tx = store.begin().await?;
    lock(&mut tx, drawer.team).await?;
    let today: Date = sqlx::query_scalar("SELECT (now() AT TIME ZONE 'UTC')::date").fetch_one(&mut *tx).await?;
    let accounts = accounts(caps, drawer.user);
    let hold = hold(&mut tx, drawer.task).await?;
    let left = match hold {
        Some(hold) if hold.day == today && is_of(&mut tx, drawer.task, &accounts).await? => {
            hold.held - (drawer.spent - hold.spent_before)
        }
        Some(hold) => {
            give_back(&mut tx, drawer, hold).await?;
            0
        }
        None => 0,
    };
    if left >= want {
        tx.commit().await?;
        return Ok(Drawn::Held(left));
    }
    let mut room = NanoUsd::MAX;
    for account in &accounts {
        let taken = taken(&mut tx, drawer.team, *account, today).await?;
        let free = account.cap - taken;
        if free + left < need {
            // What was given back of another day stays given back.
            tx.commit().await?;
            return Ok(Drawn::Refused { of: account.name, taken, cap: account.cap });
        }
        room = room.min(free);
    }
    let chunk = want.max((want.saturating_mul(CHUNK_CALLS)).min(room / CHUNK_PART));
    let more = (chunk - left).min(room).max(0);
    for account in &accounts {
        sqlx::query(
            "UPDATE budget_accounts SET taken = taken + $5
             WHERE team = $1 AND holder = $2 AND span = $3 AND starts_on = date_trunc($3, $4::date)::date",
        )
        .bind(drawer.team.0)
        .bind(account.holder)
        .bind(account.span)
        .bind(today)
        .bind(more)
        .execute(&mut *tx)
        .await?;
    }
    sqlx::query(
        "INSERT INTO budget_holds (team, task, holder, day, held, spent_before) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (task) DO UPDATE SET held = budget_holds.held + EXCLUDED.held, drawn_at = now()",
    )
    .bind(drawer.team.0)
    .bind(drawer.task.0)
    .bind(drawer.user.0)
    .bind(today)
    .bind(more)
    .bind(drawer.spent)
    .execute(&mut *tx)
    .await?;
    for account in &accounts {
        sqlx::query(
            "INSERT INTO budget_hold_accounts (team, task, holder, span) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        )
        .bind(drawer.team.0)
        .bind(drawer.task.0)
        .bind(account.holder)
        .bind(account.span)
        .execute(&mut *tx)
        .await?;
    }
    tx.commit().await?;
    Ok(Drawn::Held(left + more))
}

/// Gives back what a task that rests did not spend. Nothing happens where it holds nothing.
pub async fn settle(store: &Store, drawer: Drawer) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    lock(&mut tx, drawer.team).await?;
    if let Some(hold) = hold(&mut tx, drawer.task).await? {
        give_back(&mut tx, drawer, hold).await?;
    }
    Ok(tx.commit().await?)
}

/// Settles what is held for tasks that no worker has and none will claim: their end stood in the log before what they
/// held was given back. At most `limit`; answers how many. What nobody knows the cost of counts as spent.
pub async fn settle_forgotten(store: &Store, limit: u32) -> Result<usize, StoreError> {
    let rows = sqlx::query(
        "SELECT team, task FROM budget_holds h
         WHERE drawn_at < now() - interval '1 minute' AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.id = h.task)
         ORDER BY drawn_at LIMIT $1",
    )
    .bind(i64::from(limit))
    .fetch_all(store.across())
    .await?;
    let mut settled = 0;
    for row in &rows {
        let (team, task) = (TeamId(row.try_get("team")?), TaskId(row.try_get("task")?));
        settled += usize::from(settle_if_forgotten(store, team, task).await?);
    }
    Ok(settled)
}

/// The same for one task, as it stands now that nobody else writes the team's accounts: it may have been woken.
async fn settle_if_forgotten(store: &Store, team: TeamId, task: TaskId) -> Result<bool, StoreError> {
    let mut tx = store.begin().await?;
    lock(&mut tx, team).await?;
    let row = sqlx::query(
        "SELECT h.holder, h.held + h.spent_before AS all_spent,
            coalesce(((t.detail::json->'usage'->>'cost_usd')::numeric
                + coalesce((t.detail::json->'usage'->'unreported'->>'cost_usd')::numeric, 0))::float8, l.charged / 1e9) AS spent
         FROM budget_holds h LEFT JOIN tasks t ON t.team = h.team AND t.id = h.task
            LEFT JOIN learnings l ON l.team = h.team AND l.id = h.task
         WHERE h.task = $1 AND h.drawn_at < now() - interval '1 minute'
            AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.id = h.task)",
    )
    .bind(task.0)
    .fetch_optional(&mut *tx)
    .await?;
    let (Some(row), Some(hold)) = (row, hold(&mut tx, task).await?) else { return Ok(false) };
    let spent: Option<f64> = row.try_get("spent")?;
    let spent = spent.map_or(row.try_get("all_spent")?, nano);
    give_back(&mut tx, Drawer { team, user: UserId(row.try_get("holder")?), task, spent }, hold).await?;
    tx.commit().await?;
    Ok(true)
}

/// What is taken of each account of a team now, and what tasks hold of it: for people.
pub async fn standing(
    store: &Store,
    team: TeamId,
) -> Result<(Vec<(uuid::Uuid, String, NanoUsd)>, NanoUsd), StoreError> {
    let rows = sqlx::query(
        "SELECT holder, span, taken FROM budget_accounts
         WHERE team = $1 AND starts_on = date_trunc(span, now() AT TIME ZONE 'UTC')::date ORDER BY holder, span LIMIT 1000",
    )
    .bind(team.0)
    .fetch_all(store.across())
    .await?;
    let accounts = rows
        .iter()
        .map(|row| Ok((row.try_get("holder")?, row.try_get("span")?, row.try_get("taken")?)))
        .collect::<Result<_, StoreError>>()?;
    let held: Option<i64> = sqlx::query_scalar("SELECT sum(held)::bigint FROM budget_holds WHERE team = $1")
        .bind(team.0)
        .fetch_one(store.across())
        .await?;
    Ok((accounts, held.unwrap_or_default()))
}

#[derive(Clone, Copy, Debug)]
struct Hold {
    day: Date,
    held: NanoUsd,
    spent_before: NanoUsd,
}

/// Whether a hold was drawn from just these accounts.
async fn is_of(connection: &mut PgConnection, task: TaskId, accounts: &[Account]) -> Result<bool, StoreError> {
    let rows = sqlx::query("SELECT holder, span FROM budget_hold_accounts WHERE task = $1")
        .bind(task.0)
        .fetch_all(connection)
        .await?;
    let mut found = rows
        .iter()
        .map(|row| Ok((row.try_get("holder")?, row.try_get("span")?)))
        .collect::<Result<Vec<(uuid::Uuid, String)>, StoreError>>()?;
    let mut wanted: Vec<_> = accounts.iter().map(|account| (account.holder, account.span.to_owned())).collect();
    found.sort();
    wanted.sort();
    Ok(found == wanted)
}

async fn hold(connection: &mut PgConnection, task: TaskId) -> Result<Option<Hold>, StoreError> {
    let row = sqlx::query("SELECT day, held, spent_before FROM budget_holds WHERE task = $1")
        .bind(task.0)
        .fetch_optional(connection)
        .await?;
    row.map(|row| {
        Ok(Hold { day: row.try_get("day")?, held: row.try_get("held")?, spent_before: row.try_get("spent_before")? })
    })
    .transpose()
}

/// Takes back what is left of a hold, or adds what was spent beyond it: the accounts tell what is true.
async fn give_back(connection: &mut PgConnection, drawer: Drawer, hold: Hold) -> Result<(), StoreError> {
    let unspent = hold.held - (drawer.spent - hold.spent_before).max(0);
    sqlx::query(
        "UPDATE budget_accounts a SET taken = a.taken - $4 FROM budget_hold_accounts mine
         WHERE mine.task = $2 AND a.team = $1 AND a.holder = mine.holder AND a.span = mine.span
            AND a.starts_on = date_trunc(mine.span, $3::date)::date",
    )
    .bind(drawer.team.0)
    .bind(drawer.task.0)
    .bind(hold.day)
    .bind(unspent)
    .execute(&mut *connection)
    .await?;
    sqlx::query("DELETE FROM budget_holds WHERE task = $1").bind(drawer.task.0).execute(connection).await?;
    Ok(())
}

/// What is taken of an account. One that is asked for the first time begins with what was spent since its start, as the
/// log and the tasks say, and with what tasks hold now, which is drawn from it too from here on.
async fn taken(
    connection: &mut PgConnection,
    team: TeamId,
    account: Account,
    today: Date,
) -> Result<NanoUsd, StoreError> {
    let ask = |statement| {
        sqlx::query_scalar::<_, i64>(statement).bind(team.0).bind(account.holder).bind(account.span).bind(today)
    };
    let known = ask("SELECT taken FROM budget_accounts
         WHERE team = $1 AND holder = $2 AND span = $3 AND starts_on = date_trunc($3, $4::date)::date")
    .fetch_optional(&mut *connection)
    .await?;
    if let Some(taken) = known {
        return Ok(taken);
    }
    let taken = ask(OPEN_ACCOUNT).fetch_one(&mut *connection).await?;
    sqlx::query(
        "INSERT INTO budget_hold_accounts (team, task, holder, span)
         SELECT $1, task, $2, $3 FROM budget_holds
         WHERE team = $1 AND date_trunc($3, day) = date_trunc($3, $4::date)
            AND ($2 = '00000000-0000-0000-0000-000000000000' OR holder = $2)
         ON CONFLICT DO NOTHING",
    )
    .bind(team.0)
    .bind(account.holder)
    .bind(account.span)
    .bind(today)
    .execute(connection)
    .await?;
    Ok(taken)
}

// `json`, since `jsonb` refuses characters that texts beside the figures may have.
const OPEN_ACCOUNT: &str = "INSERT INTO budget_accounts (team, holder, span, starts_on, taken)
     SELECT $1, $2, $3, date_trunc($3, $4::date)::date,
        coalesce((
            SELECT ceil(sum((e.data::json->>'cost_usd')::numeric) * 1e9)
            FROM task_events e JOIN tasks t ON t.team = e.team AND t.id = e.task
            WHERE e.team = $1 AND e.kind IN ('model.completed', 'compaction', 'review.completed', 'approval.reviewed')
                AND e.at >= date_trunc($3, $4::date) AT TIME ZONE 'UTC'
                AND ($2 = '00000000-0000-0000-0000-000000000000' OR t.created_by = $2)
        ), 0)::bigint + coalesce((
            SELECT ceil(sum((t.detail::json->'usage'->'unreported'->>'cost_usd')::numeric) * 1e9)
            FROM tasks t
            WHERE t.team = $1 AND t.updated_at >= date_trunc($3, $4::date) AT TIME ZONE 'UTC'
                AND ($2 = '00000000-0000-0000-0000-000000000000' OR t.created_by = $2)
        ), 0)::bigint + coalesce((
            SELECT sum(greatest(0, h.held + h.spent_before - ceil(1e9 * (
                coalesce((t.detail::json->'usage'->>'cost_usd')::numeric, 0)
                + coalesce((t.detail::json->'usage'->'unreported'->>'cost_usd')::numeric, 0)))
                - coalesce(l.charged, 0)))
            FROM budget_holds h LEFT JOIN tasks t ON t.team = h.team AND t.id = h.task
                LEFT JOIN learnings l ON l.team = h.team AND l.id = h.task
            WHERE h.team = $1 AND date_trunc($3, h.day) = date_trunc($3, $4::date)
                AND ($2 = '00000000-0000-0000-0000-000000000000' OR h.holder = $2)
        ), 0)::bigint + coalesce((
            SELECT sum(l.charged) FROM learnings l
            WHERE l.team = $1 AND l.charged > 0 AND l.created_at >= date_trunc($3, $4::date) AT TIME ZONE 'UTC'
                AND ($2 = '00000000-0000-0000-0000-000000000000' OR l.user_id = $2)
        ), 0)::bigint
     RETURNING taken";
