//! Tests patterns that do not decode, are missing, or lead to the wrong subscription.

use webhook_registry::ErrorKind;

use crate::support::refused;
use crate::undecodable_rows::Call::{ByName, Explain, Export, Get, Iter, List, Register, Update};
use crate::undecodable_rows::{Damaged, EVENT, SUBSCRIPTION_CALLS, assert_corrupt, set};

#[test]
fn an_invalid_stored_pattern_is_corrupt() {
    for text in ["''", "'**'", "'a**'", "'[^a]'", "'a b'", "'['"] {
        let sql = format!(
            "UPDATE _webhook_registry_pattern SET text = {text} WHERE text = \
                        'agent.*'"
        );
        assert_corrupt(&sql, &[Explain, Register]);
    }
    for text in [
        "''",
        "'**'",
        "'a**'",
        "'[^a]'",
        "'['",
        "' '",
        "'agent.* '",
        "' agent.*'",
        "'agent.*  queue.*'",
        "'agent.* ['",
        "'agent.*,queue.*'",
        "printf('%.*c', 257, 'a')",
    ] {
        assert_corrupt(&set("events", text), &SUBSCRIPTION_CALLS);
        assert_corrupt(&set("events", text), &[Explain, Iter, Export]);
    }
}

#[test]
fn a_pattern_that_finds_a_subscription_which_does_not_have_it_is_corrupt_and_not_explained() {
    assert_corrupt(&set("events", "'agent.v1 queue.v1'"), &[Explain]);
    let surplus = "INSERT INTO _webhook_registry_pattern (id, text) VALUES (70, 'agent.v1'); \
                   INSERT INTO _webhook_registry_expansion \
                   SELECT event_type, 70 FROM _webhook_registry_expansion \
                   WHERE pattern = \
                   (SELECT id FROM _webhook_registry_pattern WHERE text = 'agent.*'); \
                   INSERT INTO _webhook_registry_subscription_pattern VALUES (0, 2, 70, 1)";
    assert_corrupt(surplus, &[Explain]);
}

#[test]
fn a_missing_pattern_is_corrupt_and_matches_neither_nothing_nor_everything() {
    let gone = "DELETE FROM _webhook_registry_pattern WHERE text = 'agent.*'";
    assert_corrupt(gone, &[Explain]);
    assert_corrupt(&set("events", "''"), &[Get, ByName, List, Update, Explain]);
    // The expansion still leads to the subscription: the answer may be right, but not empty.
    let damaged = Damaged::new(gone, false);
    match damaged.registry.subscribers(EVENT) {
        Ok(all) => assert_eq!(all.len(), 1),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt),
    }
    refused(damaged.registry.explain(EVENT), ErrorKind::Corrupt, &[]);
}
