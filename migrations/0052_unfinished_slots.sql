-- What becomes of a due slot depends on which runs of its schedule are not over. Of the schedules that are rows, the decisions say so: one whose
-- run may not be over is marked with the transaction that decides, and no more when a later one, or the submitter, finds that it is.

ALTER TABLE schedule_decisions ADD COLUMN unfinished boolean NOT NULL DEFAULT false;
