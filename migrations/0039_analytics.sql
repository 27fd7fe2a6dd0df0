-- What frontends report about their use.

CREATE TABLE analytics_metrics (
    id          uuid PRIMARY KEY,
    user_id     uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    metric_name text NOT NULL,
    value       double precision NOT NULL,
    data_string text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX analytics_metrics_of_user ON analytics_metrics (user_id, created_at);

CREATE TABLE analytics_details (
    id         uuid PRIMARY KEY,
    user_id    uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    type       text NOT NULL,
    data       jsonb NOT NULL,
    data_index text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX analytics_details_of_user ON analytics_details (user_id, type, created_at);
