-- How often a delivery could not be worked off: waiting for its turn is no failure.
ALTER TABLE tracker_deliveries ADD COLUMN failures integer NOT NULL DEFAULT 0;

-- Whether an agent session has brought a comment's words is asked for each comment.
CREATE INDEX tracker_deliveries_sessions ON tracker_deliveries (integration, issue) WHERE meaning LIKE 'session %';

-- The agent session at Linear that waits for what becomes of the task.
ALTER TABLE tracker_answers ADD COLUMN session text;
