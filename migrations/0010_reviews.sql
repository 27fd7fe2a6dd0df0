-- What a person has to decide before a run can go on. One row a node execution; the run's own row is locked before any of these.

CREATE TABLE pending_human_reviews (
    node_exec_id     uuid PRIMARY KEY REFERENCES node_executions (id) ON DELETE CASCADE,
    graph_exec_id    uuid NOT NULL REFERENCES graph_executions (id) ON DELETE CASCADE,
    user_id          uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    graph_id         uuid NOT NULL,
    graph_version    integer NOT NULL,
    -- block: a review block asks about data. once: a node with outside effects was cut short, and may be run again or not.
    kind             text NOT NULL CHECK (kind IN ('block', 'once')),
    status           text NOT NULL DEFAULT 'WAITING' CHECK (status IN ('WAITING', 'APPROVED', 'REJECTED')),
    payload          jsonb NOT NULL,
    instructions     text,
    editable         boolean NOT NULL,
    -- What the person made of the payload; null when it was taken as it is.
    reviewed_payload jsonb,
    was_edited       boolean,
    review_message   text,
    -- Set by callers of the contract's method. A review also counts as processed once its node has ended.
    processed        boolean NOT NULL DEFAULT false,
    -- The claim that may run the node again: an approval of kind once is good for one start.
    granted_epoch    bigint,
    deadline_at      timestamptz,
    -- What is decided when nobody has by then.
    default_action   text NOT NULL CHECK (default_action IN ('approve', 'reject')),
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz,
    reviewed_at      timestamptz,
    CONSTRAINT decided_at_some_time CHECK ((status = 'WAITING') = (reviewed_at IS NULL))
);
CREATE INDEX pending_human_reviews_of_run ON pending_human_reviews (graph_exec_id, status);
CREATE INDEX pending_human_reviews_of_user ON pending_human_reviews (user_id, created_at DESC, node_exec_id) WHERE status = 'WAITING';
CREATE INDEX pending_human_reviews_due ON pending_human_reviews (deadline_at) WHERE status = 'WAITING' AND deadline_at IS NOT NULL;
