-- What users let the platform use in their name: keys and passwords for services of others. A run carries references to these rows only.

CREATE TABLE credentials (
    id         uuid PRIMARY KEY,
    user_id    uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    provider   text NOT NULL,
    type       text NOT NULL CHECK (type IN ('api_key', 'oauth2', 'user_password', 'host_scoped')),
    title      text,
    -- What lists show of the kinds that have it.
    username   text,
    host       text,
    -- Where it comes from when not from a person, for example a Secret; the same origin of the same user is the same credential.
    origin     text,
    -- Which key of ENCRYPTION_KEY opens it.
    key_id     text NOT NULL,
    -- The secret, bound to user_id and id.
    sealed     bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (user_id, origin)
);
CREATE INDEX credentials_of_user ON credentials (user_id, created_at);
-- What is still to be sealed with another key.
CREATE INDEX credentials_of_key ON credentials (key_id, id);
