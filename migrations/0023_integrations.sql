-- Integrations with issue trackers, what trackers have told, and which task an issue has.
CREATE TABLE integrations (
    team uuid NOT NULL REFERENCES teams ON DELETE CASCADE,
    id uuid NOT NULL,
    name text NOT NULL,
    tracker text NOT NULL CHECK (tracker IN ('github', 'gitlab', 'gitea', 'jira', 'linear')),
    -- In whose name tasks are made for people who are no members.
    owner uuid NOT NULL,
    -- domain::integration::IntegrationSpec as JSON text.
    spec text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (team, id),
    CONSTRAINT integrations_name_unique UNIQUE (team, name)
);
-- A hook's address has its id alone.
CREATE UNIQUE INDEX integrations_id ON integrations (id);

-- What signs a hook's requests, and what the tracker is asked with (`token`). Sealed as those of environments are.
CREATE TABLE integration_secrets (
    team uuid NOT NULL,
    integration uuid NOT NULL,
    -- `token`, or `secret` and an id: a seal is bound to its name, and one secret follows another.
    name text NOT NULL,
    -- Another has followed it: until then it is still believed.
    until timestamptz,
    key_id text NOT NULL,
    wrapped_key bytea NOT NULL,
    sealed bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (team, integration, name),
    CONSTRAINT integration_secrets_integration FOREIGN KEY (team, integration) REFERENCES integrations ON DELETE CASCADE
);
CREATE INDEX integration_secrets_key ON integration_secrets (key_id);
CREATE INDEX integration_secrets_of ON integration_secrets (integration);

CREATE TABLE tracker_deliveries (
    team uuid NOT NULL,
    id uuid NOT NULL,
    integration uuid NOT NULL,
    -- The tracker's own id of it.
    delivery text NOT NULL,
    -- What it asks for, the same under whatever id it comes; null where that is nothing.
    meaning text,
    event text NOT NULL,
    sender text NOT NULL DEFAULT '',
    -- Its issue's key.
    issue text,
    -- trackers::Delivery as JSON text; null where there is nothing in it to be worked off.
    content text,
    state text NOT NULL CHECK (state IN ('waiting', 'done', 'ignored', 'failed')),
    reason text NOT NULL DEFAULT '',
    -- The member whose account the sender's is.
    user_id uuid,
    task uuid,
    attempts integer NOT NULL DEFAULT 0,
    ready_at timestamptz NOT NULL DEFAULT now(),
    -- Whoever works on it has it until then.
    lease_until timestamptz,
    received_at timestamptz NOT NULL DEFAULT now(),
    done_at timestamptz,
    PRIMARY KEY (team, id),
    CONSTRAINT tracker_deliveries_once UNIQUE (integration, delivery),
    CONSTRAINT tracker_deliveries_integration FOREIGN KEY (team, integration) REFERENCES integrations ON DELETE CASCADE
);
CREATE UNIQUE INDEX tracker_deliveries_meaning ON tracker_deliveries (integration, meaning) WHERE meaning IS NOT NULL;
CREATE INDEX tracker_deliveries_due ON tracker_deliveries (ready_at) WHERE state = 'waiting';
CREATE INDEX tracker_deliveries_waiting ON tracker_deliveries (integration, issue) WHERE state = 'waiting';
CREATE INDEX tracker_deliveries_newest ON tracker_deliveries (team, integration, id DESC);
CREATE INDEX tracker_deliveries_age ON tracker_deliveries (received_at);
CREATE INDEX tracker_deliveries_user ON tracker_deliveries (user_id) WHERE user_id IS NOT NULL;

-- The task that an issue or a pull request has, the last where there were several.
CREATE TABLE tracker_issues (
    team uuid NOT NULL,
    integration uuid NOT NULL,
    issue text NOT NULL,
    task uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (team, integration, issue),
    CONSTRAINT tracker_issues_integration FOREIGN KEY (team, integration) REFERENCES integrations ON DELETE CASCADE,
    CONSTRAINT tracker_issues_task FOREIGN KEY (team, task) REFERENCES tasks ON DELETE SET NULL (task)
);
CREATE INDEX tracker_issues_of ON tracker_issues (integration, issue);
CREATE INDEX tracker_issues_task ON tracker_issues (team, task) WHERE task IS NOT NULL;

DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['integrations', 'integration_secrets', 'tracker_deliveries', 'tracker_issues'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY one_team ON %I TO journeyman_app USING (team = current_team()) WITH CHECK (team = current_team())', name);
        EXECUTE format('CREATE POLICY all_teams ON %I TO journeyman_worker USING (true) WITH CHECK (true)', name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO journeyman_app', name);
        -- Hooks come without a team; workers wrap keys anew, claim what has come, and let go of what is old.
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO journeyman_worker', name);
    END LOOP;
END $$;
