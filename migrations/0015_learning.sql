-- Memories that are learnt: what further bore them out, what they were made from, what they would take the place of, and
-- each change with what was before and after.
ALTER TABLE memories
    -- JSON: what bore it out after its first evidence, the oldest first.
    ADD COLUMN more_evidence text NOT NULL DEFAULT '[]',
    -- Of a proposal: the memory whose place it takes once somebody confirms it.
    ADD COLUMN replaces uuid,
    -- The person who made a proposal active.
    ADD COLUMN confirmed_by uuid,
    -- What it was made by, so that the same is made once.
    ADD COLUMN made_by text,
    ADD CONSTRAINT memories_replaces FOREIGN KEY (team, replaces) REFERENCES memories (team, id)
        ON DELETE SET NULL (replaces);
CREATE UNIQUE INDEX memories_made_by ON memories (team, made_by) WHERE made_by IS NOT NULL;
CREATE INDEX memories_replaces ON memories (team, replaces) WHERE replaces IS NOT NULL;
-- Those that grow old unused.
CREATE INDEX memories_idle ON memories (coalesce(last_used_at, updated_at)) WHERE state IN ('active', 'proposed');

-- Which memories one was made from; one that has nothing else goes with the last of them.
CREATE TABLE memory_derivations (
    team uuid NOT NULL,
    memory uuid NOT NULL,
    source uuid NOT NULL,
    PRIMARY KEY (team, memory, source),
    FOREIGN KEY (team, memory) REFERENCES memories ON DELETE CASCADE,
    FOREIGN KEY (team, source) REFERENCES memories ON DELETE CASCADE
);
CREATE INDEX memory_derivations_source ON memory_derivations (team, source);

-- JSON objects of the fields that a change touched; of other memories there is their id alone.
ALTER TABLE memory_history ADD COLUMN before text, ADD COLUMN after text;

-- A time that the service tries, or tried, to learn from a task: once for each run that ends and for each thing that
-- somebody says later. Its job has its id. It holds none of the task's words.
CREATE TABLE learnings (
    team uuid NOT NULL,
    id uuid NOT NULL,
    task uuid NOT NULL,
    run integer NOT NULL,
    trigger text NOT NULL CHECK (trigger IN ('run', 'feedback', 'merge', 'decision')),
    -- The feedback, merge or approval; the nil uuid for a run.
    subject uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    -- Whose budget it draws from.
    user_id uuid NOT NULL,
    outcome text CHECK (outcome IN ('learned', 'nothing', 'skipped', 'failed')),
    detail text NOT NULL DEFAULT '',
    memories uuid[] NOT NULL DEFAULT '{}',
    model text,
    calls integer NOT NULL DEFAULT 0,
    input_tokens bigint NOT NULL DEFAULT 0,
    cached_input_tokens bigint NOT NULL DEFAULT 0,
    output_tokens bigint NOT NULL DEFAULT 0,
    -- Of answered calls; absent where their model has no price.
    cost_usd double precision,
    -- What counts as spent, calls whose usage never came at what they may have cost, in billionths of a US dollar; and the
    -- tokens likewise.
    charged bigint NOT NULL DEFAULT 0,
    charged_tokens bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    done_at timestamptz,
    PRIMARY KEY (team, id),
    CONSTRAINT learnings_once UNIQUE (team, task, run, trigger, subject),
    FOREIGN KEY (team, task) REFERENCES tasks ON DELETE CASCADE
);
CREATE INDEX learnings_charged ON learnings (team, created_at) WHERE charged > 0;

-- What became of a task's work where it was taken, as somebody told.
CREATE TABLE merges (
    team uuid NOT NULL,
    id uuid NOT NULL,
    task uuid NOT NULL,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    -- A branch, a tag or a commit; absent where only comments were told.
    reference text,
    -- JSON: what reviewers wrote.
    comments text NOT NULL DEFAULT '[]',
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (team, id),
    FOREIGN KEY (team, task) REFERENCES tasks ON DELETE CASCADE
);
CREATE INDEX merges_task ON merges (team, task);

-- Where a memory that is deleted stands in logs: a row for each task that recalled something.
CREATE INDEX task_events_recalled ON task_events (team, task) WHERE kind = 'memory.used' AND length(data) > 20;

DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['memory_derivations', 'learnings', 'merges'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY one_team ON %I TO journeyman_app USING (team = current_team()) WITH CHECK (team = current_team())', name);
        EXECUTE format('CREATE POLICY all_teams ON %I TO journeyman_worker USING (true) WITH CHECK (true)', name);
        EXECUTE format('GRANT SELECT, INSERT ON %I TO journeyman_app, journeyman_worker', name);
    END LOOP;
END $$;
GRANT UPDATE ON learnings TO journeyman_app, journeyman_worker;
-- Of a user who is erased.
GRANT DELETE ON merges TO journeyman_worker;
