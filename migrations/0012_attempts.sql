-- Runs that fail their executors: attempts, backoff, deadlines, and the list of the dead. New columns are null or constant, so that no
-- table is rewritten; what is looked up by time is in tables of its own, so that the busy rows of runs get no index more.

ALTER TABLE graph_executions
    -- Times in a row that the run came back without its executor having handed it over, and without a node having ended in between.
    ADD COLUMN attempts          integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    -- Node executions that had ended when the last attempt was counted.
    ADD COLUMN attempts_finished bigint NOT NULL DEFAULT 0,
    -- Nobody claims the run before somebody has answered its alarm and set this to null.
    ADD COLUMN not_before        timestamptz,
    -- The run ends TERMINATED when it is not over by then.
    ADD COLUMN deadline_at       timestamptz;

-- Times at which a run has to be looked at: the end of a backoff, a deadline. An alarm that has become pointless does no harm.
CREATE TABLE run_alarms (
    graph_exec_id uuid NOT NULL REFERENCES graph_executions (id) ON DELETE CASCADE,
    due_at        timestamptz NOT NULL,
    PRIMARY KEY (graph_exec_id, due_at)
);
CREATE INDEX run_alarms_by_time ON run_alarms (due_at);

-- Runs that were given up, for people to look at. The run itself is FAILED for good: what is driven again is a new run.
CREATE TABLE dead_runs (
    graph_exec_id uuid PRIMARY KEY REFERENCES graph_executions (id) ON DELETE CASCADE,
    user_id       uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    attempts      integer NOT NULL,
    error         text NOT NULL,
    -- The last executor, by the name that its lease showed.
    executor      text,
    died_at       timestamptz NOT NULL DEFAULT now(),
    -- How often the run was driven again, and the newest run that came of it.
    redrives      integer NOT NULL DEFAULT 0,
    redriven_as   uuid
);
CREATE INDEX dead_runs_by_time ON dead_runs (died_at DESC);
CREATE INDEX dead_runs_of_user ON dead_runs (user_id);
