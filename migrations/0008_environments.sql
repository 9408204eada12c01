-- Environments, their secrets, and what reaches private repositories. Secrets are sealed before they come here
-- (secrets::seal): the value under a key of its own, that key under the master key whose id stands beside it.
CREATE TABLE environments (
    team uuid NOT NULL REFERENCES teams ON DELETE CASCADE,
    id uuid NOT NULL,
    name text NOT NULL,
    -- domain::environment::EnvironmentSpec as JSON text.
    spec text NOT NULL,
    snapshot_state text NOT NULL DEFAULT 'none' CHECK (snapshot_state IN ('none', 'building', 'ready', 'failed')),
    snapshot_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (team, id),
    CONSTRAINT environments_name_unique UNIQUE (team, name)
);

CREATE TABLE environment_secrets (
    team uuid NOT NULL,
    environment uuid NOT NULL,
    name text NOT NULL,
    use text NOT NULL CHECK (use IN ('setup', 'broker')),
    hosts text[] NOT NULL DEFAULT '{}',
    key_id text NOT NULL,
    wrapped_key bytea NOT NULL,
    sealed bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (team, environment, name),
    CONSTRAINT environment_secrets_environment FOREIGN KEY (team, environment) REFERENCES environments ON DELETE CASCADE
);
CREATE INDEX environment_secrets_key ON environment_secrets (key_id);

CREATE TABLE git_credentials (
    team uuid NOT NULL REFERENCES teams ON DELETE CASCADE,
    id uuid NOT NULL,
    -- A host name, perhaps with a port, lower case.
    host text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('token', 'ssh')),
    username text,
    -- Globs of repositories' paths; null: all of the host.
    repositories text[],
    known_hosts text,
    key_id text NOT NULL,
    wrapped_key bytea NOT NULL,
    sealed bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (team, id)
);
CREATE INDEX git_credentials_host ON git_credentials (team, kind, host);
CREATE INDEX git_credentials_key ON git_credentials (key_id);

DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['environments', 'environment_secrets', 'git_credentials'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY one_team ON %I TO journeyman_app USING (team = current_team()) WITH CHECK (team = current_team())', name);
        EXECUTE format('CREATE POLICY all_teams ON %I TO journeyman_worker USING (true) WITH CHECK (true)', name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO journeyman_app', name);
        -- Workers read, say how a setup went, and wrap keys anew.
        EXECUTE format('GRANT SELECT, UPDATE ON %I TO journeyman_worker', name);
    END LOOP;
END $$;
