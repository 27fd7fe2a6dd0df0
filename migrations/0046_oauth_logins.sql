-- Logins at services of others that have begun, until their user comes back or they end.
CREATE TABLE oauth_logins (
    -- SHA-256 of the state token, which only the browser keeps.
    state_hash    bytea PRIMARY KEY,
    user_id       uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    provider      text NOT NULL,
    scopes        text[] NOT NULL,
    -- Of PKCE: useless without the code that the provider gives the browser, and good for ten minutes.
    code_verifier text NOT NULL,
    redirect_uri  text NOT NULL,
    -- What a program that began the login wants back at its end.
    metadata      jsonb NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    expires_at    timestamptz NOT NULL
);
CREATE INDEX oauth_logins_of_user ON oauth_logins (user_id, created_at DESC);
CREATE INDEX oauth_logins_by_end ON oauth_logins (expires_at);

-- What lists show of the tokens of a login.
ALTER TABLE credentials ADD COLUMN scopes text[];
