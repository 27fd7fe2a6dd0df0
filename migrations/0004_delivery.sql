-- Delivery: who is told about runs, who may take them, who holds them.

-- A row says that a wake-up for this run must still reach RabbitMQ. The message is built from the run's own row when it is sent.
CREATE TABLE outbox (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    graph_exec_id uuid NOT NULL REFERENCES graph_executions (id) ON DELETE CASCADE,
    created_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX outbox_of_run ON outbox (graph_exec_id);

-- One row for each executor process that is alive. Times are the database's.
CREATE TABLE executor_leases (
    owner      uuid PRIMARY KEY,
    name       text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);
CREATE INDEX executor_leases_by_expiry ON executor_leases (expires_at);

-- The lock under which the runs of a user's graph are counted and claimed, and whose turn it is.
CREATE TABLE run_admission (
    user_id         uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    graph_id        uuid NOT NULL,
    last_claimed_at timestamptz,
    PRIMARY KEY (user_id, graph_id)
);
