-- A cached answer of dispatch is valid while `mark` stays the same. So each change of a row that
-- dispatch reads changes the mark, whoever makes the change: this crate, a view or a statement by
-- hand. The mark is random and no counter, because a file that was restored in place could count up
-- to a number that it had before.
--
-- Only a guest has these triggers. In a file of the registry's own nothing else is written, so that
-- every commit counts as a change and nobody reads the mark.
CREATE TRIGGER _webhook_registry_mark_event_type_insert AFTER INSERT
    ON _webhook_registry_event_type
BEGIN UPDATE _webhook_registry_meta SET mark = random(); END;
CREATE TRIGGER _webhook_registry_mark_event_type_update AFTER UPDATE
    ON _webhook_registry_event_type
BEGIN UPDATE _webhook_registry_meta SET mark = random(); END;
CREATE TRIGGER _webhook_registry_mark_event_type_delete AFTER DELETE
    ON _webhook_registry_event_type
BEGIN UPDATE _webhook_registry_meta SET mark = random(); END;
CREATE TRIGGER _webhook_registry_mark_expansion_insert AFTER INSERT
    ON _webhook_registry_expansion
BEGIN UPDATE _webhook_registry_meta SET mark = random(); END;
CREATE TRIGGER _webhook_registry_mark_expansion_update AFTER UPDATE
    ON _webhook_registry_expansion
BEGIN UPDATE _webhook_registry_meta SET mark = random(); END;
CREATE TRIGGER _webhook_registry_mark_expansion_delete AFTER DELETE
    ON _webhook_registry_expansion
BEGIN UPDATE _webhook_registry_meta SET mark = random(); END;
CREATE TRIGGER _webhook_registry_mark_subscription_insert AFTER INSERT
    ON _webhook_registry_subscription
BEGIN UPDATE _webhook_registry_meta SET mark = random(); END;
CREATE TRIGGER _webhook_registry_mark_subscription_update AFTER UPDATE
    ON _webhook_registry_subscription
BEGIN UPDATE _webhook_registry_meta SET mark = random(); END;
CREATE TRIGGER _webhook_registry_mark_subscription_delete AFTER DELETE
    ON _webhook_registry_subscription
BEGIN UPDATE _webhook_registry_meta SET mark = random(); END;
CREATE TRIGGER _webhook_registry_mark_subscription_pattern_insert AFTER INSERT
    ON _webhook_registry_subscription_pattern
BEGIN UPDATE _webhook_registry_meta SET mark = random(); END;
CREATE TRIGGER _webhook_registry_mark_subscription_pattern_update AFTER UPDATE
    ON _webhook_registry_subscription_pattern
BEGIN UPDATE _webhook_registry_meta SET mark = random(); END;
CREATE TRIGGER _webhook_registry_mark_subscription_pattern_delete AFTER DELETE
    ON _webhook_registry_subscription_pattern
BEGIN UPDATE _webhook_registry_meta SET mark = random(); END;
CREATE TRIGGER _webhook_registry_mark_replaced_secret_insert AFTER INSERT
    ON _webhook_registry_replaced_secret
BEGIN UPDATE _webhook_registry_meta SET mark = random(); END;
CREATE TRIGGER _webhook_registry_mark_replaced_secret_update AFTER UPDATE
    ON _webhook_registry_replaced_secret
BEGIN UPDATE _webhook_registry_meta SET mark = random(); END;
CREATE TRIGGER _webhook_registry_mark_replaced_secret_delete AFTER DELETE
    ON _webhook_registry_replaced_secret
BEGIN UPDATE _webhook_registry_meta SET mark = random(); END;
-- The other columns of an owner change with every subscription.
CREATE TRIGGER _webhook_registry_mark_owner_insert AFTER INSERT
    ON _webhook_registry_owner
BEGIN UPDATE _webhook_registry_meta SET mark = random(); END;
CREATE TRIGGER _webhook_registry_mark_owner_update AFTER UPDATE OF id, name
    ON _webhook_registry_owner
BEGIN UPDATE _webhook_registry_meta SET mark = random(); END;
CREATE TRIGGER _webhook_registry_mark_owner_delete AFTER DELETE
    ON _webhook_registry_owner
BEGIN UPDATE _webhook_registry_meta SET mark = random(); END;
