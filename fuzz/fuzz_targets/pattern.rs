//! Tests that an accepted pattern matches what its syntax defines, and that the `glob` crate, which
//! compiles it later, accepts it too.
//!
//! The input is a pattern, and a name on each further line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use webhook_registry::{ErrorKind, EventPattern};

#[allow(dead_code, reason = "the tests use the rest of it")]
#[path = "../../tests/it/support/oracle.rs"]
mod oracle;

fuzz_target!(|text: &str| {
    let mut lines = text.split('\n');
    let pattern = lines.next().unwrap_or_default();
    let parsed = match pattern.parse::<EventPattern>() {
        Ok(parsed) => parsed,
        Err(error) => {
            assert!(!oracle::accepts(pattern), "{error}");
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert_eq!(error.problems().len(), 1);
            assert_eq!(error.problems()[0].field(), "pattern");
            return;
        }
    };
    assert!(oracle::accepts(pattern));
    assert_eq!(parsed.is_wildcard(), oracle::is_wildcard(pattern));
    assert_eq!(parsed.to_string(), pattern);
    let json = serde_json::to_string(&parsed).unwrap();
    assert_eq!(serde_json::from_str::<EventPattern>(&json).unwrap(), parsed);
    let compiled = glob::Pattern::new(pattern).expect("the glob crate accepts every valid pattern");
    for name in lines.chain([pattern]) {
        let expected = oracle::matches(pattern, name);
        assert_eq!(parsed.matches(name), expected, "{pattern:?} {name:?}");
        if oracle::is_name(name) {
            assert_eq!(compiled.matches(name), expected, "{pattern:?} {name:?}");
        }
    }
});
