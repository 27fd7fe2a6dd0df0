-- no-transaction
-- Runs lie in the table in the order of their creation: summaries of blocks of rows find a time as well as an entry for each row does.
CREATE INDEX CONCURRENTLY graph_executions_created ON graph_executions USING brin (created_at);
