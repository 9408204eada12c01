-- Caps that the queue is held to, as numbers, and how teams share the workers. What is no number in limits is refused when it
-- is written, so that no claim meets it.
ALTER TABLE teams
    ADD COLUMN weight integer NOT NULL DEFAULT 1 CONSTRAINT teams_weight CHECK (weight BETWEEN 1 AND 1000),
    ADD COLUMN concurrent_tasks bigint GENERATED ALWAYS AS ((limits::jsonb ->> 'concurrent_tasks')::bigint) STORED,
    ADD COLUMN queued_tasks bigint GENERATED ALWAYS AS ((limits::jsonb ->> 'queued_tasks')::bigint) STORED;
ALTER TABLE members
    ADD COLUMN concurrent_tasks bigint GENERATED ALWAYS AS ((limits::jsonb ->> 'concurrent_tasks')::bigint) STORED,
    ADD COLUMN queued_tasks bigint GENERATED ALWAYS AS ((limits::jsonb ->> 'queued_tasks')::bigint) STORED;
CREATE INDEX teams_capped ON teams (id) WHERE concurrent_tasks IS NOT NULL;
CREATE INDEX members_capped ON members (team, user_id) WHERE concurrent_tasks IS NOT NULL;
