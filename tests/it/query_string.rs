//! A `ListQuery` from the texts of a query string.

use serde_json::json;
use webhook_registry::{ErrorKind, ListQuery, Registry};

use crate::support::refused;

fn query(text: &str) -> Result<ListQuery, String> {
    serde_urlencoded::from_str(text).map_err(|error| error.to_string())
}

#[test]
fn a_list_query_reads_the_texts_of_a_query_string() {
    let id = "01K9V3T0Z2B4C6D8E0F2G4H6J8";
    let text = format!("enabled=true&limit=10&nameContains=a%20b&eventType=agent.held&after={id}");
    let expected = ListQuery::new()
        .enabled(true)
        .limit(10)
        .name_contains("a b")
        .event_type("agent.held")
        .after(id.parse().unwrap());
    assert_eq!(query(&text).unwrap(), expected);
    assert_eq!(query("enabled=false").unwrap(), ListQuery::new().enabled(false));
    // A name can look like a value of another type.
    assert_eq!(query("nameContains=10").unwrap(), ListQuery::new().name_contains("10"));
    assert_eq!(query("").unwrap(), ListQuery::new());
    let empty = "enabled=&limit=&nameContains=&eventType=&after=&metadata=";
    assert_eq!(query(empty).unwrap(), ListQuery::new());
    // From JSON too, but not by `from_json`.
    let document = json!({"limit": "10", "enabled": "true"}).to_string();
    let both = ListQuery::new().limit(10).enabled(true);
    assert_eq!(serde_json::from_str::<ListQuery>(&document).unwrap(), both);
    assert_eq!(ListQuery::from_json(document.as_bytes()).unwrap_err().problems().len(), 2);
}

#[test]
fn the_faults_of_a_query_string_name_their_key_and_no_value() {
    for (text, expected) in [
        ("limit=Leaky", "limit: expected a whole number from 0 or null, found a string"),
        ("limit=-1", "limit: expected a whole number from 0 or null, found a string"),
        ("limit=%2B1", "limit: expected a whole number from 0 or null, found a string"),
        ("limit=1.0", "limit: expected a whole number from 0 or null, found a string"),
        ("limit=99999999999999999999", "limit: expected a whole number from 0 or null, found"),
        ("enabled=Leaky", "enabled: expected a boolean or null, found a string"),
        ("enabled=1", "enabled: expected a boolean or null, found a string"),
        ("after=Leaky", "after: a subscription id has 26 characters, not 5"),
        ("metadata=Leaky", "metadata: expected an object or null, found a string"),
        ("limit=1&limit=1", r#"the key "limit" appears twice"#),
        ("owner=Leaky", r#"unknown key "owner"; the keys are enabled,"#),
    ] {
        let message = query(text).unwrap_err();
        assert!(message.starts_with(expected), "{text}: {message}");
        assert!(!message.contains("Leaky"), "{message}");
    }
    let registry = Registry::in_memory().unwrap();
    for limit in ["0", "1001", "18446744073709551615"] {
        let list = registry.list(query(&format!("limit={limit}")).unwrap());
        refused(list, ErrorKind::Invalid, &["limit"]);
    }
}
