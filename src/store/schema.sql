-- Schema 1. `subscription -> subscription_pattern -> pattern <- expansion <- event_type`: each
-- distinct pattern is stored once, and patterns are expanded into event types, not subscriptions.
-- docs/design.md gives the reasons.

-- The values of the file as a whole: one row.
CREATE TABLE _webhook_registry_meta (
    one       INTEGER PRIMARY KEY CHECK (one = 1),
    file_id   BLOB NOT NULL,    -- random; binds encrypted secrets to the file; a copy appends more
    key_check BLOB,             -- decrypts with the file's key only; NULL: secrets are plain text
    last_id   TEXT,             -- the greatest id ever deleted; new ids are greater; NULL: none
    keep_changes INTEGER NOT NULL DEFAULT 10000 CHECK (keep_changes >= 0),
    -- The newest sequence while no change is kept. Otherwise the greatest sequence counts.
    last_change  INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO _webhook_registry_meta (one, file_id) VALUES (1, randomblob(16));

CREATE TABLE _webhook_registry_event_type (
    id          INTEGER PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE,
    description TEXT,           -- NULL: none
    json_schema TEXT            -- NULL: none
) STRICT;

CREATE TABLE _webhook_registry_pattern (
    id       INTEGER PRIMARY KEY,
    text     TEXT NOT NULL UNIQUE,
    wildcard INTEGER NOT NULL CHECK (wildcard IN (0, 1))
) STRICT;
CREATE INDEX _webhook_registry_pattern_wildcard ON _webhook_registry_pattern (text) WHERE wildcard = 1;

-- The event types that a pattern matches now.
CREATE TABLE _webhook_registry_expansion (
    event_type INTEGER NOT NULL REFERENCES _webhook_registry_event_type (id) ON DELETE CASCADE,
    pattern    INTEGER NOT NULL REFERENCES _webhook_registry_pattern (id) ON DELETE CASCADE,
    PRIMARY KEY (event_type, pattern)
) STRICT, WITHOUT ROWID;
CREATE INDEX _webhook_registry_expansion_pattern ON _webhook_registry_expansion (pattern);

CREATE TABLE _webhook_registry_subscription (
    seq         INTEGER PRIMARY KEY,    -- increases with the id
    id          TEXT NOT NULL UNIQUE,
    name        TEXT NOT NULL UNIQUE,
    url         TEXT NOT NULL,
    enabled     INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    description TEXT,                   -- NULL: none
    metadata    TEXT NOT NULL,          -- a JSON object of strings
    created_at  INTEGER NOT NULL,       -- this and every other time: ms since 1970, UTC
    updated_at  INTEGER NOT NULL,
    revision    INTEGER NOT NULL CHECK (revision >= 1),
    disabled_reason TEXT,               -- NULL: none; none while enabled
    disabled_at     INTEGER             -- NULL: enabled
) STRICT;
-- A statement can name this index, so that statistics cannot make SQLite scan the table instead. A
-- statement cannot name the key of a table.
CREATE UNIQUE INDEX _webhook_registry_subscription_seq ON _webhook_registry_subscription (seq);

CREATE TABLE _webhook_registry_subscription_pattern (
    subscription INTEGER NOT NULL REFERENCES _webhook_registry_subscription (seq) ON DELETE CASCADE,
    position     INTEGER NOT NULL,
    pattern      INTEGER NOT NULL REFERENCES _webhook_registry_pattern (id),
    -- Repeats the subscription's flag, so that dispatch skips disabled subscriptions.
    enabled      INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    PRIMARY KEY (subscription, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX _webhook_registry_subscription_pattern_route ON _webhook_registry_subscription_pattern (pattern, enabled, subscription);

CREATE TABLE _webhook_registry_secret (
    subscription INTEGER NOT NULL REFERENCES _webhook_registry_subscription (seq) ON DELETE CASCADE,
    serial       INTEGER NOT NULL,      -- the greatest is the current one
    text         TEXT,                  -- NULL: sealed
    sealed       BLOB,                  -- NULL: not sealed
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,               -- NULL: the current one, which does not expire
    PRIMARY KEY (subscription, serial),
    CHECK ((text IS NULL) <> (sealed IS NULL))
) STRICT, WITHOUT ROWID;

-- The history of changes, numbered without gaps. At least the newest `keep_changes` are here.
CREATE TABLE _webhook_registry_change (
    sequence INTEGER PRIMARY KEY,
    at       INTEGER NOT NULL,
    kind     TEXT NOT NULL,
    subject  TEXT NOT NULL,     -- a subscription's id, or an event type's name
    fields   TEXT NOT NULL      -- a JSON array of {"name", "before", "after"}; never a secret
) STRICT;

-- The public views. Columns may be added at the end; nothing else changes.

CREATE VIEW webhook_registry_subscriptions AS
SELECT s.id AS id, s.name AS name, s.url AS url, s.enabled AS enabled,
       (SELECT json_group_array(text)
          FROM (SELECT p.text AS text
                  FROM _webhook_registry_subscription_pattern sp JOIN _webhook_registry_pattern p ON p.id = sp.pattern
                 WHERE sp.subscription = s.seq
                 ORDER BY sp.position)) AS events,
       s.description AS description, s.metadata AS metadata,
       s.created_at AS created_at, s.updated_at AS updated_at, s.revision AS revision,
       s.disabled_reason AS disabled_reason, s.disabled_at AS disabled_at
  FROM _webhook_registry_subscription s;

CREATE VIEW webhook_registry_event_types AS
SELECT name, description, json_schema FROM _webhook_registry_event_type;

CREATE VIEW webhook_registry_subscribers AS
SELECT DISTINCT t.name AS event_type, s.id AS id, s.name AS name, s.url AS url
  FROM _webhook_registry_event_type t
  JOIN _webhook_registry_expansion x ON x.event_type = t.id
  JOIN _webhook_registry_subscription_pattern sp ON sp.pattern = x.pattern AND sp.enabled = 1
  JOIN _webhook_registry_subscription s ON s.seq = sp.subscription;
