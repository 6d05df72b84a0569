// The programs use the feature `test-util`. Hidden lines would hide that from a reader who pastes
// them, so the doctests need the feature; the documentation does not.
#![cfg_attr(any(not(doctest), feature = "test-util"), doc = include_str!("cookbook.md"))]
#![cfg_attr(all(doctest, not(feature = "test-util")), doc = "Whole programs for common tasks.")]
