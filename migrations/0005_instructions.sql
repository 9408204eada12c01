-- What a team tells the agent in every task: each change a new version, none is edited or taken away.
CREATE TABLE team_instructions (
    team uuid NOT NULL REFERENCES teams ON DELETE CASCADE,
    version integer NOT NULL,
    text text NOT NULL,
    author uuid NOT NULL,
    author_name text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (team, version),
    CONSTRAINT team_instructions_version CHECK (version BETWEEN 1 AND 100000)
);
ALTER TABLE team_instructions ENABLE ROW LEVEL SECURITY;
ALTER TABLE team_instructions FORCE ROW LEVEL SECURITY;
CREATE POLICY one_team ON team_instructions TO journeyman_app
    USING (team = current_team()) WITH CHECK (team = current_team());
CREATE POLICY all_teams ON team_instructions TO journeyman_worker USING (true) WITH CHECK (true);
GRANT SELECT, INSERT ON team_instructions TO journeyman_app;
GRANT SELECT ON team_instructions TO journeyman_worker;
