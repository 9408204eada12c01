-- Erasing a user: what he wrote is found by who wrote it, and what goes is gone whatever crashes.

-- The person whose transaction it is; a worker's has none.
CREATE FUNCTION current_person() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ SELECT nullif(current_setting('app.person', true), '')::uuid $$;
GRANT EXECUTE ON FUNCTION current_person() TO journeyman_app, journeyman_worker;

-- Who wrote an event: names are no ids. In a fork it says who wrote it in the other task.
ALTER TABLE task_events ADD COLUMN by_user uuid;
ALTER TABLE task_events ALTER COLUMN by_user SET DEFAULT current_person();
CREATE INDEX task_events_by_user ON task_events (by_user, task, seq) WHERE by_user IS NOT NULL;

CREATE INDEX tasks_created_by ON tasks (created_by, id);
CREATE INDEX uploads_user ON uploads (user_id);
CREATE INDEX feedback_user ON feedback (user_id);
CREATE INDEX memories_user ON memories (user_id);
CREATE INDEX approvals_decided_by ON approvals (decided_by) WHERE decided_by IS NOT NULL;

ALTER TABLE erasures
    -- Since when no worker may write to his tasks.
    ADD COLUMN fenced_at timestamptz,
    -- The replica that does it has it until then.
    ADD COLUMN lease_until timestamptz;

-- What his tasks and uploads held, until it is let go; and objects without a row, until they are removed.
CREATE TABLE erasure_holders (
    erasure uuid NOT NULL,
    team uuid NOT NULL,
    holder uuid NOT NULL,
    PRIMARY KEY (erasure, holder)
);
CREATE TABLE erasure_objects (
    erasure uuid NOT NULL,
    key text NOT NULL,
    PRIMARY KEY (erasure, key)
);

DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['erasure_holders', 'erasure_objects'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY all_teams ON %I TO journeyman_worker USING (true) WITH CHECK (true)', name);
        EXECUTE format('GRANT SELECT, INSERT, DELETE ON %I TO journeyman_worker', name);
    END LOOP;
END $$;
-- Whose words a team's instructions are is forgotten; the words are the team's.
GRANT UPDATE (author_name) ON team_instructions TO journeyman_worker;
