-- When a memory was last used, which one took its place, and what happened to it.
ALTER TABLE memories
    ADD COLUMN last_used_at timestamptz,
    ADD COLUMN superseded_by uuid,
    ADD CONSTRAINT memories_superseded_by FOREIGN KEY (team, superseded_by) REFERENCES memories (team, id)
        ON DELETE SET NULL (superseded_by);
CREATE INDEX memories_superseded_by ON memories (team, superseded_by) WHERE superseded_by IS NOT NULL;

CREATE TABLE memory_history (
    team uuid NOT NULL,
    id uuid NOT NULL,
    memory uuid NOT NULL,
    what text NOT NULL,
    user_id uuid,
    task uuid,
    detail text NOT NULL DEFAULT '',
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (team, id),
    FOREIGN KEY (team, memory) REFERENCES memories ON DELETE CASCADE
);
CREATE INDEX memory_history_memory ON memory_history (team, memory, id);

ALTER TABLE memory_history ENABLE ROW LEVEL SECURITY;
ALTER TABLE memory_history FORCE ROW LEVEL SECURITY;
CREATE POLICY one_team ON memory_history TO journeyman_app USING (team = current_team()) WITH CHECK (team = current_team());
CREATE POLICY all_teams ON memory_history TO journeyman_worker USING (true) WITH CHECK (true);
GRANT SELECT, INSERT ON memory_history TO journeyman_app, journeyman_worker;
