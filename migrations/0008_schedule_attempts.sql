-- A claimed slot that did not become a run is tried again, later each time, by whichever scheduler is there.

ALTER TABLE schedules
    ADD COLUMN attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    -- Nobody claims the slot before this time; null when it has not been tried.
    ADD COLUMN retry_at timestamptz;
