-- no-transaction
-- Who listens to a webhook; few nodes have one.
CREATE INDEX CONCURRENTLY nodes_of_webhook ON nodes (webhook_id) WHERE webhook_id IS NOT NULL;
