-- Schema 1. `subscription -> subscription_pattern -> pattern <- expansion <- event_type`: each
-- distinct pattern has one row, and patterns are expanded into event types, not subscriptions.
-- docs/design.md gives the reasons.

-- The values of the file as a whole: one row.
CREATE TABLE _webhook_registry_meta (
    one            INTEGER PRIMARY KEY CHECK (one = 1),
    schema_version INTEGER NOT NULL,
    guest          INTEGER NOT NULL CHECK (guest IN (0, 1)), -- 1: the file is an application's
    file_id        BLOB NOT NULL,   -- random; binds encrypted secrets to the file; a copy appends
    key_check      BLOB,            -- decrypts with the file's key only; NULL: secrets are text
    last_id        TEXT,            -- the greatest id ever deleted; new ids are greater; NULL: none
    keep_changes   INTEGER NOT NULL DEFAULT 10000 CHECK (keep_changes >= 0),
    -- The newest sequence while no change is kept. Otherwise the greatest sequence counts.
    last_change    INTEGER NOT NULL DEFAULT 0,
    catalog_change INTEGER NOT NULL DEFAULT 0,  -- the sequence of the newest change of the catalog
    -- A random number. The triggers of marks.sql change it with each change that dispatch can see.
    mark           INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO _webhook_registry_meta (one, schema_version, guest, file_id)
VALUES (1, 1, 0, randomblob(16));

-- Row 0 stands for "no owner" and always exists. Any other row exists while the owner has a
-- subscription.
CREATE TABLE _webhook_registry_owner (
    id            INTEGER PRIMARY KEY,
    name          TEXT UNIQUE CHECK ((name IS NULL) = (id = 0)),    -- NULL: row 0
    subscriptions INTEGER NOT NULL, -- how many the owner has
    last_change   INTEGER NOT NULL  -- the sequence of the newest change of one of them
) STRICT;
INSERT INTO _webhook_registry_owner (id, name, subscriptions, last_change) VALUES (0, NULL, 0, 0);

CREATE TABLE _webhook_registry_event_type (
    name        TEXT NOT NULL UNIQUE,
    description TEXT,           -- NULL: none
    json_schema TEXT            -- NULL: none
) STRICT;

CREATE TABLE _webhook_registry_pattern (
    id       INTEGER PRIMARY KEY,
    text     TEXT NOT NULL UNIQUE,
    prefix   TEXT       -- the characters before the first wildcard; NULL: the pattern is a name
) STRICT;
CREATE INDEX _webhook_registry_pattern_prefix ON _webhook_registry_pattern (prefix)
    WHERE prefix IS NOT NULL;

-- The event types that a pattern matches now, by name, so that dispatch starts here.
CREATE TABLE _webhook_registry_expansion (
    event_type TEXT NOT NULL REFERENCES _webhook_registry_event_type (name) ON DELETE CASCADE,
    pattern    INTEGER NOT NULL REFERENCES _webhook_registry_pattern (id) ON DELETE CASCADE,
    PRIMARY KEY (event_type, pattern)
) STRICT, WITHOUT ROWID;
CREATE INDEX _webhook_registry_expansion_pattern ON _webhook_registry_expansion (pattern);

-- The columns that dispatch reads come first.
CREATE TABLE _webhook_registry_subscription (
    seq               INTEGER PRIMARY KEY,  -- increases with the id
    id                TEXT NOT NULL UNIQUE,
    owner             INTEGER NOT NULL REFERENCES _webhook_registry_owner (id),
    name              TEXT NOT NULL,
    url               TEXT NOT NULL,
    enabled           INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    metadata          TEXT,                 -- a JSON object of strings; NULL: none
    secret            ANY NOT NULL,         -- the current one: TEXT, or a BLOB if encrypted
    secret_created_at INTEGER,              -- NULL: as created_at
    created_at        INTEGER NOT NULL,     -- this and every other time: ms since 1970, UTC
    replaced_secrets  INTEGER NOT NULL,     -- the number of rows in replaced_secret
    events            TEXT NOT NULL,        -- the patterns in order, with a space between two
    description       TEXT,                 -- NULL: none
    updated_at        INTEGER NOT NULL,
    revision          INTEGER NOT NULL CHECK (revision >= 1),
    disabled_reason   TEXT,                 -- NULL: none; none while enabled
    disabled_at       INTEGER,              -- NULL: enabled
    UNIQUE (owner, name)
) STRICT;
-- Lists the subscriptions of an owner by `seq`, which SQLite appends.
CREATE INDEX _webhook_registry_subscription_owner ON _webhook_registry_subscription (owner);

-- The patterns of `subscription.events` again, by which dispatch finds the subscriptions. `owner`
-- and `enabled` repeat those of the subscription, so that dispatch reads no row of another owner
-- and none of a disabled subscription. `subscription` is no foreign key: SQLite would search its
-- rows for each subscription that is deleted, and no index begins with it.
CREATE TABLE _webhook_registry_subscription_pattern (
    owner        INTEGER NOT NULL,
    subscription INTEGER NOT NULL,
    pattern      INTEGER NOT NULL REFERENCES _webhook_registry_pattern (id),
    enabled      INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    PRIMARY KEY (owner, subscription, pattern)
) STRICT, WITHOUT ROWID;
CREATE INDEX _webhook_registry_subscription_pattern_route
    ON _webhook_registry_subscription_pattern (pattern, owner, enabled, subscription);

-- Secrets that were replaced and may still be live. Few subscriptions have any.
CREATE TABLE _webhook_registry_replaced_secret (
    subscription INTEGER NOT NULL REFERENCES _webhook_registry_subscription (seq) ON DELETE CASCADE,
    serial       INTEGER NOT NULL,      -- increases from the oldest to the newest
    secret       ANY NOT NULL,          -- TEXT, or a BLOB if encrypted
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    PRIMARY KEY (subscription, serial)
) STRICT, WITHOUT ROWID;

-- The history of changes, numbered without gaps. At least the newest `keep_changes` are here.
CREATE TABLE _webhook_registry_change (
    sequence INTEGER PRIMARY KEY,
    at       INTEGER NOT NULL,
    kind     TEXT NOT NULL,
    subject  TEXT NOT NULL,     -- a subscription's id, or an event type's name
    owner    TEXT,              -- the subscription's owner; NULL: none, or an event type
    fields   TEXT NOT NULL      -- a JSON array of {"name", "before", "after"}; never a secret
) STRICT;
CREATE INDEX _webhook_registry_change_owner ON _webhook_registry_change (owner, sequence)
    WHERE owner IS NOT NULL;

-- The triggers complete a deletion or a switch, whoever makes it: this crate, or a statement by
-- hand, with or without `foreign_keys` and `recursive_triggers`. This crate changes the rows of
-- other tables first, by statements that name an index, and each trigger looks by an index whether
-- anything is left to do. A statement in a trigger cannot name an index, and some statistics would
-- make it scan a table.

CREATE TRIGGER _webhook_registry_subscription_deleted
AFTER DELETE ON _webhook_registry_subscription
BEGIN
    UPDATE _webhook_registry_owner SET subscriptions = subscriptions - 1 WHERE id = OLD.owner;
    DELETE FROM _webhook_registry_owner
     WHERE id = OLD.owner AND id <> 0 AND subscriptions <= 0;
    -- The last millisecond that an id can express is reserved: no id could follow.
    UPDATE _webhook_registry_meta SET last_id = OLD.id
     WHERE coalesce(last_id, '') < OLD.id AND OLD.id < '7ZZZZZZZZZ'
       AND length(OLD.id) = 26 AND OLD.id NOT GLOB '*[^0-9A-HJKMNP-TV-Z]*'
       AND NOT EXISTS (SELECT 1 FROM _webhook_registry_subscription
                       INDEXED BY sqlite_autoindex__webhook_registry_subscription_1
                        WHERE id > OLD.id);
END;
CREATE TRIGGER _webhook_registry_subscription_deleted_secret
AFTER DELETE ON _webhook_registry_subscription
WHEN EXISTS (SELECT 1 FROM _webhook_registry_replaced_secret
             INDEXED BY sqlite_autoindex__webhook_registry_replaced_secret_1
              WHERE subscription = OLD.seq)
BEGIN
    DELETE FROM _webhook_registry_replaced_secret WHERE subscription = OLD.seq;
END;
CREATE TRIGGER _webhook_registry_subscription_deleted_pattern
AFTER DELETE ON _webhook_registry_subscription
WHEN EXISTS (SELECT 1 FROM _webhook_registry_subscription_pattern
             INDEXED BY sqlite_autoindex__webhook_registry_subscription_pattern_1
              WHERE owner = OLD.owner AND subscription = OLD.seq)
BEGIN
    DELETE FROM _webhook_registry_subscription_pattern
     WHERE owner = OLD.owner AND subscription = OLD.seq;
END;
CREATE TRIGGER _webhook_registry_subscription_pattern_deleted
AFTER DELETE ON _webhook_registry_subscription_pattern
WHEN NOT EXISTS (SELECT 1 FROM _webhook_registry_subscription_pattern
                 INDEXED BY _webhook_registry_subscription_pattern_route
                  WHERE pattern = OLD.pattern)
BEGIN
    DELETE FROM _webhook_registry_pattern WHERE id = OLD.pattern;
END;
CREATE TRIGGER _webhook_registry_pattern_deleted
AFTER DELETE ON _webhook_registry_pattern
WHEN EXISTS (SELECT 1 FROM _webhook_registry_expansion
             INDEXED BY _webhook_registry_expansion_pattern
              WHERE pattern = OLD.id)
BEGIN
    DELETE FROM _webhook_registry_expansion WHERE pattern = OLD.id;
END;
CREATE TRIGGER _webhook_registry_event_type_deleted
AFTER DELETE ON _webhook_registry_event_type
WHEN EXISTS (SELECT 1 FROM _webhook_registry_expansion
             INDEXED BY sqlite_autoindex__webhook_registry_expansion_1
              WHERE event_type = OLD.name)
BEGIN
    DELETE FROM _webhook_registry_expansion WHERE event_type = OLD.name;
END;
CREATE TRIGGER _webhook_registry_event_type_renamed
AFTER UPDATE OF name ON _webhook_registry_event_type
WHEN EXISTS (SELECT 1 FROM _webhook_registry_expansion
             INDEXED BY sqlite_autoindex__webhook_registry_expansion_1
              WHERE event_type = OLD.name)
BEGIN
    UPDATE _webhook_registry_expansion SET event_type = NEW.name WHERE event_type = OLD.name;
END;
CREATE TRIGGER _webhook_registry_subscription_switched
AFTER UPDATE OF enabled ON _webhook_registry_subscription
WHEN EXISTS (SELECT 1 FROM _webhook_registry_subscription_pattern
             INDEXED BY sqlite_autoindex__webhook_registry_subscription_pattern_1
              WHERE owner = NEW.owner AND subscription = NEW.seq AND enabled IS NOT NEW.enabled)
BEGIN
    UPDATE _webhook_registry_subscription_pattern SET enabled = NEW.enabled
     WHERE owner = NEW.owner AND subscription = NEW.seq;
END;
