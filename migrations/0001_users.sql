-- People: who owns graphs and runs, and how they are notified.

CREATE TABLE users (
    id                              uuid PRIMARY KEY,
    email                           text NOT NULL UNIQUE,
    email_verified                  boolean NOT NULL DEFAULT true,
    name                            text,
    metadata                        jsonb NOT NULL DEFAULT '{}',
    stripe_customer_id              text,
    top_up_config                   jsonb,
    -- An IANA zone, or 'not-set' until the user chooses one.
    timezone                        text NOT NULL DEFAULT 'not-set',
    max_emails_per_day              integer NOT NULL DEFAULT 3 CHECK (max_emails_per_day >= 0),
    notify_on_agent_run             boolean NOT NULL DEFAULT true,
    notify_on_zero_balance          boolean NOT NULL DEFAULT true,
    notify_on_low_balance           boolean NOT NULL DEFAULT true,
    notify_on_block_execution_failed boolean NOT NULL DEFAULT true,
    notify_on_continuous_agent_error boolean NOT NULL DEFAULT true,
    notify_on_daily_summary         boolean NOT NULL DEFAULT true,
    notify_on_weekly_summary        boolean NOT NULL DEFAULT true,
    notify_on_monthly_summary       boolean NOT NULL DEFAULT true,
    notify_on_agent_approved        boolean NOT NULL DEFAULT true,
    notify_on_agent_rejected        boolean NOT NULL DEFAULT true,
    created_at                      timestamptz NOT NULL DEFAULT now(),
    updated_at                      timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE profiles (
    id          uuid PRIMARY KEY,
    user_id     uuid UNIQUE REFERENCES users (id) ON DELETE SET NULL,
    username    text NOT NULL UNIQUE,
    name        text NOT NULL,
    description text NOT NULL DEFAULT '',
    links       text[] NOT NULL DEFAULT '{}',
    avatar_url  text,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now()
);
