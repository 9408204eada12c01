-- What recall searches: words and vectors of memories by the place where they are recalled, and a person's own earlier
-- tasks. An index over all teams' words would grow with the other teams: a place is read instead.

-- Of a repository's address what tells it from others: no scheme, no user, no `.git`, `host:path` as `host/path`.
CREATE FUNCTION repository_key(repository text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT regexp_replace(
        regexp_replace(lower(repository), '^([a-z][a-z0-9+.-]*://)?([^/@]*@)?|(\.git)?/*$', '', 'g'),
        '^([^/:]+):(?![0-9]+/)/?', '\1/')
$$;

-- Where a memory is recalled: a user, a user in a repository, or a repository.
CREATE FUNCTION memory_place(scope text, user_id uuid, repository text) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT md5(CASE WHEN scope = 'team_repository' THEN 'team' ELSE user_id::text END || ' '
        || coalesce(CASE WHEN scope <> 'user' THEN repository_key(repository) END, ''))::uuid
$$;

-- Identifiers and paths as the words that they are made of, beside themselves.
CREATE FUNCTION with_parts(words text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT words || ' ' || regexp_replace(regexp_replace(words, '([[:lower:][:digit:]])([[:upper:]])', '\1 \2', 'g'), '[^[:alnum:]]+', ' ', 'g')
$$;

CREATE SEQUENCE memories_version;
GRANT USAGE ON SEQUENCE memories_version TO journeyman_app, journeyman_worker;

ALTER TABLE memories
    ADD COLUMN place uuid NOT NULL GENERATED ALWAYS AS (memory_place(scope, user_id, repository)) STORED,
    ADD COLUMN words tsvector NOT NULL GENERATED ALWAYS AS (to_tsvector('english', with_parts(text))) STORED,
    -- The model whose vector of the present text is in memory_vectors; absent: none is.
    ADD COLUMN embedded text,
    -- Another one whenever something changes that recall keeps of a place.
    ADD COLUMN version bigint NOT NULL DEFAULT nextval('memories_version');

CREATE FUNCTION memory_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.text IS DISTINCT FROM OLD.text THEN
        NEW.embedded := NULL;
    END IF;
    IF (NEW.text, NEW.kind, NEW.scope, NEW.user_id, NEW.repository, NEW.state, NEW.superseded_by, NEW.embedded)
        IS DISTINCT FROM (OLD.text, OLD.kind, OLD.scope, OLD.user_id, OLD.repository, OLD.state, OLD.superseded_by, OLD.embedded)
    THEN
        NEW.version := nextval('memories_version');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER memory_changed BEFORE UPDATE ON memories FOR EACH ROW EXECUTE FUNCTION memory_changed();

CREATE INDEX memories_place ON memories (team, place, version) INCLUDE (id) WHERE state = 'active' AND superseded_by IS NULL;
CREATE INDEX memories_not_embedded ON memories (version) WHERE embedded IS NULL AND state = 'active' AND superseded_by IS NULL;
CREATE INDEX memories_embedded ON memories (embedded) WHERE embedded IS NOT NULL;
DROP INDEX memories_search;

-- Of length 1.
CREATE TABLE memory_vectors (
    team uuid NOT NULL,
    memory uuid NOT NULL,
    model text NOT NULL,
    numbers real[] NOT NULL,
    PRIMARY KEY (team, memory),
    FOREIGN KEY (team, memory) REFERENCES memories ON DELETE CASCADE
);

-- Of a task's request, kept when the task itself recalled by it.
CREATE TABLE task_vectors (
    team uuid NOT NULL,
    task uuid NOT NULL,
    model text NOT NULL,
    numbers real[] NOT NULL,
    PRIMARY KEY (team, task),
    FOREIGN KEY (team, task) REFERENCES tasks ON DELETE CASCADE
);

-- What a run of a task did to the standing of a memory that it cited: once for each run, changed where people say more.
CREATE TABLE memory_effects (
    team uuid NOT NULL,
    task uuid NOT NULL,
    run integer NOT NULL,
    memory uuid NOT NULL,
    effect text NOT NULL CHECK (effect IN ('helped', 'hurt', 'none')),
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (team, task, run, memory),
    FOREIGN KEY (team, task) REFERENCES tasks ON DELETE CASCADE,
    FOREIGN KEY (team, memory) REFERENCES memories ON DELETE CASCADE
);
CREATE INDEX memory_effects_memory ON memory_effects (team, memory);

-- The last run whose effects on memories were counted, and the last one that is another service's: of a log from a file.
ALTER TABLE tasks
    ADD COLUMN effects_run integer NOT NULL DEFAULT 0,
    ADD COLUMN effects_after integer NOT NULL DEFAULT 0;
CREATE INDEX tasks_effects_due ON tasks (finished_at) WHERE finished_at IS NOT NULL AND effects_run < run;
CREATE INDEX tasks_own ON tasks (team, created_by, repository_key(repository), created_at DESC)
    WHERE repository IS NOT NULL AND status IN ('succeeded', 'failed');

DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['memory_vectors', 'task_vectors', 'memory_effects'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY one_team ON %I TO journeyman_app USING (team = current_team()) WITH CHECK (team = current_team())', name);
        EXECUTE format('CREATE POLICY all_teams ON %I TO journeyman_worker USING (true) WITH CHECK (true)', name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO journeyman_worker', name);
    END LOOP;
END $$;
GRANT SELECT, INSERT, UPDATE ON memory_effects TO journeyman_app;
