-- Notifications that wait to be sent together.

CREATE TABLE notification_batches (
    id         uuid PRIMARY KEY,
    user_id    uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    type       text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (user_id, type)
);
CREATE INDEX notification_batches_by_type ON notification_batches (type);

CREATE TABLE notification_events (
    id         uuid PRIMARY KEY,
    batch_id   uuid NOT NULL REFERENCES notification_batches (id) ON DELETE CASCADE,
    type       text NOT NULL,
    data       jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX notification_events_of_batch ON notification_events (batch_id, created_at);
