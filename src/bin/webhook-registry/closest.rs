//! How close a pattern is to an event type that it does not match.

use webhook_registry::EventPattern;

/// One part of a pattern.
#[derive(Clone, Copy, Debug)]
enum Token<'a> {
    /// `*`
    Any,
    /// A character, `?`, or a class such as `[a-z]`.
    One(&'a str),
}

/// Returns the number of characters that have to be inserted, removed or replaced in an event type
/// until the pattern matches.
///
/// This is the edit distance, except that `*` takes any characters for nothing. `strsim` does not
/// know wildcards.
pub(crate) fn distance(pattern: &EventPattern, event_type: &str) -> usize {
    let characters: Vec<char> = event_type.chars().collect();
    // The distances of the tokens so far from each beginning of the event type.
    let mut row: Vec<usize> = (0..=characters.len()).collect();
    for token in tokens(pattern.as_str()) {
        let mut next = Vec::with_capacity(row.len());
        let mut left: Option<usize> = None;
        let mut diagonal: Option<usize> = None;
        for (at, &up) in row.iter().enumerate() {
            let best = match token {
                // `*` takes nothing, or one more character.
                Token::Any => left.map_or(up, |left| left.min(up)),
                Token::One(one) => {
                    let character = at.checked_sub(1).and_then(|at| characters.get(at));
                    let replaced = match (diagonal, character) {
                        (Some(diagonal), Some(&character)) => {
                            diagonal.saturating_add(usize::from(!takes(one, character)))
                        }
                        _ => usize::MAX,
                    };
                    let removed = left.map_or(usize::MAX, |left| left.saturating_add(1));
                    replaced.min(removed).min(up.saturating_add(1))
                }
            };
            next.push(best);
            left = Some(best);
            diagonal = Some(up);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

/// Returns whether a token matches a character. A class is judged by the library.
fn takes(token: &str, character: char) -> bool {
    token
        .parse::<EventPattern>()
        .is_ok_and(|token| token.matches(character.encode_utf8(&mut [0; 4])))
}

fn tokens(pattern: &str) -> impl Iterator<Item = Token<'_>> {
    let mut rest = pattern;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let end = if first == '[' { rest.find(']')?.checked_add(1)? } else { first.len_utf8() };
        let (token, after) = rest.split_at_checked(end)?;
        rest = after;
        Some(if token == "*" { Token::Any } else { Token::One(token) })
    })
}

#[cfg(test)]
mod tests {
    use super::distance;

    #[test]
    fn the_distance_counts_edits_and_a_wildcard_takes_anything() {
        for (pattern, event_type, expected) in [
            ("order.paid", "order.paid", 0),
            ("order.payed", "order.paid", 2),
            ("orders.*", "order.paid", 1),
            ("*", "order.paid", 0),
            ("*.v1", "order.paid.v2", 1),
            ("o[a-q]der.*", "order.paid", 1),
            ("o[!a-q]der.?aid", "order.paid", 0),
            ("invoice.*", "order.paid", 6),
            ("a", "abc", 2),
        ] {
            let pattern = pattern.parse().unwrap();
            assert_eq!(distance(&pattern, event_type), expected, "{pattern} {event_type}");
        }
    }
}
