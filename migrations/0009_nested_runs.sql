-- Runs that wait: for runs that their nodes have started, or for people.

ALTER TABLE graph_executions
    -- Counts what may let waiting nodes go on. Raised under the lock of the row; an executor says which news it has looked into
    -- when it parks the run.
    ADD COLUMN news bigint NOT NULL DEFAULT 0 CHECK (news >= 0),
    -- Set while the run is RUNNING, waits for its children and nobody works on it.
    ADD COLUMN suspended_at timestamptz,
    ADD CONSTRAINT a_suspended_run_is_nobodys CHECK (suspended_at IS NULL OR (lease_owner IS NULL AND status = 'RUNNING'));
CREATE INDEX graph_executions_suspended ON graph_executions (suspended_at) WHERE suspended_at IS NOT NULL;
