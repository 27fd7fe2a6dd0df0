-- The catalogue: agents that their owners offer to everybody, version by version, and what others think of them.

ALTER TABLE profiles ADD COLUMN is_featured boolean NOT NULL DEFAULT false;

CREATE TABLE store_listings (
    id                 uuid PRIMARY KEY,
    owning_user_id     uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- Part of the public address, beside the owner's user name. Lower case.
    slug               text NOT NULL CHECK (slug <> ''),
    graph_id           uuid NOT NULL,
    -- The newest approved version: what the catalogue shows. None until one is approved.
    active_version_id  uuid,
    use_for_onboarding boolean NOT NULL DEFAULT false,
    is_deleted         boolean NOT NULL DEFAULT false,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now()
);
-- What was withdrawn keeps nobody from offering the graph, or using the address, again.
CREATE UNIQUE INDEX store_listings_graph ON store_listings (graph_id) WHERE NOT is_deleted;
CREATE UNIQUE INDEX store_listings_slug ON store_listings (owning_user_id, slug) WHERE NOT is_deleted;

CREATE TABLE store_listing_versions (
    id                        uuid PRIMARY KEY,
    listing_id                uuid NOT NULL REFERENCES store_listings (id) ON DELETE CASCADE,
    version                   integer NOT NULL CHECK (version >= 1),
    graph_id                  uuid NOT NULL,
    graph_version             integer NOT NULL,
    name                      text NOT NULL,
    sub_heading               text NOT NULL,
    description               text NOT NULL,
    instructions              text,
    video_url                 text,
    image_urls                text[] NOT NULL,
    categories                text[] NOT NULL,
    changes_summary           text,
    recommended_schedule_cron text,
    is_featured               boolean NOT NULL DEFAULT false,
    is_deleted                boolean NOT NULL DEFAULT false,
    status                    text NOT NULL CHECK (status IN ('DRAFT', 'PENDING', 'APPROVED', 'REJECTED')),
    submitted_at              timestamptz NOT NULL DEFAULT now(),
    reviewer_id               uuid REFERENCES users (id) ON DELETE SET NULL,
    review_comments           text,
    -- For administrators only.
    internal_comments         text,
    reviewed_at               timestamptz,
    updated_at                timestamptz NOT NULL DEFAULT now(),
    UNIQUE (listing_id, version),
    FOREIGN KEY (graph_id, graph_version) REFERENCES graphs (id, version) ON DELETE CASCADE
);
-- Whether a graph version may be read by everybody is asked with every run.
CREATE INDEX store_listing_versions_approved ON store_listing_versions (graph_id, graph_version) WHERE status = 'APPROVED' AND NOT is_deleted;

CREATE TABLE store_listing_reviews (
    version_id uuid NOT NULL REFERENCES store_listing_versions (id) ON DELETE CASCADE,
    user_id    uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    score      integer NOT NULL CHECK (score BETWEEN 1 AND 5),
    comments   text,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (version_id, user_id)
);
