-- The triggers by which a change of a view does what the corresponding call does, from any client
-- and inside its transaction.
--
-- They run with the client's settings: `foreign_keys`, `recursive_triggers` and
-- `ignore_check_constraints` may be on or off. `OR IGNORE` and `OR REPLACE` of the client's
-- statement hold for the statements of a trigger too, so that a violated constraint would not stop
-- it. But they do not hold for RAISE. So every value is tested by RAISE before anything is written.
-- Before SQLite 3.47, the message of RAISE is a literal.
--
-- Every connection parses them before its first statement, and that takes most of the time of
-- opening a file. The time depends on the number of terms, not of characters: `NEW.enabled` is
-- three terms, and `enabled` is one. So columns go without the name of their table where they can,
-- and what is used more than once gets a name in a subquery.

-- Takes a change of a subscription for the history, as `Write::record` and `Write::finish` do. The
-- time is that of the client's clock.
--
-- The first columns are what is there before the change: how many changes are kept, the sequence of
-- the newest one, and the time.
CREATE VIEW _webhook_registry_record AS
SELECT keep_changes,
       max(last_change, coalesce((SELECT max(sequence) FROM _webhook_registry_change), 0)) AS last,
       max(0, min(253402300799999,
                  CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER))) AS now,
       NULL AS kind, NULL AS subject, NULL AS owner, NULL AS fields
  FROM _webhook_registry_meta;
CREATE TRIGGER _webhook_registry_record_insert INSTEAD OF INSERT ON _webhook_registry_record
BEGIN
    INSERT INTO _webhook_registry_change (sequence, at, kind, subject, owner, fields)
    SELECT last + 1, now, NEW.kind, NEW.subject,
           (SELECT name FROM _webhook_registry_owner WHERE id = NEW.owner), NEW.fields
      FROM _webhook_registry_record
     WHERE keep_changes > 0;
    UPDATE _webhook_registry_meta SET last_change = last_change + 1 WHERE keep_changes = 0;
    UPDATE _webhook_registry_owner SET last_change = (SELECT last FROM _webhook_registry_record)
     WHERE id = NEW.owner;
    -- As many as `BATCH` at once.
    DELETE FROM _webhook_registry_change
     WHERE sequence <= (SELECT last - keep_changes
                          FROM _webhook_registry_record
                         WHERE keep_changes < 64
                            OR last - keep_changes
                               > 62 + (SELECT min(sequence) FROM _webhook_registry_change));
END;

-- By hand alone, `enabled` changes without the columns that have to agree with it.
CREATE TRIGGER _webhook_registry_subscription_switched_by_hand
AFTER UPDATE OF enabled ON _webhook_registry_subscription
WHEN NEW.enabled IS NOT OLD.enabled
 AND ((NEW.disabled_at IS NULL) IS NOT NEW.enabled
      OR NEW.enabled AND NEW.disabled_reason IS NOT NULL)
BEGIN
    UPDATE _webhook_registry_subscription
       SET disabled_reason = iif(enabled, NULL, disabled_reason),
           disabled_at = iif(enabled, NULL, coalesce(disabled_at, max(0, min(253402300799999,
               CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER)))))
     WHERE seq = NEW.seq;
END;

-- A value that is absent is left out of the history. No text within a value can look like one, as
-- its quotes are escaped.
CREATE TRIGGER _webhook_registry_subscriptions_delete
INSTEAD OF DELETE ON webhook_registry_subscriptions
BEGIN
    INSERT INTO _webhook_registry_record (kind, subject, owner, fields)
    SELECT 'deleted', id, owner,
           replace(replace(replace(
               printf('[{"name":"name","before":%s},{"name":"url","before":%s},'
                      || '{"name":"events","before":%s},{"name":"enabled","before":%s},'
                      || '{"name":"description","before":%s},{"name":"metadata","before":%s},'
                      || '{"name":"disabledReason","before":%s},{"name":"secret"}]',
                      json_quote(name), json_quote(url), OLD.events,
                      iif(enabled, 'true', 'false'), json_quote(description),
                      coalesce(json(metadata), 'null'), json_quote(disabled_reason)),
               '{"name":"description","before":null},', ''),
               '{"name":"metadata","before":null},', ''),
               '{"name":"disabledReason","before":null},', '')
      FROM _webhook_registry_subscription
     WHERE id = OLD.id;
    DELETE FROM _webhook_registry_subscription WHERE id = OLD.id;
END;

CREATE TRIGGER _webhook_registry_subscriptions_update
INSTEAD OF UPDATE ON webhook_registry_subscriptions
BEGIN
    SELECT CASE
        WHEN (NEW.id, NEW.name, NEW.url, NEW.events, NEW.description, NEW.metadata, NEW.created_at,
              NEW.updated_at, NEW.revision, NEW.owner, NEW.disabled_at)
             IS NOT
             (OLD.id, OLD.name, OLD.url, OLD.events, OLD.description, OLD.metadata, OLD.created_at,
              OLD.updated_at, OLD.revision, OLD.owner, OLD.disabled_at)
        THEN RAISE(ABORT,
            'SQL can only delete subscriptions, or change their enabled and disabled_reason')
        WHEN (enabled IN (0, 1)) IS NOT 1
        THEN RAISE(ABORT, 'enabled can only be 0 or 1')
        WHEN reason IS NULL OR reason IS OLD.disabled_reason
        THEN 0
        -- What an enabled subscription keeps in its row is the former reason, and is cleared.
        WHEN enabled
        THEN RAISE(ABORT,
          'only a disabled subscription has a disabled_reason: leave it out, or set enabled to 0')
        -- `printf` ends at U+0000, takes the first 1,024 bytes, and in a UTF-16 file converts the
        -- text to UTF-8 and back.
        WHEN typeof(reason) <> 'text' OR reason = '' OR reason IS NOT printf('%.1024s', reason)
             -- SQLite replaces what is no character when it takes it apart, so that it differs from
             -- what it was taken from. It does so with two that are.
             OR EXISTS (WITH rest (text) AS (
                            SELECT NEW.disabled_reason
                            UNION ALL SELECT substr(text, 2) FROM rest WHERE length(text) > 1)
                        SELECT 1 FROM rest
                         WHERE substr(text, 1, 1)
                               NOT IN (char(unicode(text)), char(65534), char(65535)))
        THEN RAISE(ABORT, 'disabled_reason is NULL, or 1 to 1,024 bytes of UTF-8 without U+0000')
        END
      FROM (SELECT NEW.enabled AS enabled, NEW.disabled_reason AS reason);

    -- `json_patch` leaves out what is NULL.
    INSERT INTO _webhook_registry_record (kind, subject, owner, fields)
    SELECT iif(new_enabled, 'enabled', 'disabled'), id, owner,
           '[' || substr(
               iif(enabled = new_enabled, '',
                   iif(enabled, ',{"name":"enabled","before":true,"after":false}',
                                ',{"name":"enabled","before":false,"after":true}'))
               || iif(disabled_reason IS reason, '',
                      ',' || json_patch('{}',
                          json_object('name', 'disabledReason', 'before', disabled_reason,
                                      'after', reason))),
               2) || ']'
      FROM _webhook_registry_subscription,
           (SELECT NEW.enabled AS new_enabled,
                   iif(NEW.enabled, NULL, NEW.disabled_reason) AS reason)
     WHERE id = OLD.id AND (enabled, disabled_reason) IS NOT (new_enabled, reason);
    UPDATE _webhook_registry_subscription
       SET enabled = new_enabled,
           disabled_reason = reason,
           disabled_at = iif(new_enabled, NULL, iif(enabled, now, coalesce(disabled_at, now))),
           updated_at = now,
           revision = revision + 1
      FROM (SELECT NEW.enabled AS new_enabled,
                   iif(NEW.enabled, NULL, NEW.disabled_reason) AS reason),
           _webhook_registry_record
     WHERE id = OLD.id AND (enabled, disabled_reason) IS NOT (new_enabled, reason);
END;

CREATE TRIGGER _webhook_registry_subscriptions_insert
INSTEAD OF INSERT ON webhook_registry_subscriptions
BEGIN
    SELECT RAISE(ABORT,
        'SQL can only delete subscriptions, or change their enabled and disabled_reason');
END;
