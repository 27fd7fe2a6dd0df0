-- Whose summary of a week has been put on its queue, or is about to be: of many replicas one does it. Rows of past weeks are forgotten.
CREATE TABLE weekly_summaries (
    user_id    uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- When the seven days end that are summed up.
    week_end   timestamptz NOT NULL,
    claimed_at timestamptz NOT NULL DEFAULT now(),
    queued_at  timestamptz,
    PRIMARY KEY (user_id, week_end)
);
