-- Tenancy, the task log, the queue, blobs, memory. Three roles: the owner, who migrates; journeyman_app, which row-level
-- security confines to the one team in the setting app.team; journeyman_worker, which works across teams. The roles
-- themselves belong to the cluster and are made before the first migration (store::roles).

CREATE FUNCTION current_team() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ SELECT nullif(current_setting('app.team', true), '')::uuid $$;

CREATE TABLE teams (
    id uuid PRIMARY KEY,
    name text NOT NULL CONSTRAINT teams_name_unique UNIQUE,
    limits text NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now()
);

-- A user is (issuer, subject): the issuer of a JWT, or 'local' for users made by an administrator.
CREATE TABLE users (
    id uuid PRIMARY KEY,
    issuer text NOT NULL,
    subject text NOT NULL,
    name text NOT NULL,
    email text,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT users_identity_unique UNIQUE (issuer, subject)
);

CREATE TABLE members (
    team uuid NOT NULL REFERENCES teams ON DELETE CASCADE,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    role text NOT NULL CHECK (role IN ('viewer', 'member', 'admin')),
    limits text NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (team, user_id)
);
CREATE INDEX members_user ON members (user_id);

CREATE TABLE api_keys (
    team uuid NOT NULL REFERENCES teams ON DELETE CASCADE,
    id uuid NOT NULL,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    name text NOT NULL,
    prefix text NOT NULL,
    -- SHA-256 of the key; keys are 32 random bytes, so no slow hash is needed.
    hash bytea NOT NULL CONSTRAINT api_keys_hash_unique UNIQUE,
    scopes text[],
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    last_used_at timestamptz,
    revoked_at timestamptz,
    PRIMARY KEY (team, id)
);

CREATE TABLE tasks (
    team uuid NOT NULL REFERENCES teams ON DELETE CASCADE,
    id uuid NOT NULL CONSTRAINT tasks_id_unique UNIQUE,
    created_by uuid NOT NULL REFERENCES users,
    title text NOT NULL,
    request text NOT NULL,
    status text NOT NULL,
    waiting_for text,
    phase text NOT NULL DEFAULT 'analysis',
    verdict text,
    cancel_requested boolean NOT NULL DEFAULT false,
    run integer NOT NULL DEFAULT 1,
    priority smallint NOT NULL DEFAULT 0,
    source_kind text NOT NULL,
    repository text,
    labels jsonb NOT NULL DEFAULT '{}',
    -- domain::TaskSpec and domain::task::TaskDetail as JSON text; text, because jsonb cannot hold every string.
    spec text NOT NULL,
    detail text NOT NULL DEFAULT '{}',
    log_version integer NOT NULL,
    last_seq bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    finished_at timestamptz,
    search tsvector GENERATED ALWAYS AS (to_tsvector('simple', title || ' ' || left(request, 100000))) STORED,
    PRIMARY KEY (team, id)
) WITH (fillfactor = 70);
CREATE INDEX tasks_newest ON tasks (team, created_at DESC, id DESC);
CREATE INDEX tasks_status ON tasks (team, status, created_at DESC, id DESC);
CREATE INDEX tasks_search ON tasks USING gin (search);
CREATE INDEX tasks_labels ON tasks USING gin (labels);

-- The narrow row whose lock orders a task's log. The epoch fences workers that lost their lease.
CREATE TABLE task_heads (
    team uuid NOT NULL,
    task uuid NOT NULL,
    last_seq bigint NOT NULL DEFAULT 0,
    epoch bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (task),
    FOREIGN KEY (team, task) REFERENCES tasks ON DELETE CASCADE
) WITH (fillfactor = 50);

CREATE TABLE task_events (
    team uuid NOT NULL,
    task uuid NOT NULL,
    seq bigint NOT NULL,
    run integer NOT NULL,
    turn integer NOT NULL,
    at timestamptz NOT NULL,
    kind text NOT NULL,
    -- JSON texts: what everybody may read, and what only the fold reads.
    data text NOT NULL,
    private text,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    -- No foreign key: it would lock the task's row once for every event. Whoever deletes a task deletes its events.
    PRIMARY KEY (task, seq)
);
CREATE INDEX task_events_xid ON task_events (xid);

-- The queue: a row is work that is due or leased. The job of a task has the task's id.
CREATE TABLE jobs (
    team uuid NOT NULL,
    id uuid NOT NULL PRIMARY KEY,
    kind text NOT NULL,
    user_id uuid NOT NULL,
    priority smallint NOT NULL DEFAULT 0,
    ready_at timestamptz NOT NULL DEFAULT now(),
    log_version integer NOT NULL DEFAULT 0,
    attempts integer NOT NULL DEFAULT 0,
    -- The process that holds it, the data directory that the process has locked, and until when.
    lease_replica uuid,
    lease_host uuid,
    lease_until timestamptz,
    payload text NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);
CREATE INDEX jobs_ready ON jobs (kind, team, user_id, priority DESC, ready_at) WHERE lease_replica IS NULL;
CREATE INDEX jobs_leased ON jobs (lease_until) WHERE lease_replica IS NOT NULL;

CREATE TABLE blobs (
    team uuid NOT NULL REFERENCES teams ON DELETE CASCADE,
    -- SHA-256, lower-case hex.
    hash text NOT NULL,
    size bigint NOT NULL,
    -- Absent where the content lies in the object store.
    content bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (team, hash)
);

CREATE TABLE uploads (
    team uuid NOT NULL REFERENCES teams ON DELETE CASCADE,
    id uuid NOT NULL,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    kind text NOT NULL CHECK (kind IN ('tar_gz', 'bundle')),
    size bigint NOT NULL,
    hash text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (team, id)
);

CREATE TABLE approvals (
    team uuid NOT NULL,
    id uuid NOT NULL,
    task uuid NOT NULL,
    kind text NOT NULL,
    subject text NOT NULL,
    deadline timestamptz NOT NULL,
    default_decision text NOT NULL,
    decision text,
    decided_by uuid,
    decided_at timestamptz,
    note text,
    answer text,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (team, id),
    FOREIGN KEY (team, task) REFERENCES tasks ON DELETE CASCADE
);
CREATE INDEX approvals_task ON approvals (team, task, created_at);
CREATE INDEX approvals_pending ON approvals (deadline) WHERE decision IS NULL;

CREATE TABLE feedback (
    team uuid NOT NULL,
    id uuid NOT NULL,
    task uuid NOT NULL,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    rating text NOT NULL CHECK (rating IN ('up', 'down')),
    comment text,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (team, id),
    FOREIGN KEY (team, task) REFERENCES tasks ON DELETE CASCADE
);

CREATE TABLE memories (
    team uuid NOT NULL REFERENCES teams ON DELETE CASCADE,
    id uuid NOT NULL,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    text text NOT NULL,
    kind text NOT NULL,
    scope text NOT NULL,
    repository text,
    state text NOT NULL,
    origin text NOT NULL,
    evidence text,
    used integer NOT NULL DEFAULT 0,
    helped integer NOT NULL DEFAULT 0,
    hurt integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    search tsvector GENERATED ALWAYS AS (to_tsvector('english', text)) STORED,
    PRIMARY KEY (team, id)
);
CREATE INDEX memories_owner ON memories (team, user_id, state);
CREATE INDEX memories_repository ON memories (team, repository, state);
CREATE INDEX memories_search ON memories USING gin (search);

CREATE TABLE idempotency_keys (
    team uuid NOT NULL REFERENCES teams ON DELETE CASCADE,
    user_id uuid NOT NULL,
    route text NOT NULL,
    key text NOT NULL,
    -- SHA-256 of the request's body.
    fingerprint bytea NOT NULL,
    -- Absent while the first request is under way.
    status smallint,
    headers text,
    body bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (team, user_id, route, key)
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);

-- What a check gave on a base tree, so that it is run once.
CREATE TABLE baselines (
    team uuid NOT NULL REFERENCES teams ON DELETE CASCADE,
    -- SHA-256 over base tree, command, workdir and environment.
    key text NOT NULL,
    -- domain::check::CheckRun as JSON.
    run text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (team, key)
);

CREATE TABLE audit_log (
    team uuid NOT NULL,
    id uuid NOT NULL,
    user_id uuid,
    action text NOT NULL,
    subject text NOT NULL,
    detail text NOT NULL DEFAULT '{}',
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (team, id)
);

GRANT USAGE ON SCHEMA public TO journeyman_app, journeyman_worker;
GRANT EXECUTE ON FUNCTION current_team() TO journeyman_app, journeyman_worker;

-- Every table of a team: the app role sees the rows of app.team alone, the worker role sees all.
DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['members', 'api_keys', 'tasks', 'task_heads', 'task_events', 'jobs', 'blobs', 'uploads',
        'approvals', 'feedback', 'memories', 'idempotency_keys', 'baselines', 'audit_log']
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY one_team ON %I TO journeyman_app USING (team = current_team()) WITH CHECK (team = current_team())', name);
        EXECUTE format('CREATE POLICY all_teams ON %I TO journeyman_worker USING (true) WITH CHECK (true)', name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO journeyman_app, journeyman_worker', name);
    END LOOP;
END $$;
REVOKE UPDATE, DELETE ON audit_log FROM journeyman_app, journeyman_worker;

ALTER TABLE teams ENABLE ROW LEVEL SECURITY;
ALTER TABLE teams FORCE ROW LEVEL SECURITY;
CREATE POLICY one_team ON teams TO journeyman_app USING (id = current_team());
CREATE POLICY all_teams ON teams TO journeyman_worker USING (true) WITH CHECK (true);
GRANT SELECT, UPDATE ON teams TO journeyman_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON teams TO journeyman_worker;

ALTER TABLE users ENABLE ROW LEVEL SECURITY;
ALTER TABLE users FORCE ROW LEVEL SECURITY;
CREATE POLICY one_team ON users TO journeyman_app
    USING (EXISTS (SELECT 1 FROM members WHERE members.team = current_team() AND members.user_id = users.id));
CREATE POLICY all_teams ON users TO journeyman_worker USING (true) WITH CHECK (true);
GRANT SELECT ON users TO journeyman_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON users TO journeyman_worker;

-- Workers answer whether the database is migrated.
GRANT SELECT ON _sqlx_migrations TO journeyman_app, journeyman_worker;
