-- Graphs: every version is a row of its own and never changes; nodes and links belong to one version.

CREATE TABLE graphs (
    id                        uuid NOT NULL,
    version                   integer NOT NULL CHECK (version >= 1),
    user_id                   uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name                      text NOT NULL,
    description               text NOT NULL,
    instructions              text,
    recommended_schedule_cron text,
    is_active                 boolean NOT NULL DEFAULT true,
    forked_from_id            uuid,
    forked_from_version       integer,
    -- SHA-256 of the canonical JSON of an inline graph of a custom resource. Such graphs are runnable but in no list.
    inline_hash               bytea CHECK (octet_length(inline_hash) = 32),
    created_at                timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id, version)
);
-- At most one version of a graph is the active one.
CREATE UNIQUE INDEX graphs_one_active_version ON graphs (id) WHERE is_active;
CREATE INDEX graphs_of_user ON graphs (user_id, id, version);

CREATE TABLE nodes (
    id            uuid PRIMARY KEY,
    graph_id      uuid NOT NULL,
    graph_version integer NOT NULL,
    -- Place in the request that saved the graph: reads keep the order.
    position      integer NOT NULL,
    block_id      uuid NOT NULL,
    input_default jsonb NOT NULL DEFAULT '{}',
    metadata      jsonb NOT NULL DEFAULT '{}',
    webhook_id    uuid,
    FOREIGN KEY (graph_id, graph_version) REFERENCES graphs (id, version) ON DELETE CASCADE
);
CREATE INDEX nodes_of_graph ON nodes (graph_id, graph_version, position);

CREATE TABLE links (
    id             uuid PRIMARY KEY,
    graph_id       uuid NOT NULL,
    graph_version  integer NOT NULL,
    position       integer NOT NULL,
    source_node_id uuid NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
    sink_node_id   uuid NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
    source_name    text NOT NULL,
    sink_name      text NOT NULL,
    is_static      boolean NOT NULL DEFAULT false,
    FOREIGN KEY (graph_id, graph_version) REFERENCES graphs (id, version) ON DELETE CASCADE
);
CREATE INDEX links_of_graph ON links (graph_id, graph_version, position);
CREATE INDEX links_from_node ON links (source_node_id);
CREATE INDEX links_to_node ON links (sink_node_id);

-- A graph in somebody's library. A run needs one that is neither deleted nor archived (internals §2.2).
CREATE TABLE library_agents (
    id                            uuid PRIMARY KEY,
    user_id                       uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    graph_id                      uuid NOT NULL,
    graph_version                 integer NOT NULL,
    creator_id                    uuid,
    image_url                     text,
    use_graph_is_active_version   boolean NOT NULL DEFAULT true,
    is_favorite                   boolean NOT NULL DEFAULT false,
    is_created_by_user            boolean NOT NULL DEFAULT true,
    is_archived                   boolean NOT NULL DEFAULT false,
    is_deleted                    boolean NOT NULL DEFAULT false,
    -- { human_in_the_loop_safe_mode: bool | null }
    settings                      jsonb NOT NULL DEFAULT '{}',
    created_at                    timestamptz NOT NULL DEFAULT now(),
    updated_at                    timestamptz NOT NULL DEFAULT now(),
    UNIQUE (user_id, graph_id, graph_version),
    FOREIGN KEY (graph_id, graph_version) REFERENCES graphs (id, version) ON DELETE CASCADE
);
