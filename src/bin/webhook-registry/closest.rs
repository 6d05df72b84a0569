//! How close a pattern is to an event type that it does not match.

use webhook_registry::EventPattern;

/// One part of a pattern.
#[derive(Debug)]
enum Token {
    /// `*`
    Any,
    Character(char),
    /// `?`, or a class such as `[a-z]`, which the library judges.
    OneOf(EventPattern),
}

impl Token {
    fn takes(&self, character: char) -> bool {
        match self {
            Token::Any => true,
            Token::Character(own) => *own == character,
            Token::OneOf(pattern) => pattern.matches(character.encode_utf8(&mut [0; 4])),
        }
    }
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
                Token::Character(_) | Token::OneOf(_) => {
                    let character = at.checked_sub(1).and_then(|at| characters.get(at));
                    let replaced = match (diagonal, character) {
                        (Some(diagonal), Some(&character)) => {
                            diagonal.saturating_add(usize::from(!token.takes(character)))
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

fn tokens(pattern: &str) -> impl Iterator<Item = Token> {
    let mut rest = pattern;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let end = if first == '[' { rest.find(']')?.checked_add(1)? } else { first.len_utf8() };
        let (token, after) = rest.split_at_checked(end)?;
        rest = after;
        Some(match first {
            '*' => Token::Any,
            '?' | '[' => Token::OneOf(token.parse().ok()?),
            character => Token::Character(character),
        })
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
