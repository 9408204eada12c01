-- Shared budgets in money. An account is what a team, or one of its members, has taken of a day or a month: what was
-- spent and what tasks hold. A task holds a chunk, drawn before it spends; what is left of it goes back when the task rests.
-- Amounts are in billionths of a US dollar.
CREATE TABLE budget_accounts (
    team uuid NOT NULL REFERENCES teams ON DELETE CASCADE,
    -- The member; the team's own account has the nil uuid.
    holder uuid NOT NULL,
    span text NOT NULL CHECK (span IN ('day', 'month')),
    -- UTC; the first of the month for a month.
    starts_on date NOT NULL,
    taken bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (team, holder, span, starts_on)
);

CREATE TABLE budget_holds (
    team uuid NOT NULL REFERENCES teams ON DELETE CASCADE,
    task uuid PRIMARY KEY,
    holder uuid NOT NULL,
    -- The day on which it was drawn: its accounts are of that day and that month.
    day date NOT NULL,
    held bigint NOT NULL,
    -- What the task had spent, over all runs, when it began to hold this.
    spent_before bigint NOT NULL,
    drawn_at timestamptz NOT NULL DEFAULT now()
);

DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['budget_accounts', 'budget_holds'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY one_team ON %I TO journeyman_app USING (team = current_team()) WITH CHECK (team = current_team())', name);
        EXECUTE format('CREATE POLICY all_teams ON %I TO journeyman_worker USING (true) WITH CHECK (true)', name);
        EXECUTE format('GRANT SELECT ON %I TO journeyman_app', name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO journeyman_worker', name);
    END LOOP;
END $$;
