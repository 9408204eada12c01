-- Where a team has its events sent, what signs them, and what was sent.
CREATE TABLE webhook_endpoints (
    team uuid NOT NULL REFERENCES teams ON DELETE CASCADE,
    id uuid NOT NULL,
    url text NOT NULL,
    -- Kinds of events, `task.*` and the like, or `*`.
    events text[] NOT NULL,
    description text NOT NULL,
    enabled boolean NOT NULL DEFAULT true,
    -- Why the service disabled it; null where a person did, or nobody.
    disabled_reason text CHECK (disabled_reason IN ('gone', 'failing')),
    disabled_at timestamptz,
    -- Since when nothing has arrived; null once something did.
    failing_since timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (team, id)
);

-- What signs an endpoint's deliveries, sealed as in environment_secrets: the newest, and those before it for a while.
CREATE TABLE webhook_secrets (
    team uuid NOT NULL,
    endpoint uuid NOT NULL,
    -- An id of its own.
    name text NOT NULL,
    key_id text NOT NULL,
    wrapped_key bytea NOT NULL,
    sealed bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- Of one that another follows.
    ends_at timestamptz,
    PRIMARY KEY (team, endpoint, name),
    FOREIGN KEY (team, endpoint) REFERENCES webhook_endpoints ON DELETE CASCADE
);
CREATE INDEX webhook_secrets_key ON webhook_secrets (key_id);

-- An id as the service makes them (UUIDv7, RFC 9562), for rows whose number the service does not know.
CREATE FUNCTION new_id() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
    SELECT encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
        PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6), 52, 1), 53, 1), 'hex')::uuid
$$;
GRANT EXECUTE ON FUNCTION new_id() TO journeyman_app, journeyman_worker;

-- What an endpoint is sent of an event; `facts` stand behind the other fields.
CREATE FUNCTION webhook_body(kind text, at timestamptz, team uuid, task uuid, run integer, turn integer, seq bigint, facts text)
    RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT '{"type":"' || kind || '","timestamp":"' || to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
        || '","data":{"team":"' || team || '","task":"' || task || '","run":' || run || ',"turn":' || turn || ',"seq":' || seq
        || facts || '}}'
$$;
GRANT EXECUTE ON FUNCTION webhook_body(text, timestamptz, uuid, uuid, integer, integer, bigint, text)
    TO journeyman_app, journeyman_worker;

-- One for each event and endpoint that wants it, written with the event. It names its endpoint and task and points at neither: a
-- commit to a log is not to lock, or to wait for, what every other one of the team locks. What is left over is trimmed.
CREATE TABLE webhook_deliveries (
    team uuid NOT NULL,
    -- `webhook-id`: the same at every attempt.
    id uuid NOT NULL DEFAULT new_id(),
    endpoint uuid NOT NULL,
    kind text NOT NULL,
    -- Of an event of a task's log.
    task uuid,
    seq bigint,
    -- What is sent, to the byte.
    body text NOT NULL,
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'dead')),
    -- When it is tried next; of one that is under way, when its attempt counts as lost.
    due_at timestamptz NOT NULL DEFAULT now(),
    -- How often it was claimed: fences who claimed it before.
    claim integer NOT NULL DEFAULT 0,
    attempts integer NOT NULL DEFAULT 0,
    -- Attempts since it was made, or was last to be sent again.
    round integer NOT NULL DEFAULT 0,
    -- Of the last attempt.
    attempted_at timestamptz,
    duration_ms integer,
    status_code integer,
    error text,
    answer text,
    created_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    PRIMARY KEY (team, id)
);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (team, endpoint, due_at) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_listed ON webhook_deliveries (team, endpoint, id);
CREATE INDEX webhook_deliveries_old ON webhook_deliveries (finished_at) WHERE state <> 'pending';

DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['webhook_endpoints', 'webhook_secrets', 'webhook_deliveries'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY one_team ON %I TO journeyman_app USING (team = current_team()) WITH CHECK (team = current_team())', name);
        EXECUTE format('CREATE POLICY all_teams ON %I TO journeyman_worker USING (true) WITH CHECK (true)', name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO journeyman_app', name);
        EXECUTE format('GRANT SELECT, UPDATE ON %I TO journeyman_worker', name);
    END LOOP;
END $$;
GRANT INSERT, DELETE ON webhook_deliveries TO journeyman_worker;
