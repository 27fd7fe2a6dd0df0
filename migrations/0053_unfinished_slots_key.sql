-- no-transaction
CREATE INDEX CONCURRENTLY schedule_decisions_unfinished ON schedule_decisions (schedule_uid, slot) WHERE unfinished;
