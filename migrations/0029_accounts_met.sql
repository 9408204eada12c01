-- The account's own id there, once it has been met: a login can come to be another's.
ALTER TABLE linked_accounts ADD COLUMN account text;
CREATE INDEX linked_accounts_account ON linked_accounts (team, provider, host, account) WHERE account IS NOT NULL;
