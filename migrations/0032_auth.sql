-- Accounts of the embedded auth service (/auth/v1): how people prove who they are. Who they are stands in users.

CREATE TABLE auth_accounts (
    user_id            uuid PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    -- In lower case; the same as in users.
    email              text NOT NULL UNIQUE,
    -- argon2id with its parameters and salt, as a PHC string.
    password_hash      text NOT NULL,
    -- 'admin' makes an admin; goes into tokens.
    role               text NOT NULL DEFAULT 'authenticated',
    user_metadata      jsonb NOT NULL DEFAULT '{}',
    email_confirmed_at timestamptz,
    last_sign_in_at    timestamptz,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now()
);

-- One login on one device, with all refresh tokens that came of it.
CREATE TABLE auth_sessions (
    id         uuid PRIMARY KEY,
    user_id    uuid NOT NULL REFERENCES auth_accounts (user_id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX auth_sessions_of_user ON auth_sessions (user_id);

-- Used ones stay for a while: a token that comes back was stolen, and its session ends.
CREATE TABLE auth_refresh_tokens (
    -- SHA-256 of the token.
    hash       bytea PRIMARY KEY,
    session_id uuid NOT NULL REFERENCES auth_sessions (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    used_at    timestamptz
);
CREATE INDEX auth_refresh_tokens_of_session ON auth_refresh_tokens (session_id);

-- Codes that work once: in a mail, or on the way back from a link in it.
CREATE TABLE auth_codes (
    -- SHA-256 of the code.
    hash             bytea PRIMARY KEY,
    user_id          uuid NOT NULL REFERENCES auth_accounts (user_id) ON DELETE CASCADE,
    purpose          text NOT NULL CHECK (purpose IN ('recovery', 'exchange')),
    -- PKCE: what the one who began must be able to answer.
    challenge        text,
    challenge_method text,
    expires_at       timestamptz NOT NULL
);
CREATE INDEX auth_codes_of_user ON auth_codes (user_id);

-- Attempts within a window of time, for rate limits.
CREATE TABLE auth_attempts (
    -- What is attempted, on what: 'password:ada@example.com'.
    subject    text PRIMARY KEY,
    started_at timestamptz NOT NULL,
    count      integer NOT NULL
);
CREATE INDEX auth_attempts_by_time ON auth_attempts (started_at);
