-- The accounts that each hold was drawn from. Caps change while tasks hold money: what goes back goes to these alone.
CREATE TABLE budget_hold_accounts (
    team uuid NOT NULL REFERENCES teams ON DELETE CASCADE,
    task uuid NOT NULL REFERENCES budget_holds ON DELETE CASCADE,
    holder uuid NOT NULL,
    span text NOT NULL CHECK (span IN ('day', 'month')),
    PRIMARY KEY (task, holder, span)
);

ALTER TABLE budget_hold_accounts ENABLE ROW LEVEL SECURITY;
ALTER TABLE budget_hold_accounts FORCE ROW LEVEL SECURITY;
CREATE POLICY one_team ON budget_hold_accounts TO journeyman_app
    USING (team = current_team()) WITH CHECK (team = current_team());
CREATE POLICY all_teams ON budget_hold_accounts TO journeyman_worker USING (true) WITH CHECK (true);
GRANT SELECT ON budget_hold_accounts TO journeyman_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON budget_hold_accounts TO journeyman_worker;

-- What was held until now went to, and goes back to, every account of its team and member.
INSERT INTO budget_hold_accounts (team, task, holder, span)
SELECT h.team, h.task, a.holder, a.span
FROM budget_holds h
JOIN budget_accounts a ON a.team = h.team
    AND a.holder IN (h.holder, '00000000-0000-0000-0000-000000000000')
    AND a.starts_on = date_trunc(a.span, h.day)::date;
