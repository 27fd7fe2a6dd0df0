-- Large values are compressed by LZ4 where the server has it: several times quicker than the default, at about the same size. Values that
-- are stored already stay as they are.
DO $$
BEGIN
    ALTER TABLE node_executions ALTER COLUMN execution_data SET COMPRESSION lz4;
    ALTER TABLE node_inputs ALTER COLUMN value SET COMPRESSION lz4;
    ALTER TABLE node_outputs ALTER COLUMN value SET COMPRESSION lz4;
    ALTER TABLE graph_executions ALTER COLUMN inputs SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported OR invalid_parameter_value OR syntax_error THEN
    RAISE NOTICE 'this server has no LZ4: values keep its default compression';
END
$$;
