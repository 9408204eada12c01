-- What the service says of a task at its tracker: one comment, which is edited, and that it has seen what people wrote.
CREATE TABLE tracker_answers (
    team uuid NOT NULL,
    task uuid NOT NULL,
    -- The mark of its comment: by it the comment is found again.
    id uuid NOT NULL,
    integration uuid NOT NULL,
    -- trackers::voice::Place as JSON text.
    place text NOT NULL,
    -- What is still to be shown to have been seen: a list of domain::integration::Seen.
    seen jsonb NOT NULL DEFAULT '[]',
    -- The tracker's id of its comment, once there is one.
    comment text,
    -- The hash of what the comment says.
    said text,
    said_at timestamptz,
    -- Counts what has happened to the task since: what comes while the comment is written is not missed.
    news bigint NOT NULL DEFAULT 1,
    -- Null: nothing is new.
    due_at timestamptz DEFAULT now(),
    -- Whoever works on it has it until then.
    lease_until timestamptz,
    attempts bigint NOT NULL DEFAULT 0,
    -- In a row.
    failures integer NOT NULL DEFAULT 0,
    -- Why it could not be said the last time, or is said no more; for people.
    reason text,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (team, task),
    CONSTRAINT tracker_answers_task FOREIGN KEY (team, task) REFERENCES tasks ON DELETE CASCADE,
    CONSTRAINT tracker_answers_integration FOREIGN KEY (team, integration) REFERENCES integrations ON DELETE CASCADE
);
CREATE INDEX tracker_answers_due ON tracker_answers (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX tracker_answers_of ON tracker_answers (team, integration);

-- Where a patch met what others had changed: domain::publish::Conflict as JSON text, and whether its task was told.
ALTER TABLE publishings ADD COLUMN conflict text, ADD COLUMN given_back boolean NOT NULL DEFAULT false;

DO $$
BEGIN
    ALTER TABLE tracker_answers ENABLE ROW LEVEL SECURITY;
    ALTER TABLE tracker_answers FORCE ROW LEVEL SECURITY;
    CREATE POLICY one_team ON tracker_answers TO journeyman_app USING (team = current_team()) WITH CHECK (team = current_team());
    CREATE POLICY all_teams ON tracker_answers TO journeyman_worker USING (true) WITH CHECK (true);
    GRANT SELECT, INSERT, UPDATE ON tracker_answers TO journeyman_app, journeyman_worker;
END $$;
