//! Messages that say what is wrong, where, and what to do.

use webhook_registry::{
    ErrorKind, EventPattern, NewSubscription, Prune, Registry, Rotation, SigningSecret,
    SubscriptionUpdate,
};

use crate::support::{contact_center, new, refused};

fn registry(names: &[&str]) -> Registry {
    let registry = Registry::in_memory().unwrap();
    registry.register_event_types(names.iter().copied()).unwrap();
    registry
}

/// The message about the only event of a subscription.
#[track_caller]
fn about_event(registry: &Registry, event: &str) -> String {
    let new = NewSubscription::new("crm", "https://example.com/", [event]);
    let error = registry.create(new).unwrap_err();
    assert_eq!(error.problems()[0].field(), "events[0]");
    error.problems()[0].message().to_owned()
}

#[test]
fn a_pattern_is_suggested_for_a_pattern() {
    let known = ["invoice.sent.v1", "order.paid.v1", "order.shipped.v1"];
    let registry = registry(&known);
    for (pattern, suggested) in [
        ("orders.*", "order.*"),
        ("ordr.*", "order.*"),
        ("Order.*", "order.*"),
        ("order.payed.*", "order.paid.*"),
        ("invoices.*.v1", "invoice.*.v1"),
        ("ordre*", "order*"),
        ("*.v2", "*.v1"),
        ("*.payd.v1", "*.paid.v1"),
        ("invoice.sendt.v[12]", "invoice.sent.v[12]"),
        ("order.shiped.v?", "order.shipped.v?"),
    ] {
        let message = about_event(&registry, pattern);
        assert!(message.ends_with(&format!("; did you mean {suggested:?}?")), "{message}");
        let suggested: EventPattern = suggested.parse().unwrap();
        assert!(known.iter().any(|name| suggested.matches(name)));
    }
    // Where no pattern like it would match, a name is suggested.
    let message = about_event(&registry, "orders.*.v9");
    assert!(message.ends_with(r#"; did you mean "order.shipped.v1"?"#), "{message}");
    let message = about_event(&registry, "order.pait.v1");
    assert!(message.ends_with(r#"; did you mean "order.paid.v1"?"#), "{message}");
}

#[test]
fn an_empty_catalog_is_named_with_how_it_is_filled() {
    let registry = Registry::in_memory().unwrap();
    let empty = "; the catalog is empty: fill it with `register_event_types`";
    for event in ["order.paid", "order.*", "*"] {
        let message = about_event(&registry, event);
        assert!(message.contains(empty), "{message}");
    }
    let declared = || NewSubscription::new("crm", "https://example.com/", ["order.paid"]);
    for error in [
        registry.subscribers("order.paid").unwrap_err(),
        registry.explain("order.paid").unwrap_err(),
        registry.ensure(declared()).unwrap_err(),
        registry.plan([declared()], Prune::Keep).unwrap_err(),
        registry.remove_event_type("order.paid").unwrap_err(),
    ] {
        assert!(error.to_string().contains(empty), "{error}");
        assert!(error.problems()[0].message().contains(empty), "{error}");
    }
    registry.register_event_type("order.paid").unwrap();
    let error = registry.subscribers("fax").unwrap_err();
    assert!(!error.to_string().contains("empty"), "{error}");
}

#[test]
fn a_list_of_events_in_one_text_is_recognized() {
    let registry = registry(&["order.paid", "order.shipped"]);
    for (text, message) in [
        (
            "order.paid,order.shipped",
            concat!(
                "',' at byte 10 cannot be in a pattern: these are 2 entries, ",
                r#""order.paid", "order.shipped""#
            ),
        ),
        (
            "order.paid, order.*, x",
            concat!(
                "',' at byte 10 cannot be in a pattern: these are 3 entries, ",
                r#""order.paid", "order.*", "x""#
            ),
        ),
        (
            "order.paid order.shipped",
            concat!(
                "' ' at byte 10 cannot be in a pattern: these are 2 entries, ",
                r#""order.paid", "order.shipped""#
            ),
        ),
        (
            "order.paid;order.shipped",
            concat!(
                "';' at byte 10 cannot be in a pattern: these are 2 entries, ",
                r#""order.paid", "order.shipped""#
            ),
        ),
    ] {
        assert_eq!(about_event(&registry, text), message);
        assert_eq!(text.parse::<EventPattern>().unwrap_err().problems()[0].message(), message);
    }
    // Entries that are no patterns are not advised.
    for text in ["order.paid,", ",", "a,é", "a,**"] {
        let message = about_event(&registry, text);
        assert!(message.contains("at byte") && !message.contains("entries"), "{message}");
    }
}

#[test]
fn a_secret_that_is_not_standard_base64_is_explained_without_showing_it() {
    let url_safe = "Leaky_WHqXISxMAgoYneiFhgdGrOgYeToYPN3HjIO-x";
    let long = format!("Leaky{}", "A".repeat(60));
    let spaced = "Leaky WHqXISxMAgoYneiFhgdGrOgYeToYPN3HjIO4";
    let registry = contact_center();
    let id = registry.create(new("there")).unwrap().subscription().id();
    for (secret, why) in [
        (url_safe, "this is URL-safe base64: write `+` instead of `-` and `/` instead of `_`"),
        (&*long, "cannot be a multiple of 4 plus 1, so a character is missing or too many"),
        (spaced, "a secret has to be standard base64 without white space"),
    ] {
        for secret in [secret.to_owned(), format!("whsec_{secret}"), format!("{secret}=")] {
            for error in [
                SigningSecret::parse(&secret).unwrap_err(),
                registry.create(new("crm").secret(&*secret)).unwrap_err(),
                registry.update(id, SubscriptionUpdate::new().secret(&*secret)).unwrap_err(),
                registry.rotate_secret(id, Rotation::new().secret(&*secret)).unwrap_err(),
            ] {
                assert_eq!(error.problems()[0].field(), "secret");
                assert!(error.problems()[0].message().contains(why), "{error}");
                assert!(!error.to_string().contains("Leaky"), "{error}");
            }
        }
    }
}

#[test]
fn a_prefix_in_upper_case_is_not_taken_for_url_safe_base64() {
    let error = SigningSecret::parse(&format!("WHSEC_{}", "A".repeat(43))).unwrap_err();
    assert!(error.to_string().ends_with("after a prefix of `whsec_` in lower case"), "{error}");
}

#[test]
fn a_secret_of_64_hexadecimal_digits_is_accepted_as_base64_of_48_bytes_and_check_advises() {
    let hexadecimal = "0a1b2c3d".repeat(8);
    let registry = contact_center();
    let created = registry.create(new("crm").secret(&*hexadecimal)).unwrap();
    let id = created.subscription().id();
    let report = registry.check().unwrap();
    let [advice] = report.advice() else { panic!("{report}") };
    assert!(report.is_sound());
    assert_eq!(advice.subscription_id(), Some(id));
    assert!(advice.message().contains("read as base64 of 48 bytes"), "{advice}");
    assert!(!advice.message().contains(&hexadecimal), "{advice}");
    for (secret, advised) in [
        (hexadecimal.to_uppercase(), true),
        (format!("whsec_{}", "0123456789abcdef".repeat(8)), true),
        (format!("{}0A", "0a1b2c3d".repeat(8)), false),
        (format!("{}==", &hexadecimal[..62]), false),
        ("A".repeat(64), false),
    ] {
        registry.rotate_secret(id, Rotation::new().secret(&*secret)).unwrap();
        assert_eq!(!registry.check().unwrap().advice().is_empty(), advised, "{secret}");
    }
    assert_eq!(created.secret().key().len(), 48);
    assert_eq!(created.secret().expose(), hexadecimal);
}

#[test]
fn a_port_that_is_none_is_named() {
    for url in ["https://example.com:99999", "https://example.com:65536/a", "http://h:8o/?a:b"] {
        let create = contact_center().create(NewSubscription::new("crm", url, ["agent.*"]));
        let message = refused(create, ErrorKind::Invalid, &["url"]).to_string();
        let expected = "url: not a URL: the port behind the host is not a number from 0 to 65535";
        assert_eq!(message, expected);
    }
    contact_center()
        .create(NewSubscription::new("crm", "https://example.com:65535", ["agent.*"]))
        .unwrap();
}

#[test]
fn a_missing_and_a_repeated_key_are_quoted() {
    let told = |document: &str| {
        let error = serde_json::from_str::<NewSubscription>(document).unwrap_err();
        error.to_string()
    };
    assert!(told(r#"{"url": "u", "events": []}"#).starts_with(r#"missing key "name" at"#));
    assert!(told("{}").starts_with(r#"missing keys "name", "url", "events" at"#));
    assert!(
        told(r#"{"name": "a", "name": "b"}"#).starts_with(r#"the key "name" appears twice at"#)
    );
}
