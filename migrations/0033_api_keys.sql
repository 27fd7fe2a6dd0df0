-- Keys for programs, for /external-api only. A key itself is shown once and never stored.

CREATE TABLE api_keys (
    id           uuid PRIMARY KEY,
    user_id      uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name         text NOT NULL,
    description  text,
    -- What lists show of the key: its first and its last eight characters.
    head         text NOT NULL,
    tail         text NOT NULL,
    -- HMAC-SHA-256 of the key under the pepper. None for a row taken over from the reference until its key is used.
    lookup       bytea UNIQUE,
    -- The reference's: scrypt in hexadecimal, or SHA-256 where there is no salt.
    hash         text,
    salt         text,
    permissions  text[] NOT NULL DEFAULT '{}',
    status       text NOT NULL DEFAULT 'ACTIVE' CHECK (status IN ('ACTIVE', 'REVOKED', 'SUSPENDED')),
    created_at   timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz,
    revoked_at   timestamptz,
    CHECK (lookup IS NOT NULL OR hash IS NOT NULL)
);
CREATE INDEX api_keys_of_user ON api_keys (user_id, created_at DESC);
CREATE INDEX api_keys_of_reference ON api_keys (head) WHERE lookup IS NULL;
