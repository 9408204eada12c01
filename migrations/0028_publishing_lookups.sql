-- Which pull request a failed check is about is asked by its branch or its commit.
CREATE INDEX publishings_branch ON publishings (branch);
CREATE INDEX publishings_commit ON publishings (commit_id) WHERE commit_id IS NOT NULL;
