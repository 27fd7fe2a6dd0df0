-- Pictures and videos that users upload for what they offer. Whoever has the id may read one.

CREATE TABLE store_media (
    id           uuid PRIMARY KEY,
    user_id      uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- As the first bytes say, not as the sender says.
    content_type text NOT NULL,
    bytes        bytea NOT NULL,
    size         bigint NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now()
);
-- Compressed already: nothing is gained by trying again.
ALTER TABLE store_media ALTER COLUMN bytes SET STORAGE EXTERNAL;
CREATE INDEX store_media_of_user ON store_media (user_id) INCLUDE (size);
