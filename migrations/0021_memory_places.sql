-- What tells a recall whether something has changed in a place where memories are recalled: one row for each place, instead of a look
-- at all its memories, for which the planner may read the whole table.

CREATE TABLE memory_places (
    team uuid NOT NULL,
    place uuid NOT NULL,
    -- Another one whenever a memory is added, changed or removed there.
    version bigint NOT NULL,
    PRIMARY KEY (team, place)
);
ALTER TABLE memory_places ENABLE ROW LEVEL SECURITY;
ALTER TABLE memory_places FORCE ROW LEVEL SECURITY;
CREATE POLICY one_team ON memory_places TO journeyman_app USING (team = current_team()) WITH CHECK (team = current_team());
CREATE POLICY all_teams ON memory_places TO journeyman_worker USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON memory_places TO journeyman_app, journeyman_worker;

INSERT INTO memory_places SELECT team, place, nextval('memories_version') FROM memories GROUP BY team, place;

CREATE FUNCTION memories_added() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO memory_places SELECT team, place, nextval('memories_version')
        FROM (SELECT DISTINCT team, place FROM added ORDER BY team, place) AS places
        ON CONFLICT (team, place) DO UPDATE SET version = nextval('memories_version');
    RETURN NULL;
END $$;

-- Also of a memory that has moved to another place. That it was used changes nothing that is searched.
CREATE FUNCTION memories_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO memory_places SELECT team, place, nextval('memories_version')
        FROM (
            SELECT a.team, a.place FROM added a JOIN gone g ON g.team = a.team AND g.id = a.id AND g.version <> a.version
            UNION SELECT g.team, g.place FROM added a JOIN gone g ON g.team = a.team AND g.id = a.id AND g.version <> a.version
            ORDER BY team, place
        ) AS places
        ON CONFLICT (team, place) DO UPDATE SET version = nextval('memories_version');
    RETURN NULL;
END $$;

-- The row goes with the last memory that is searched. It is locked first: whoever adds one meanwhile is waited for and seen.
CREATE FUNCTION memories_gone() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO memory_places SELECT team, place, nextval('memories_version')
        FROM (SELECT DISTINCT team, place FROM gone ORDER BY team, place) AS places
        ON CONFLICT (team, place) DO UPDATE SET version = nextval('memories_version');
    DELETE FROM memory_places p USING (SELECT DISTINCT team, place FROM gone) AS places
        WHERE p.team = places.team AND p.place = places.place AND NOT EXISTS (
            SELECT 1 FROM memories m
            WHERE m.team = p.team AND m.place = p.place AND m.state = 'active' AND m.superseded_by IS NULL
        );
    RETURN NULL;
END $$;

CREATE TRIGGER memories_added AFTER INSERT ON memories
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION memories_added();
CREATE TRIGGER memories_changed AFTER UPDATE ON memories
    REFERENCING NEW TABLE AS added OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION memories_changed();
CREATE TRIGGER memories_gone AFTER DELETE ON memories
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION memories_gone();
