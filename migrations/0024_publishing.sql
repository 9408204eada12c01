-- What goes outward. A wish to publish is a row with a job of its id; at most one of a task is open.
CREATE TABLE publishings (
    team uuid NOT NULL,
    id uuid NOT NULL,
    task uuid NOT NULL,
    run integer NOT NULL,
    -- Who asked for it.
    user_id uuid NOT NULL,
    state text NOT NULL DEFAULT 'requested'
        CHECK (state IN ('requested', 'waiting_approval', 'done', 'conflict', 'failed', 'denied')),
    branch text NOT NULL,
    pull_request boolean NOT NULL DEFAULT false,
    -- As asked; absent: from the task.
    title text,
    body text,
    -- What is published: the task's patch as it was then, and the commit that it applies to.
    url text NOT NULL,
    reference text,
    base text NOT NULL,
    patch text NOT NULL,
    -- The question to people whether it may go out, where one was put.
    approval uuid,
    -- JSON: what commit and pull request say, made once; gone when it is done.
    composed text,
    commit_id text,
    pull_request_url text,
    -- Why it is not done, or not all of it; for people.
    reason text,
    -- Times that it was tried and could not be done.
    failures integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    done_at timestamptz,
    PRIMARY KEY (team, id),
    FOREIGN KEY (team, task) REFERENCES tasks ON DELETE CASCADE
);
CREATE INDEX publishings_task ON publishings (team, task, id);
CREATE UNIQUE INDEX publishings_open ON publishings (team, task) WHERE done_at IS NULL;
CREATE INDEX publishings_user ON publishings (user_id) WHERE title IS NOT NULL OR body IS NOT NULL;

-- Each act outward: its row stands before it is tried, and says afterwards what came of it. One that stands without an outcome
-- is looked for before it is tried again.
CREATE TABLE outward_acts (
    team uuid NOT NULL,
    id uuid NOT NULL,
    task uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('push', 'pull_request', 'comment')),
    -- Where it goes to.
    target text NOT NULL,
    -- What makes it the same act.
    key text NOT NULL,
    -- JSON: what is done.
    intent text NOT NULL,
    -- JSON: what it came to; absent: not known.
    outcome text,
    tries integer NOT NULL DEFAULT 1,
    intended_at timestamptz NOT NULL DEFAULT now(),
    done_at timestamptz,
    PRIMARY KEY (team, id),
    CONSTRAINT outward_acts_once UNIQUE (team, task, kind, key),
    FOREIGN KEY (team, task) REFERENCES tasks ON DELETE CASCADE
);
CREATE INDEX outward_acts_target ON outward_acts (team, task, kind, target);

DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['publishings', 'outward_acts'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY one_team ON %I TO journeyman_app USING (team = current_team()) WITH CHECK (team = current_team())', name);
        EXECUTE format('CREATE POLICY all_teams ON %I TO journeyman_worker USING (true) WITH CHECK (true)', name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE ON %I TO journeyman_app, journeyman_worker', name);
    END LOOP;
END $$;
