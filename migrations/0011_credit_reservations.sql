-- Charges that belong to node executions: held back before a node starts, final when it has ended.

-- A charge whose node has not ended. The ledger's entry exists already and counts; the row says that it may still be given back.
CREATE TABLE credit_reservations (
    node_exec_id    uuid NOT NULL,
    kind            text NOT NULL,
    graph_exec_id   uuid NOT NULL REFERENCES graph_executions (id) ON DELETE CASCADE,
    user_id         uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    transaction_key text NOT NULL,
    PRIMARY KEY (node_exec_id, kind)
);
CREATE INDEX credit_reservations_of_run ON credit_reservations (graph_exec_id);

-- Node executions of a user's day (UTC), by which the platform's fee is counted. One row a user.
CREATE TABLE node_execution_counts (
    user_id    uuid PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    day        date NOT NULL,
    executions bigint NOT NULL,
    -- Fees of this day that are booked.
    fees       bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 70);

-- Users who were told that an agent of theirs ran out of credits, until they have credits again.
CREATE TABLE zero_balance_notices (
    user_id      uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    graph_id     uuid NOT NULL,
    -- The node execution that was refused: asking for it again tells again, as the first answer may have been lost.
    node_exec_id uuid NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, graph_id)
);

-- The balance fell below the threshold by a booking that had nobody to tell the user.
ALTER TABLE user_balances ADD COLUMN low_balance_due boolean NOT NULL DEFAULT false;
