-- What the parsers found in a base tree, so that it is parsed once.
CREATE TABLE analyses (
    team uuid NOT NULL REFERENCES teams ON DELETE CASCADE,
    -- Base tree and version of the analysis.
    key text NOT NULL,
    -- analysis::symbols::Symbols as JSON, gzipped.
    content bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (team, key)
);
CREATE INDEX analyses_age ON analyses (team, created_at);
ALTER TABLE analyses ENABLE ROW LEVEL SECURITY;
ALTER TABLE analyses FORCE ROW LEVEL SECURITY;
CREATE POLICY one_team ON analyses TO journeyman_app USING (team = current_team()) WITH CHECK (team = current_team());
CREATE POLICY all_teams ON analyses TO journeyman_worker USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON analyses TO journeyman_app, journeyman_worker;
