-- Ids, public keys and signatures are bytes; times are unix seconds.
-- "Encoded" text: a value of more than 1,024 bytes, or one that holds U+0000 or begins with U+0001, stands
-- as U+0001 and the hexadecimal SHA-256 of the value; every other one as it is.
CREATE TABLE events (
    id BYTEA NOT NULL PRIMARY KEY,
    pubkey BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    kind INTEGER NOT NULL,
    -- JSON: an array of arrays of texts.
    tags TEXT NOT NULL,
    content TEXT NOT NULL,
    sig BYTEA NOT NULL,
    -- The `d` tag of an addressable event, encoded; empty for a replaceable one; null for all others.
    identifier TEXT,
    -- NIP-40; null for an event that does not expire.
    expires_at BIGINT,
    -- The content as bytes, where it holds U+0000; `content` has U+FFFD in its place then.
    content_bytes BYTEA,
    -- Bytes in the form in which the event is handed on.
    packed_bytes BIGINT NOT NULL,
    -- Bytes that the event counts for against a size limit.
    counted_bytes BIGINT NOT NULL
);
CREATE INDEX events_by_time ON events (created_at DESC, id);
CREATE INDEX events_by_author ON events (pubkey, created_at DESC, id);
CREATE INDEX events_by_kind ON events (kind, created_at DESC, id);
CREATE INDEX events_by_author_and_kind ON events (pubkey, kind, created_at DESC, id);
CREATE UNIQUE INDEX events_by_address ON events (kind, pubkey, identifier) WHERE identifier IS NOT NULL;
CREATE INDEX events_by_expiry ON events (expires_at) WHERE expires_at IS NOT NULL;

-- The first values of tags with a one-letter name, encoded; each once for an event.
CREATE TABLE tags (
    event_id BYTEA NOT NULL REFERENCES events (id) ON DELETE CASCADE,
    letter TEXT NOT NULL,
    value TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (event_id, letter, value)
);
CREATE INDEX tags_by_value ON tags (letter, value, created_at DESC, event_id);

-- NIP-09: what authors asked to delete, whether it was there or not.
CREATE TABLE deleted_ids (
    id BYTEA NOT NULL,
    pubkey BYTEA NOT NULL,
    PRIMARY KEY (id, pubkey)
);
CREATE TABLE deleted_addresses (
    kind INTEGER NOT NULL,
    pubkey BYTEA NOT NULL,
    identifier TEXT NOT NULL,
    up_to BIGINT NOT NULL,
    PRIMARY KEY (kind, pubkey, identifier)
);
-- NIP-62: authors who asked to vanish; `is_pending` is 1 while something is left to remove.
CREATE TABLE vanished (
    pubkey BYTEA NOT NULL PRIMARY KEY,
    up_to BIGINT NOT NULL,
    is_pending INTEGER NOT NULL
);

-- One row: how many events there are, and what they count for against a size limit.
CREATE TABLE totals (
    events BIGINT NOT NULL,
    bytes BIGINT NOT NULL
);
INSERT INTO totals VALUES (0, 0);

-- To look at by hand.
CREATE VIEW readable_events AS
    SELECT encode(id, 'hex') AS id, encode(pubkey, 'hex') AS pubkey, created_at, kind, tags, content
    FROM events;
