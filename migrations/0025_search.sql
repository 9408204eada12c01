-- Text search is not leakproof: under row security its index is not used, and every task of a team is looked at. So tasks are
-- found here, as the tables' owner and of the transaction's team alone. The team is a word of the index too: what is common
-- elsewhere costs nothing.
CREATE POLICY search ON tasks FOR SELECT TO CURRENT_USER USING (true);
DROP INDEX tasks_search;
CREATE INDEX tasks_search ON tasks USING gin ((search || array_to_tsvector(ARRAY['team ' || team::text])));
CREATE FUNCTION tasks_found(words text, most integer) RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER ROWS 100 SET search_path = public, pg_temp
    AS $$
        SELECT id FROM tasks
        WHERE team = current_team() AND (search || array_to_tsvector(ARRAY['team ' || team::text]))
            @@ (websearch_to_tsquery('simple', words) && quote_literal('team ' || current_team()::text)::tsquery)
        LIMIT most
    $$;
REVOKE EXECUTE ON FUNCTION tasks_found(text, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tasks_found(text, integer) TO journeyman_app, journeyman_worker;

-- The places of a team's own memories are looked up apart from a member's.
CREATE INDEX memories_of_team ON memories (team, place, version)
    WHERE scope = 'team_repository' AND state = 'active' AND superseded_by IS NULL;
