-- What was spent since a day, when an account of a shared budget begins: without it the whole log would be read.
CREATE INDEX task_events_costs ON task_events (team, at)
    WHERE kind IN ('model.completed', 'compaction', 'review.completed', 'approval.reviewed');
