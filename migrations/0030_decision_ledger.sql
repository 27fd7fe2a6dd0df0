-- The ledger holds the decisions about GraphSchedule objects as well. Those are about requests and backfills, too, which may have the due time
-- of another decision, and about whole ranges of due times.

ALTER TABLE schedule_decisions
    -- 'run-now/REQUEST' or 'backfill/NAME'; empty for the calendar's.
    ADD COLUMN request text NOT NULL DEFAULT '',
    -- The last due time of a range that has one decision, and how many due times it has.
    ADD COLUMN through timestamptz,
    ADD COLUMN due_times bigint NOT NULL DEFAULT 1 CHECK (due_times >= 1),
    -- Name of the GraphExecution that it became.
    ADD COLUMN execution text;

-- The next migration makes the new key. In between, what keeps a slot from having two decisions is what keeps it anyway: the lock of the
-- schedule's row, with which it moves on.
ALTER TABLE schedule_decisions DROP CONSTRAINT schedule_decisions_pkey;
