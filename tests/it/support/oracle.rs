//! An independent implementation of patterns, as slow and simple as the documentation describes
//! them, to compare the crate with.

use std::collections::BTreeSet;

/// One part of a pattern.
enum Part {
    Run,
    One,
    Literal(char),
    Class { negated: bool, members: Vec<(char, char)> },
}

/// Returns true if the text is a valid pattern.
pub(crate) fn accepts(pattern: &str) -> bool {
    parse(pattern).is_some()
}

/// Returns true if the text is a pattern with a wildcard.
pub(crate) fn is_wildcard(pattern: &str) -> bool {
    parse(pattern).is_some_and(|parts| !parts.iter().all(|part| matches!(part, Part::Literal(_))))
}

/// Returns true if the text is a valid name of an event type.
pub(crate) fn is_name(text: &str) -> bool {
    (1..=256).contains(&text.len()) && text.chars().all(is_name_char)
}

/// Returns true if the pattern matches the name, and false if either is invalid.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let name_chars: Vec<char> = name.chars().collect();
    is_name(name) && parse(pattern).is_some_and(|parts| matches_parts(&parts, &name_chars))
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_-.:/".contains(c)
}

fn parse(pattern: &str) -> Option<Vec<Part>> {
    if pattern.is_empty() || pattern.len() > 256 || pattern.contains("**") {
        return None;
    }
    let mut parts = Vec::new();
    let mut rest = pattern;
    while let Some(first) = rest.chars().next() {
        rest = &rest[first.len_utf8()..];
        parts.push(match first {
            '*' => Part::Run,
            '?' => Part::One,
            '[' => {
                let (class, after) = rest.split_once(']')?;
                rest = after;
                let negated = class.starts_with('!');
                let members = members(if negated { &class[1..] } else { class })?;
                Part::Class { negated, members }
            }
            c if is_name_char(c) => Part::Literal(c),
            _ => return None,
        });
    }
    Some(parts)
}

/// Parses a set: `-` at either end, and between them characters and ascending ranges, none of which
/// is a `-`.
fn members(class: &str) -> Option<Vec<(char, char)>> {
    if class.is_empty() {
        return None;
    }
    let mut found = Vec::new();
    let mut inner: Vec<char> = class.chars().collect();
    if inner[0] == '-' {
        found.push(('-', '-'));
        inner.remove(0);
    }
    if inner.last() == Some(&'-') {
        found.push(('-', '-'));
        inner.pop();
    }
    while !inner.is_empty() {
        let from = inner.remove(0);
        let mut to = from;
        if inner.first() == Some(&'-') {
            inner.remove(0);
            if inner.is_empty() {
                return None;
            }
            to = inner.remove(0);
            if to <= from {
                return None;
            }
        }
        if !is_name_char(from) || !is_name_char(to) || from == '-' || to == '-' {
            return None;
        }
        found.push((from, to));
    }
    Some(found)
}

fn fits(part: &Part, c: char) -> bool {
    match part {
        Part::Run | Part::One => true,
        Part::Literal(literal) => *literal == c,
        Part::Class { negated, members } => {
            members.iter().any(|&(from, to)| (from..=to).contains(&c)) != *negated
        }
    }
}

/// Follows every way through the name at once: after each part, the set of reachable positions.
fn matches_parts(parts: &[Part], name: &[char]) -> bool {
    let mut places = BTreeSet::from([0]);
    for part in parts {
        places = if matches!(part, Part::Run) {
            places.first().map(|&first| (first..=name.len()).collect()).unwrap_or_default()
        } else {
            let on =
                places.iter().filter(|&&place| name.get(place).is_some_and(|&c| fits(part, c)));
            on.map(|place| place + 1).collect()
        };
    }
    places.contains(&name.len())
}
