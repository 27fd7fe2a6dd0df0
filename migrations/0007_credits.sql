-- The ledger of credits (integer cents): the balance is the sum of the active entries.

CREATE TABLE user_balances (
    user_id    uuid PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    balance    integer NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE credit_transactions (
    user_id         uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    transaction_key text NOT NULL,
    type            text NOT NULL CHECK (type IN ('TOP_UP', 'USAGE', 'GRANT', 'REFUND', 'CARD_CHECK')),
    amount          integer NOT NULL,
    running_balance integer,
    is_active       boolean NOT NULL DEFAULT true,
    metadata        jsonb,
    created_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, transaction_key)
);
CREATE INDEX credit_transactions_of_user ON credit_transactions (user_id, created_at DESC);
