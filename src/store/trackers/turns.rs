//! Texts of statements by which what is to be done at trackers is done in turn.

/// Claims rows of a table in turn: up to `$2` that wait, are due and have no lease that holds, the longest due first, of one
/// integration no more than `$3` at once on all replicas together; leased for `$1` milliseconds.
#[rustfmt::skip] // As SQL is laid out.
macro_rules! claim_in_turn {
    ($table:literal, $key:literal, $due_at:literal, $waits:literal, $returned:literal) => {
        concat!(
            "WITH held AS (
                SELECT integration, count(*) AS n FROM ", $table, " WHERE ", $waits, " AND lease_until > now() GROUP BY integration
             ), head AS (
                SELECT team, ", $key, ", integration, ", $due_at, " AS at FROM ", $table, "
                WHERE ", $waits, " AND ", $due_at, " <= now() AND (lease_until IS NULL OR lease_until < now())
                    AND integration NOT IN (SELECT integration FROM held WHERE n >= $3)
                ORDER BY ", $due_at, " LIMIT 200
             ), placed AS (
                SELECT head.team, head.", $key, ",
                    row_number() OVER (PARTITION BY integration ORDER BY head.at) + coalesce(held.n, 0) AS place
                FROM head LEFT JOIN held USING (integration)
             ), due AS (
                SELECT c.team, c.", $key, " FROM ", $table, " c JOIN placed p ON p.team = c.team AND p.", $key, " = c.", $key, "
                WHERE p.place <= $3 AND ", $waits, " AND ", $due_at, " <= now() AND (lease_until IS NULL OR lease_until < now())
                ORDER BY ", $due_at, " LIMIT $2 FOR UPDATE OF c SKIP LOCKED
             )
             UPDATE ", $table, " c SET attempts = attempts + 1, lease_until = now() + $1 * interval '1 millisecond'
             FROM due WHERE c.team = due.team AND c.", $key, " = due.", $key, "
             RETURNING ", $returned
        )
    };
}

/// Between two edits of a task's comment, as an interval: forges slow those down who say much.
macro_rules! answer_spacing {
    () => {
        "interval '3 seconds'"
    };
}

pub(in crate::store) use {answer_spacing, claim_in_turn};
