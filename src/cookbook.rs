// The programs use the features `signing` and `test-util`. Hidden lines would hide that from a
// reader who pastes them, so the doctests need the features; the documentation does not.
#![cfg_attr(
    any(not(doctest), all(feature = "signing", feature = "test-util")),
    doc = concat!(include_str!("cookbook/deliver.md"), include_str!("cookbook/operate.md"))
)]
#![cfg_attr(
    all(doctest, not(all(feature = "signing", feature = "test-util"))),
    doc = "Whole programs for common tasks."
)]
