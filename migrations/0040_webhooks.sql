-- Addresses at which services outside start runs. The id is in the address and is the secret of a webhook without a signature.
CREATE TABLE webhooks (
    id                  uuid PRIMARY KEY,
    user_id             uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- The graph whose nodes listen; none for a webhook of a preset.
    graph_id            uuid,
    provider            text NOT NULL,
    credentials_id      text NOT NULL DEFAULT '',
    webhook_type        text NOT NULL DEFAULT '',
    resource            text NOT NULL DEFAULT '',
    events              text[] NOT NULL DEFAULT '{}',
    config              jsonb NOT NULL DEFAULT '{}',
    secret              text NOT NULL,
    provider_webhook_id text NOT NULL DEFAULT '',
    created_at          timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX webhooks_of_graph ON webhooks (user_id, graph_id, provider);
