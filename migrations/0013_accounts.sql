-- The audit log says who, from where, on what and with which result. A row of the whole instance has the nil team, which is
-- nobody's. It holds no names: a user who is erased stays here as an id that says nothing.
ALTER TABLE audit_log
    ADD COLUMN actor text NOT NULL DEFAULT 'user',
    ADD COLUMN api_key uuid,
    ADD COLUMN session uuid,
    -- The user for whom it was done, where that is another.
    ADD COLUMN on_behalf_of uuid,
    ADD COLUMN subject_kind text NOT NULL DEFAULT '',
    ADD COLUMN result text NOT NULL DEFAULT 'ok' CONSTRAINT audit_log_result CHECK (result IN ('ok', 'refused')),
    -- The caller's address as the service knows it; absent for what no request asked for.
    ADD COLUMN address text,
    ADD COLUMN request uuid,
    ADD CONSTRAINT audit_log_actor CHECK (actor IN ('user', 'operator', 'service')),
    ADD CONSTRAINT audit_log_detail CHECK (octet_length(detail) <= 4096);
CREATE INDEX audit_log_newest ON audit_log (team, at DESC, id DESC);
CREATE INDEX audit_log_user ON audit_log (team, user_id, at DESC, id DESC);
CREATE INDEX audit_log_action ON audit_log (team, action, at DESC, id DESC);
CREATE INDEX audit_log_subject ON audit_log (team, subject, at DESC, id DESC);
CREATE INDEX audit_log_age ON audit_log (at);

-- Nobody whom the service works as changes or removes a row. What is old goes through this alone, and nothing that is younger
-- than thirty days. Forced row security would hide the rows from their owner too.
CREATE POLICY retention ON audit_log TO CURRENT_USER USING (true);
CREATE FUNCTION trim_audit_log(before timestamptz, most integer) RETURNS bigint
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
        WITH old AS (
            SELECT team, id FROM audit_log WHERE at < least(before, now() - interval '30 days') ORDER BY at LIMIT most
        ), gone AS (
            DELETE FROM audit_log USING old WHERE audit_log.team = old.team AND audit_log.id = old.id RETURNING audit_log.id
        )
        SELECT count(*) FROM gone
    $$;
REVOKE EXECUTE ON FUNCTION trim_audit_log(timestamptz, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION trim_audit_log(timestamptz, integer) TO journeyman_worker;

-- What was used, by day, task and model. A row is added to by the statement that writes the call's own events, so that it is
-- counted once or not at all. It outlives its task, its user and its team, and points at none of them.
CREATE TABLE usage_days (
    team uuid NOT NULL,
    -- UTC.
    day date NOT NULL,
    task uuid NOT NULL,
    model text NOT NULL,
    user_id uuid NOT NULL,
    repository text,
    labels jsonb NOT NULL DEFAULT '{}',
    -- Calls that began, that were answered with their usage, and of these the ones whose price nobody knew.
    model_calls bigint NOT NULL DEFAULT 0,
    counted_calls bigint NOT NULL DEFAULT 0,
    unpriced_calls bigint NOT NULL DEFAULT 0,
    input_tokens bigint NOT NULL DEFAULT 0,
    cached_input_tokens bigint NOT NULL DEFAULT 0,
    output_tokens bigint NOT NULL DEFAULT 0,
    -- Billionths of a US dollar, at the prices of the moment.
    cost_nano bigint NOT NULL DEFAULT 0,
    saved_nano bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (team, day, task, model)
);
CREATE INDEX usage_days_user ON usage_days (user_id);

-- How long a team's ended tasks and their history are kept, as JSON; what is absent is as the instance has it.
ALTER TABLE teams ADD COLUMN retention text NOT NULL DEFAULT '{}';

-- What an operator has stopped: new work of the instance (the nil team) or of a team, all work, a model.
CREATE TABLE switches (
    kind text NOT NULL CHECK (kind IN ('pause', 'drain', 'model')),
    team uuid NOT NULL,
    -- Of a model; empty for the others.
    name text NOT NULL,
    -- Of a pause: running tasks rest too.
    running boolean NOT NULL DEFAULT false,
    set_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, team, name)
);
ALTER TABLE switches ENABLE ROW LEVEL SECURITY;
ALTER TABLE switches FORCE ROW LEVEL SECURITY;
CREATE POLICY one_team ON switches TO journeyman_app
    USING (team = current_team() OR team = '00000000-0000-0000-0000-000000000000');
CREATE POLICY all_teams ON switches TO journeyman_worker USING (true) WITH CHECK (true);
GRANT SELECT ON switches TO journeyman_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON switches TO journeyman_worker;

-- Tasks that a switch has put to rest, to be woken once it is off.
CREATE TABLE switch_holds (
    team uuid NOT NULL REFERENCES teams ON DELETE CASCADE,
    task uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('pause', 'model')),
    name text NOT NULL,
    held_at timestamptz NOT NULL DEFAULT now()
);

-- Users whose data goes, and how far it has gone. The row stays: it says that it was done, and of which id.
CREATE TABLE erasures (
    -- Of the admin who asked for it; the nil team where it was the operator.
    team uuid NOT NULL,
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'running', 'done')),
    -- What has gone so far, as JSON.
    done text NOT NULL DEFAULT '{}',
    asked_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    PRIMARY KEY (team, id)
);
CREATE UNIQUE INDEX erasures_open ON erasures (user_id) WHERE state <> 'done';

DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['usage_days', 'switch_holds', 'erasures'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY one_team ON %I TO journeyman_app USING (team = current_team()) WITH CHECK (team = current_team())', name);
        EXECUTE format('CREATE POLICY all_teams ON %I TO journeyman_worker USING (true) WITH CHECK (true)', name);
        EXECUTE format('GRANT SELECT ON %I TO journeyman_app', name);
    END LOOP;
END $$;
GRANT SELECT, INSERT, UPDATE ON usage_days TO journeyman_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON switch_holds TO journeyman_worker;
GRANT INSERT ON erasures TO journeyman_app;
GRANT SELECT, INSERT, UPDATE ON erasures TO journeyman_worker;
