-- Ends a statement that appends to journals, with everything that it wrote: one of its changes does not fit the stored node executions.
CREATE FUNCTION refuse_append() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a node execution is unknown to its run, or its stored status does not allow the new one' USING ERRCODE = 'AG001';
END
$$;
