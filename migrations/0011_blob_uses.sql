-- Who needs a blob: a task or an upload. A blob that nobody holds goes once nobody has written it or let go of it for a while.
CREATE TABLE blob_uses (
    team uuid NOT NULL REFERENCES teams ON DELETE CASCADE,
    hash text NOT NULL,
    -- No foreign key: it would lock the task's row once for every content. Whoever deletes a task lets go of its blobs.
    holder uuid NOT NULL,
    PRIMARY KEY (holder, hash)
);
CREATE INDEX blob_uses_blob ON blob_uses (team, hash);

ALTER TABLE blobs
    -- The key in the object store. Absent for contents in the database, and for objects of earlier builds.
    ADD COLUMN object text,
    ADD COLUMN touched_at timestamptz NOT NULL DEFAULT now(),
    -- False for what earlier builds wrote without saying who needs it: it stays.
    ADD COLUMN counted boolean NOT NULL DEFAULT false;
CREATE INDEX blobs_touched ON blobs (touched_at) WHERE counted;
CREATE INDEX blobs_object ON blobs (object) WHERE object IS NOT NULL;

-- Up to which run the history of an ended task was let go.
ALTER TABLE tasks ADD COLUMN pruned_run integer NOT NULL DEFAULT 0;

ALTER TABLE blob_uses ENABLE ROW LEVEL SECURITY;
ALTER TABLE blob_uses FORCE ROW LEVEL SECURITY;
CREATE POLICY one_team ON blob_uses TO journeyman_app USING (team = current_team()) WITH CHECK (team = current_team());
CREATE POLICY all_teams ON blob_uses TO journeyman_worker USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON blob_uses TO journeyman_app, journeyman_worker;
