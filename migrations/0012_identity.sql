-- Identity: operators of the instance, users who are deactivated, where a membership comes from, keys that follow others,
-- browser sessions, accounts at forges and trackers, and news of what no longer holds.

ALTER TABLE users
    ADD COLUMN operator boolean NOT NULL DEFAULT false,
    ADD COLUMN deactivated_at timestamptz;
CREATE INDEX users_email ON users (lower(email)) WHERE email IS NOT NULL;

-- Who made the membership: people, the claim of a token, or a group of the identity provider, with which it goes.
ALTER TABLE members ADD COLUMN origin text NOT NULL DEFAULT 'manual'
    CONSTRAINT members_origin CHECK (origin IN ('manual', 'token', 'groups'));

-- Whom an admin has removed: tokens and groups do not bring him back, an admin does.
CREATE TABLE removed_members (
    team uuid NOT NULL REFERENCES teams ON DELETE CASCADE,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    removed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (team, user_id)
);

-- The key that follows one that was rotated.
ALTER TABLE api_keys ADD COLUMN followed_by uuid;
CREATE INDEX api_keys_user ON api_keys (user_id, team) WHERE revoked_at IS NULL;

CREATE INDEX tasks_unfinished_by ON tasks (created_by, id) WHERE status IN ('queued', 'running', 'waiting');

-- Browser sessions are a user's, in whatever team he works. The cookie's SHA-256, as with keys.
CREATE TABLE sessions (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    hash bytea NOT NULL CONSTRAINT sessions_hash_unique UNIQUE,
    user_agent text,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz NOT NULL DEFAULT now(),
    -- Whatever happens, and unless it is used before.
    expires_at timestamptz NOT NULL,
    idle_expires_at timestamptz NOT NULL
);
CREATE INDEX sessions_user ON sessions (user_id, id);
CREATE INDEX sessions_age ON sessions (expires_at);

-- Accounts of a team's members elsewhere. Who is known there by a login is known here once the link is confirmed.
CREATE TABLE linked_accounts (
    team uuid NOT NULL,
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    provider text NOT NULL CONSTRAINT linked_accounts_provider
        CHECK (provider IN ('github', 'gitlab', 'gitea', 'jira', 'linear')),
    -- Lower case, perhaps with a port.
    host text NOT NULL,
    login text NOT NULL,
    state text NOT NULL CONSTRAINT linked_accounts_state CHECK (state IN ('proposed', 'confirmed')),
    -- Absent: the service found it.
    proposed_by uuid,
    confirmed_by uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    confirmed_at timestamptz,
    PRIMARY KEY (team, id),
    FOREIGN KEY (team, user_id) REFERENCES members ON DELETE CASCADE
);
CREATE UNIQUE INDEX linked_accounts_login ON linked_accounts (team, provider, host, lower(login));
CREATE INDEX linked_accounts_user ON linked_accounts (team, user_id);

-- News for all replicas: a credential, a membership, a session or a user no longer holds as it did. Each replica looks at
-- the newest every second and forgets what it remembered of them; rows are of use for seconds.
CREATE TABLE endings (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    user_id uuid,
    team uuid,
    api_key uuid,
    session uuid
);
CREATE INDEX endings_at ON endings (at);

-- Whoever changes such a row tells, whether he thought of it or not.
CREATE FUNCTION tell_ending() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    CASE TG_TABLE_NAME
        WHEN 'users' THEN INSERT INTO endings (user_id) VALUES (OLD.id);
        WHEN 'members' THEN INSERT INTO endings (user_id, team) VALUES (OLD.user_id, OLD.team);
        WHEN 'api_keys' THEN INSERT INTO endings (team, api_key) VALUES (OLD.team, OLD.id);
        WHEN 'sessions' THEN INSERT INTO endings (session) VALUES (OLD.id);
    END CASE;
    RETURN NULL;
END $$;
REVOKE EXECUTE ON FUNCTION tell_ending() FROM PUBLIC;
CREATE TRIGGER tell_ending AFTER UPDATE OF operator, deactivated_at OR DELETE ON users
    FOR EACH ROW EXECUTE FUNCTION tell_ending();
CREATE TRIGGER tell_ending AFTER UPDATE OF role OR DELETE ON members FOR EACH ROW EXECUTE FUNCTION tell_ending();
CREATE TRIGGER tell_ending AFTER UPDATE OF revoked_at, expires_at, scopes OR DELETE ON api_keys
    FOR EACH ROW EXECUTE FUNCTION tell_ending();
CREATE TRIGGER tell_ending AFTER DELETE ON sessions FOR EACH ROW EXECUTE FUNCTION tell_ending();

DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['removed_members', 'linked_accounts'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY one_team ON %I TO journeyman_app USING (team = current_team()) WITH CHECK (team = current_team())', name);
        EXECUTE format('CREATE POLICY all_teams ON %I TO journeyman_worker USING (true) WITH CHECK (true)', name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO journeyman_app, journeyman_worker', name);
    END LOOP;
    -- No team's: nothing for the role that works in one.
    FOREACH name IN ARRAY ARRAY['sessions', 'endings', 'task_watches', 'live_pieces'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY all_teams ON %I TO journeyman_worker USING (true) WITH CHECK (true)', name);
    END LOOP;
END $$;
GRANT SELECT, INSERT, UPDATE, DELETE ON sessions TO journeyman_worker;
GRANT SELECT, DELETE ON endings TO journeyman_worker;
-- Forced row security would keep the trigger's rows out, which are written as the tables' owner.
CREATE POLICY trigger_writes ON endings FOR INSERT TO CURRENT_USER WITH CHECK (true);
