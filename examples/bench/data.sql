-- Fills a database of the service with users, teams, keys, tasks and their logs, as copies of one task that the service
-- itself worked through: every row is of the shape that it writes. Each task has the template's events.
CREATE SCHEMA bench;

-- A UUID of version 7, as the service's own are.
CREATE FUNCTION bench.id(at timestamptz) RETURNS uuid LANGUAGE sql VOLATILE AS $$
    SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0')
        || '7' || substr(replace(gen_random_uuid()::text, '-', ''), 14, 3)
        || '8' || substr(replace(gen_random_uuid()::text, '-', ''), 18, 15))::uuid
$$;

-- Copies a row of a table for each of `among`, where `instead` names columns that take another value.
CREATE FUNCTION bench.copy(source regclass, instead jsonb, among text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE names text; "values" text;
BEGIN
    SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum),
        string_agg(coalesce(instead ->> attname, 't.' || quote_ident(attname)), ', ' ORDER BY attnum)
    INTO names, "values" FROM pg_attribute
    WHERE attrelid = source AND attnum > 0 AND NOT attisdropped AND attgenerated = '';
    EXECUTE format('INSERT INTO %s (%s) SELECT %s FROM %s t, %s', source, names, "values", source, among);
END $$;

-- `caller` is the hash of the key of the first member of the first team. `template` is the task that is copied.
CREATE PROCEDURE bench.fill(teams integer, users integer, tasks integer, template uuid, caller bytea)
    LANGUAGE plpgsql AS $$
DECLARE at_once CONSTANT integer := 2000;
BEGIN
    CREATE TABLE bench.teams AS SELECT n, bench.id(now()) AS id FROM generate_series(1, teams) n;
    CREATE TABLE bench.users AS
        SELECT n, bench.id(now()) AS id, (n - 1) % teams + 1 AS team FROM generate_series(1, users) n;
    CREATE TABLE bench.tasks AS
        SELECT every.n, bench.id(at) AS id, at, u.id AS user_id, t.id AS team, every.n % 400 AS repository FROM (
            SELECT n, now() - (tasks - n) * interval '1 minute' AS at, (n * 7919::bigint) % users + 1 AS who
            FROM generate_series(1, tasks) n
        ) every JOIN bench.users u ON u.n = every.who JOIN bench.teams t ON t.n = u.team;
    CREATE UNIQUE INDEX ON bench.tasks (n);
    INSERT INTO teams (id, name) SELECT id, 'team-' || n FROM bench.teams;
    INSERT INTO users (id, issuer, subject, name) SELECT id, 'local', 'user-' || n, 'user-' || n FROM bench.users;
    INSERT INTO members (team, user_id, role)
        SELECT t.id, u.id, CASE WHEN u.n <= teams THEN 'admin' WHEN u.n % 5 = 0 THEN 'viewer' ELSE 'member' END
        FROM bench.users u JOIN bench.teams t ON t.n = u.team;
    INSERT INTO api_keys (team, id, user_id, name, prefix, hash)
        SELECT t.id, bench.id(now()), u.id, 'bench', 'jm_bench',
            CASE WHEN u.n = 1 THEN caller ELSE sha256(convert_to(u.id::text, 'UTF8')) END
        FROM bench.users u JOIN bench.teams t ON t.n = u.team;
    INSERT INTO memories (team, id, user_id, text, kind, scope, repository, state, origin)
        SELECT t.id, bench.id(now()), u.id, 'Lesson ' || m || ' of ' || u.n || ': run the checks of package ' || (u.n * m) % 997
            || ' before you say that the work is done', 'lesson', 'user', NULL, 'active', 'user'
        FROM bench.users u JOIN bench.teams t ON t.n = u.team, generate_series(1, 10) m;
    COMMIT;
    FOR lowest IN 1..tasks BY at_once LOOP
        EXECUTE format('CREATE OR REPLACE VIEW bench.some AS SELECT * FROM bench.tasks WHERE n >= %s AND n < %s', lowest, lowest + at_once);
        PERFORM bench.copy('tasks', '{"team": "s.team", "id": "s.id", "created_by": "s.user_id", "created_at": "s.at",
            "updated_at": "s.at", "started_at": "s.at", "finished_at": "s.at",
            "title": "''task '' || s.n || '' of area '' || s.n % 1009", "repository": "''https://git.example.com/r'' || s.repository"}',
            format('bench.some s WHERE t.id = %L', template));
        PERFORM bench.copy('task_heads', '{"team": "s.team", "task": "s.id"}', format('bench.some s WHERE t.task = %L', template));
        PERFORM bench.copy('task_events', '{"team": "s.team", "task": "s.id", "at": "s.at + t.seq * interval ''1 second''",
            "xid": "pg_current_xact_id()"}', format('bench.some s WHERE t.task = %L', template));
        PERFORM bench.copy('usage_days', '{"team": "s.team", "task": "s.id", "user_id": "s.user_id", "day": "s.at::date"}',
            format('bench.some s WHERE t.task = %L', template));
        COMMIT;
    END LOOP;
END $$;

-- The newest tasks of so many users become queued ones.
CREATE PROCEDURE bench.queue(many integer, whose integer) LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO jobs (team, id, kind, user_id, log_version)
        SELECT t.team, t.id, 'run_task', t.user_id, 0 FROM bench.tasks t JOIN bench.users u ON u.id = t.user_id
        WHERE u.n <= whose ORDER BY t.n DESC LIMIT many;
    UPDATE tasks SET status = 'queued', verdict = NULL, finished_at = NULL FROM jobs WHERE jobs.id = tasks.id AND jobs.team = tasks.team;
END $$;
