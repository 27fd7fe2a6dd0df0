-- Saved ways to run an agent.

CREATE TABLE presets (
    id            uuid PRIMARY KEY,
    user_id       uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    graph_id      uuid NOT NULL,
    graph_version integer NOT NULL,
    name          text NOT NULL,
    description   text NOT NULL,
    inputs        jsonb NOT NULL,
    -- References only, by the names of the graph's credentials_input_schema.
    credentials   jsonb NOT NULL,
    is_active     boolean NOT NULL DEFAULT true,
    webhook_id    uuid,
    is_deleted    boolean NOT NULL DEFAULT false,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now()
    -- No foreign key: a preset outlives its graph, so that its owner can be told what has become of it.
);
CREATE INDEX presets_of_user ON presets (user_id, updated_at DESC, id) WHERE NOT is_deleted;
CREATE INDEX presets_of_webhook ON presets (webhook_id) WHERE webhook_id IS NOT NULL AND NOT is_deleted;
