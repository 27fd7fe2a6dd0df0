-- Node executions, their inputs and their outputs are written under the lock of their run's row, by statements that say themselves what has to
-- be there. Foreign keys ask that once more for each row of each hop, and lock rows that are locked: of an append they are a quarter of its
-- time. What remains of them is deletion, which takes what belongs to all the rows of a statement at once.
CREATE FUNCTION forget_node_executions() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM node_executions USING gone WHERE graph_exec_id = gone.id;
    RETURN NULL;
END
$$;
CREATE TRIGGER forget_node_executions AFTER DELETE ON graph_executions
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION forget_node_executions();

CREATE FUNCTION forget_values() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM node_inputs USING gone WHERE node_exec_id = gone.id;
    DELETE FROM node_outputs USING gone WHERE node_exec_id = gone.id;
    RETURN NULL;
END
$$;
CREATE TRIGGER forget_values AFTER DELETE ON node_executions
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION forget_values();

ALTER TABLE node_executions DROP CONSTRAINT node_executions_graph_exec_id_fkey;
ALTER TABLE node_inputs DROP CONSTRAINT node_inputs_node_exec_id_fkey;
ALTER TABLE node_outputs DROP CONSTRAINT node_outputs_node_exec_id_fkey;
