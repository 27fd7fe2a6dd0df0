-- no-transaction
-- Few runs are shared: an entry for each version of each run's row costs every run what only those need.
CREATE UNIQUE INDEX CONCURRENTLY graph_executions_share_token ON graph_executions (share_token) WHERE share_token IS NOT NULL;
