-- Schedules that came through REST, and what was decided about each slot of any schedule.

CREATE TABLE schedules (
    id            uuid PRIMARY KEY,
    user_id       uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    graph_id      uuid NOT NULL,
    graph_version integer NOT NULL,
    name          text NOT NULL,
    -- The contract's dialect: five fields, 0 = Monday (internals §4.4).
    cron          text NOT NULL,
    timezone      text NOT NULL,
    inputs        jsonb NOT NULL DEFAULT '{}',
    credentials   jsonb NOT NULL DEFAULT '{}',
    -- The next slot when this table is what fires (standalone); null when GraphSchedule objects do, or when there is none.
    next_run_at   timestamptz,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (graph_id, graph_version) REFERENCES graphs (id, version) ON DELETE CASCADE
);
CREATE INDEX schedules_due ON schedules (next_run_at, id) WHERE next_run_at IS NOT NULL;
CREATE INDEX schedules_of_user ON schedules (user_id, graph_id);

-- One decision for a slot, for ever. A schedule is a row above or an object in Kubernetes: no foreign key.
CREATE TABLE schedule_decisions (
    schedule_uid  uuid NOT NULL,
    slot          timestamptz NOT NULL,
    decision      text NOT NULL CHECK (decision IN ('Fired', 'Skipped', 'Missed', 'Buffered', 'Backfilled')),
    reason        text NOT NULL DEFAULT '',
    graph_exec_id uuid,
    decided_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (schedule_uid, slot)
);
CREATE INDEX schedule_decisions_by_time ON schedule_decisions (decided_at);
