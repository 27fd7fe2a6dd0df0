-- Runs that somebody else than their executor has ended and whose watchers have not been told: written with the end, gone once the event is on
-- its way to Redis.
CREATE TABLE untold_ends (
    graph_exec_id uuid PRIMARY KEY REFERENCES graph_executions (id) ON DELETE CASCADE
);
