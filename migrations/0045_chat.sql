-- Conversations of users with the platform's assistant.

CREATE TABLE chat_sessions (
    id         uuid PRIMARY KEY,
    user_id    uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX chat_sessions_of_user ON chat_sessions (user_id, updated_at DESC);

CREATE TABLE chat_messages (
    session_id uuid NOT NULL REFERENCES chat_sessions (id) ON DELETE CASCADE,
    -- From 1, without gaps: whoever adds a message holds the row of the session.
    seq        integer NOT NULL,
    -- user or assistant.
    role       text NOT NULL CHECK (role IN ('user', 'assistant')),
    content    text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (session_id, seq)
);
