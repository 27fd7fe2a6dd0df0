-- The trace that a run belongs to: W3C `traceparent` of the call that submitted it.

ALTER TABLE graph_executions ADD COLUMN traceparent text CHECK (octet_length(traceparent) <= 64);
