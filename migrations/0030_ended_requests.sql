-- How a pull request that the service has opened has ended, until it is opened again.
ALTER TABLE tracker_issues ADD COLUMN ended text CHECK (ended IN ('closed', 'merged'));
