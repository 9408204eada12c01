-- How often a task was edited after its run had ended: such an edit is not in the log, and its tag shows it.
ALTER TABLE tasks ADD COLUMN edits integer NOT NULL DEFAULT 0;
