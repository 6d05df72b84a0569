-- The triggers by which a change of a view does what the corresponding call does, from any client
-- and inside its transaction.
--
-- They run with the client's settings: `foreign_keys`, `recursive_triggers` and
-- `ignore_check_constraints` may be on or off. `OR IGNORE` and `OR REPLACE` of the client's
-- statement hold for the statements of a trigger too, so that a violated constraint would not stop
-- it. But they do not hold for RAISE. So every value is tested by RAISE before anything is written.
-- Before SQLite 3.47, the message of RAISE is a literal.

-- Takes a change of a subscription for the history, as `Write::record` and `Write::finish` do. The
-- time is that of the client's clock.
CREATE VIEW _webhook_registry_record AS
SELECT NULL AS kind, NULL AS subject, NULL AS owner, NULL AS fields;
CREATE TRIGGER _webhook_registry_record_insert INSTEAD OF INSERT ON _webhook_registry_record
BEGIN
    INSERT INTO _webhook_registry_change (sequence, at, kind, subject, owner, fields)
    SELECT 1 + max(m.last_change,
                   coalesce((SELECT max(sequence) FROM _webhook_registry_change), 0)),
           max(0, min(253402300799999,
                      CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER))),
           NEW.kind, NEW.subject, (SELECT name FROM _webhook_registry_owner WHERE id = NEW.owner),
           NEW.fields
      FROM _webhook_registry_meta m
     WHERE m.keep_changes > 0;
    UPDATE _webhook_registry_meta SET last_change = last_change + 1 WHERE keep_changes = 0;
    UPDATE _webhook_registry_owner
       SET last_change = (SELECT max(m.last_change,
                                     coalesce((SELECT max(sequence)
                                                 FROM _webhook_registry_change), 0))
                            FROM _webhook_registry_meta m)
     WHERE id = NEW.owner;
    -- As many as `BATCH` at once.
    DELETE FROM _webhook_registry_change
     WHERE sequence <= (SELECT max(sequence) FROM _webhook_registry_change)
                       - (SELECT keep_changes FROM _webhook_registry_meta)
       AND ((SELECT keep_changes FROM _webhook_registry_meta) < 64
            OR (SELECT max(sequence) + 1 FROM _webhook_registry_change)
               - (SELECT min(sequence) FROM _webhook_registry_change)
               - (SELECT keep_changes FROM _webhook_registry_meta) >= 64);
END;

CREATE TRIGGER _webhook_registry_subscriptions_delete
INSTEAD OF DELETE ON webhook_registry_subscriptions
BEGIN
    INSERT INTO _webhook_registry_record (kind, subject, owner, fields)
    SELECT 'deleted', s.id, s.owner,
           '[' || json_object('name', 'name', 'before', s.name)
           || ',' || json_object('name', 'url', 'before', s.url)
           || ',' || json_object('name', 'events', 'before', json(OLD.events))
           || ',' || json_object('name', 'enabled', 'before',
                                 json(iif(s.enabled = 0, 'false', 'true')))
           || iif(s.description IS NULL, '',
                  ',' || json_object('name', 'description', 'before', s.description))
           || iif(s.metadata IS NULL, '',
                  ',' || json_object('name', 'metadata', 'before', json(s.metadata)))
           || iif(s.disabled_reason IS NULL, '',
                  ',' || json_object('name', 'disabledReason', 'before', s.disabled_reason))
           || ',{"name":"secret"}]'
      FROM _webhook_registry_subscription s
     WHERE s.id = OLD.id;
    DELETE FROM _webhook_registry_subscription WHERE id = OLD.id;
END;

CREATE TRIGGER _webhook_registry_subscriptions_update
INSTEAD OF UPDATE ON webhook_registry_subscriptions
BEGIN
    SELECT RAISE(ABORT,
        'SQL can only delete subscriptions, or change their enabled and disabled_reason')
     WHERE NEW.id IS NOT OLD.id OR NEW.name IS NOT OLD.name OR NEW.url IS NOT OLD.url
        OR NEW.events IS NOT OLD.events OR NEW.description IS NOT OLD.description
        OR NEW.metadata IS NOT OLD.metadata OR NEW.created_at IS NOT OLD.created_at
        OR NEW.updated_at IS NOT OLD.updated_at OR NEW.revision IS NOT OLD.revision
        OR NEW.owner IS NOT OLD.owner OR NEW.disabled_at IS NOT OLD.disabled_at;
    SELECT RAISE(ABORT, 'enabled can only be 0 or 1')
     WHERE NEW.enabled IS NOT 0 AND NEW.enabled IS NOT 1;
    -- What an enabled subscription keeps in its row is the former reason, and is cleared.
    SELECT RAISE(ABORT,
        'only a disabled subscription has a disabled_reason: leave it out, or set enabled to 0')
     WHERE NEW.enabled = 1 AND NEW.disabled_reason IS NOT NULL
       AND NEW.disabled_reason IS NOT OLD.disabled_reason;
    SELECT RAISE(ABORT, 'disabled_reason is NULL, or 1 to 1,024 bytes of UTF-8 without U+0000')
     WHERE NEW.disabled_reason IS NOT NULL AND NEW.disabled_reason IS NOT OLD.disabled_reason
       AND (typeof(NEW.disabled_reason) IS NOT 'text'
            OR instr(NEW.disabled_reason, char(0)) > 0
            OR length(NEW.disabled_reason) NOT BETWEEN 1 AND 1024
            -- In a UTF-16 file the function converts the text to UTF-8 and back.
            OR hex(NEW.disabled_reason) IS NOT hex(substr(NEW.disabled_reason, 1))
            OR (WITH RECURSIVE
                  characters (position, character) AS (
                    SELECT 1, substr(NEW.disabled_reason, 1, 1)
                    UNION ALL
                    SELECT position + 1, substr(NEW.disabled_reason, position + 1, 1)
                      FROM characters WHERE position < length(NEW.disabled_reason))
                -- SQLite replaces what is no character when it takes it apart, so that the parts
                -- differ from what they were taken from. It does so with two that are.
                SELECT sum(CASE
                             WHEN hex(character) IN (hex(char(65534)), hex(char(65535))) THEN 3
                             WHEN hex(character) IS NOT hex(char(unicode(character))) THEN 1025
                             WHEN unicode(character) < 128 THEN 1
                             WHEN unicode(character) < 2048 THEN 2
                             WHEN unicode(character) < 65536 THEN 3
                             ELSE 4 END)
                  FROM characters) > 1024);

    INSERT INTO _webhook_registry_record (kind, subject, owner, fields)
    SELECT iif(NEW.enabled, 'enabled', 'disabled'), s.id, s.owner,
           '[' || iif(s.enabled = NEW.enabled, '',
                      json_object('name', 'enabled',
                                  'before', json(iif(s.enabled, 'true', 'false')),
                                  'after', json(iif(NEW.enabled, 'true', 'false'))))
           || CASE
                WHEN s.disabled_reason IS iif(NEW.enabled, NULL, NEW.disabled_reason) THEN ''
                ELSE iif(s.enabled = NEW.enabled, '', ',')
                     || CASE
                          WHEN s.disabled_reason IS NULL THEN
                            json_object('name', 'disabledReason', 'after', NEW.disabled_reason)
                          WHEN NEW.enabled OR NEW.disabled_reason IS NULL THEN
                            json_object('name', 'disabledReason', 'before', s.disabled_reason)
                          ELSE
                            json_object('name', 'disabledReason', 'before', s.disabled_reason,
                                        'after', NEW.disabled_reason) END END
           || ']'
      FROM _webhook_registry_subscription s
     WHERE s.id = OLD.id
       AND (s.enabled <> NEW.enabled
            OR s.disabled_reason IS NOT iif(NEW.enabled, NULL, NEW.disabled_reason));
    UPDATE _webhook_registry_subscription
       SET enabled = NEW.enabled,
           disabled_reason = iif(NEW.enabled, NULL, NEW.disabled_reason),
           disabled_at = CASE
               WHEN NEW.enabled THEN NULL
               WHEN enabled OR disabled_at IS NULL THEN max(0, min(253402300799999,
                   CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER)))
               ELSE disabled_at END,
           updated_at = max(0, min(253402300799999,
               CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER))),
           revision = revision + 1
     WHERE id = OLD.id
       AND (enabled <> NEW.enabled
            OR disabled_reason IS NOT iif(NEW.enabled, NULL, NEW.disabled_reason));
END;

CREATE TRIGGER _webhook_registry_subscriptions_insert
INSTEAD OF INSERT ON webhook_registry_subscriptions
BEGIN
    SELECT RAISE(ABORT,
        'SQL can only delete subscriptions, or change their enabled and disabled_reason');
END;
