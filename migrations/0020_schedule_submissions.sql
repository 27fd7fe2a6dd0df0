-- A due slot is decided first, many in one transaction, and submitted afterwards: here is what was decided to run and does not run yet.
-- The row is written with the decision and deleted when the run is accepted or refused. No foreign key: when a schedule is deleted in
-- between, its decision must still be told so.

CREATE TABLE schedule_submissions (
    schedule_id uuid NOT NULL,
    slot        timestamptz NOT NULL,
    attempts    integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    -- Nobody claims it before this time.
    retry_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (schedule_id, slot)
);
CREATE INDEX schedule_submissions_due ON schedule_submissions (retry_at);

-- schedules.attempts and schedules.retry_at have done this before. Schedulers that are still of that version may use them while they are
-- replaced: the key of a run and the decision about a slot are the same in both.
