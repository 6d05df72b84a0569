-- The views for other programs. Nobody can open a database in memory beside its registry, so that a
-- registry in memory has neither these views nor their triggers.
--
-- Columns may be added at the end; nothing else changes.

CREATE VIEW webhook_registry_subscriptions AS
SELECT s.id AS id, s.name AS name, url, enabled,
       '[' || replace(json_quote(events), ' ', '","') || ']' AS events,
       description, coalesce(metadata, '{}') AS metadata, created_at, updated_at, revision,
       o.name AS owner, disabled_reason, disabled_at
  FROM _webhook_registry_subscription s JOIN _webhook_registry_owner o ON o.id = owner;

CREATE VIEW webhook_registry_event_types AS
SELECT name, description, json_schema FROM _webhook_registry_event_type;

-- The enabled subscriptions without an owner, by the event types that they get.
CREATE VIEW webhook_registry_subscribers AS
SELECT DISTINCT event_type, s.id AS id, s.name AS name, url
  FROM _webhook_registry_expansion
  CROSS JOIN _webhook_registry_subscription_pattern r
    USING (pattern)
  CROSS JOIN _webhook_registry_subscription s ON seq = subscription
 WHERE r.owner = 0 AND r.enabled = 1 AND s.owner = 0 AND s.enabled = 1;

CREATE VIEW webhook_registry_owner_subscribers AS
SELECT DISTINCT o.name AS owner, event_type, s.id AS id, s.name AS name, url
  FROM _webhook_registry_expansion
  JOIN _webhook_registry_subscription_pattern r USING (pattern)
  JOIN _webhook_registry_owner o ON o.id = r.owner AND o.id <> 0
  JOIN _webhook_registry_subscription s
    ON seq = subscription AND s.owner = r.owner AND s.enabled = 1
 WHERE r.enabled = 1;

-- Every subscription with a pattern that matches an event type, also a disabled one, once for each
-- such pattern.
CREATE VIEW webhook_registry_routes AS
SELECT event_type, s.id AS id, o.name AS owner, s.name AS name, s.enabled AS enabled,
       text AS pattern
  FROM _webhook_registry_expansion x
  JOIN _webhook_registry_pattern p ON p.id = x.pattern
  JOIN _webhook_registry_subscription_pattern r ON r.pattern = p.id
  JOIN _webhook_registry_owner o ON o.id = r.owner
  JOIN _webhook_registry_subscription s ON seq = subscription AND s.owner = r.owner;

CREATE VIEW webhook_registry_changes AS
SELECT sequence, at, kind, subject, owner, fields FROM _webhook_registry_change;
