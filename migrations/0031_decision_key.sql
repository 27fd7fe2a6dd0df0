-- no-transaction
CREATE UNIQUE INDEX CONCURRENTLY schedule_decisions_key ON schedule_decisions (schedule_uid, slot, request);
