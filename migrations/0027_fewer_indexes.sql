-- Their successors are there. Nothing names the old ones.
ALTER TABLE graph_executions DROP CONSTRAINT graph_executions_share_token_key;
DROP INDEX graph_executions_by_time;
