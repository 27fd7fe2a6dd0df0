-- no-transaction
-- The list of a user's graphs, in its order, without the versions that it does not show.
CREATE INDEX CONCURRENTLY graphs_active_of_user ON graphs (user_id, created_at DESC, id) WHERE is_active AND inline_hash IS NULL;
