-- How far a user has come with getting to know the platform.

CREATE TABLE user_onboarding (
    user_id                           uuid PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    id                                uuid NOT NULL,
    completed_steps                   text[] NOT NULL DEFAULT '{}',
    wallet_shown                      boolean NOT NULL DEFAULT false,
    notified                          text[] NOT NULL DEFAULT '{}',
    rewarded_for                      text[] NOT NULL DEFAULT '{}',
    usage_reason                      text,
    integrations                      text[] NOT NULL DEFAULT '{}',
    other_integrations                text,
    selected_store_listing_version_id text,
    agent_input                       jsonb,
    onboarding_agent_execution_id     text,
    agent_runs                        integer NOT NULL DEFAULT 0,
    last_run_at                       timestamptz,
    consecutive_run_days              integer NOT NULL DEFAULT 0,
    created_at                        timestamptz NOT NULL DEFAULT now(),
    updated_at                        timestamptz NOT NULL DEFAULT now()
);
