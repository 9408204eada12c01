-- The model that decided an approval in place of people, by its name in the settings.
ALTER TABLE approvals ADD COLUMN decided_by_model text;
