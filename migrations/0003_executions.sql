-- Runs and what happened in them. Every row of node state is written by the owner of the run's lease only (design §6).

-- A text, so that it binds and reads as one; the words are the contract's (internals §2.11).
CREATE DOMAIN execution_status AS text
    CHECK (VALUE IN ('INCOMPLETE', 'QUEUED', 'RUNNING', 'COMPLETED', 'TERMINATED', 'FAILED', 'REVIEW'));

CREATE TABLE graph_executions (
    id                    uuid PRIMARY KEY,
    user_id               uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    graph_id              uuid NOT NULL,
    graph_version         integer NOT NULL,
    status                execution_status NOT NULL,
    inputs                jsonb,
    credential_inputs     jsonb,
    -- As the caller gave them.
    nodes_input_masks     jsonb,
    -- With the credential references put on every node that needs them: what the run goes by.
    compiled_masks        jsonb NOT NULL DEFAULT '{}',
    context               jsonb NOT NULL,
    preset_id             uuid,
    stats                 jsonb,
    parent_graph_exec_id  uuid REFERENCES graph_executions (id) ON DELETE SET NULL,
    -- The same key always means the same run, for ever and for every user: callers put their own name space in it.
    idempotency_key       text UNIQUE CHECK (octet_length(idempotency_key) BETWEEN 1 AND 1024),
    cancel_requested      boolean NOT NULL DEFAULT false,
    -- Who works on the run. Null when nobody does; always null when the run is over.
    lease_owner           uuid,
    -- Fencing token, one higher with every claim.
    lease_epoch           bigint NOT NULL DEFAULT 0 CHECK (lease_epoch >= 0),
    claimed_at            timestamptz,
    -- Position of the last journal entry that is applied.
    journal_seq           bigint NOT NULL DEFAULT 0 CHECK (journal_seq >= 0),
    -- The transaction that last changed the status: cursor of the progress stream, ordered by commit horizon.
    progress_xid          xid8 NOT NULL DEFAULT pg_current_xact_id(),
    is_deleted            boolean NOT NULL DEFAULT false,
    is_shared             boolean NOT NULL DEFAULT false,
    share_token           uuid UNIQUE,
    shared_at             timestamptz,
    created_at            timestamptz NOT NULL DEFAULT now(),
    started_at            timestamptz,
    ended_at              timestamptz,
    updated_at            timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (graph_id, graph_version) REFERENCES graphs (id, version) ON DELETE CASCADE,
    CONSTRAINT a_finished_run_is_nobodys
        CHECK (lease_owner IS NULL OR status NOT IN ('COMPLETED', 'TERMINATED', 'FAILED')),
    CONSTRAINT a_finished_run_has_an_end
        CHECK (ended_at IS NOT NULL OR status NOT IN ('COMPLETED', 'TERMINATED', 'FAILED'))
    -- Room in each page: every journal append rewrites the row, and a rewrite in the same page touches no index.
) WITH (fillfactor = 70);
-- What a claim looks through: runs that wait for an executor, oldest first within a user's graph.
CREATE INDEX graph_executions_waiting ON graph_executions (user_id, graph_id, created_at, id) WHERE status = 'QUEUED' AND lease_owner IS NULL;
-- What counts against the limit of a user's graph, and what is checked against the leases of the executors.
CREATE INDEX graph_executions_leased ON graph_executions (user_id, graph_id) WHERE lease_owner IS NOT NULL;
CREATE INDEX graph_executions_of_owner ON graph_executions (lease_owner) WHERE lease_owner IS NOT NULL;
-- Lists of a user, of one graph, and by time.
CREATE INDEX graph_executions_of_user ON graph_executions (user_id, created_at DESC, id DESC) WHERE NOT is_deleted;
CREATE INDEX graph_executions_of_graph ON graph_executions (graph_id, created_at DESC, id DESC) WHERE NOT is_deleted;
CREATE INDEX graph_executions_by_time ON graph_executions (created_at);
CREATE INDEX graph_executions_of_parent ON graph_executions (parent_graph_exec_id) WHERE parent_graph_exec_id IS NOT NULL;
CREATE INDEX graph_executions_progress ON graph_executions (progress_xid, id) WHERE idempotency_key IS NOT NULL;

CREATE TABLE node_executions (
    id             uuid PRIMARY KEY,
    graph_exec_id  uuid NOT NULL REFERENCES graph_executions (id) ON DELETE CASCADE,
    -- No foreign key: versions of graphs never change, and the lock it takes on the node's row would be shared by every run of a graph.
    node_id        uuid NOT NULL,
    status         execution_status NOT NULL,
    -- Place among the node executions of the run: ≤ 0 for the starting nodes, else the position of the journal entry.
    added_seq      bigint NOT NULL,
    -- The resolved input. Null for starting nodes, whose input rows are it already.
    execution_data jsonb,
    stats          jsonb,
    added_at       timestamptz NOT NULL,
    queued_at      timestamptz,
    started_at     timestamptz,
    ended_at       timestamptz
) WITH (fillfactor = 80);
CREATE INDEX node_executions_of_run ON node_executions (graph_exec_id, node_id);

-- Values in the order in which they arrived or were emitted. The order is the position in the run's journal; input rows of
-- starting nodes count from 0. A pin name may be longer than an index entry may be, so names are in no key.
CREATE TABLE node_inputs (
    node_exec_id uuid NOT NULL REFERENCES node_executions (id) ON DELETE CASCADE,
    seq          bigint NOT NULL,
    name         text NOT NULL,
    value        jsonb NOT NULL,
    created_at   timestamptz NOT NULL,
    PRIMARY KEY (node_exec_id, seq)
);

CREATE TABLE node_outputs (
    node_exec_id uuid NOT NULL REFERENCES node_executions (id) ON DELETE CASCADE,
    seq          bigint NOT NULL,
    name         text NOT NULL,
    value        jsonb NOT NULL,
    created_at   timestamptz NOT NULL,
    PRIMARY KEY (node_exec_id, seq)
);

-- What the persistence blocks keep between runs of a user.
CREATE TABLE execution_kv_data (
    user_id      uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    key          text NOT NULL,
    node_exec_id uuid NOT NULL,
    data         jsonb,
    updated_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, key)
);
