//! "Did you mean": the known name with the smallest edit distance to a text, or the pattern with
//! the smallest edit distance to a pattern.
//!
//! Computing a distance takes time in proportion to the product of the lengths, and there can be
//! thousands of names. So a call has a budget. The work is counted and not timed, so that the same
//! call returns the same suggestions on every machine. The caller reads the names in its
//! transaction, and compares them after it has released the lock.

use strsim::osa_distance;

use crate::error::{Error, Misspelt, quoted};
use crate::event_type::MAX_NAME;
use crate::pattern::EventPattern;

/// The most texts of one call that get a suggestion.
pub(crate) const MAX_SUGGESTIONS: usize = 10;

/// The budget of one call, in cells of the matrices that the distances fill. A cell takes 3 to 6 ns
/// in a release build, so a call takes less than 5 ms.
const MAX_WORK: usize = 800_000;

/// The fixed cost of counting the letters of a name, in cells.
const CELLS_PER_NAME: usize = 8;

/// The number of letters that take as long to count as one cell.
const LETTERS_PER_CELL: usize = 4;

/// Appends a suggestion to each message about an unknown text: `; did you mean "agent.held.v1"?`,
/// or nothing if no name is near. Each text gets the same share of the budget.
pub(crate) fn complete(error: Error, names: &[String]) -> Error {
    let texts = error.misspelt().take(MAX_SUGGESTIONS).count();
    let Some(share) = MAX_WORK.checked_div(texts) else {
        return error;
    };
    let mut remaining = texts;
    error.with_hints(|text| match remaining.checked_sub(1) {
        None => String::new(),
        Some(rest) => {
            remaining = rest;
            if names.is_empty() {
                return EMPTY_CATALOG.to_owned();
            }
            let mut budget = Budget { cells: share };
            let Some(name) = nearest(text, names, &mut budget) else {
                return String::new();
            };
            let pattern = nearest_pattern(text, name, &mut budget);
            format!("; did you mean {}?", quoted(pattern.as_deref().unwrap_or(name)))
        }
    })
}

const EMPTY_CATALOG: &str =
    "; the catalog is empty: fill it with `register_event_types` before anything subscribes";

/// Returns the pattern that matches `name` and is nearest to a misspelt pattern. Of the pattern
/// only the literal part that was compared is replaced, with a part of the name. None for a name,
/// and where the rest of the pattern does not match.
fn nearest_pattern(misspelt: &Misspelt, name: &str, budget: &mut Budget) -> Option<String> {
    /// A part that does not end at a separator differs in length by typing errors only.
    const SLACK: usize = 2;
    let (part, rest, at_start) = match misspelt {
        Misspelt::Name(_) => return None,
        Misspelt::Start(part, rest) => (part, rest, true),
        Misspelt::End(part, rest) => (part, rest, false),
    };
    // The character next to the wildcard.
    let border = |text: &str| if at_start { text.chars().next_back() } else { text.chars().next() };
    let separator = border(part).filter(|c| !c.is_ascii_alphanumeric());
    let length = part.len().min(name.len());
    let near = length.saturating_sub(SLACK)..=length.saturating_add(SLACK);
    let mut best: Option<((usize, usize), String)> = None;
    for at in 1..=name.len() {
        let start =
            if at_start { name.get(..at) } else { name.get(name.len().saturating_sub(at)..) };
        let candidate = start.unwrap_or_default();
        let fits = match separator {
            Some(_) => border(candidate) == separator,
            None => near.contains(&at),
        };
        if !fits || candidate.is_empty() {
            continue;
        }
        if !budget.spend(matrix_cells(part, candidate)) {
            break;
        }
        let distance = osa_distance(&part.to_ascii_lowercase(), &candidate.to_ascii_lowercase());
        let distance = (distance, candidate.len().abs_diff(part.len()));
        if best.as_ref().is_some_and(|(least, _)| *least <= distance) {
            continue;
        }
        let text =
            if at_start { format!("{candidate}{rest}") } else { format!("{rest}{candidate}") };
        if EventPattern::compile(&text).is_ok_and(|pattern| pattern.matches(name)) {
            best = Some((distance, text));
        }
    }
    best.map(|(_, text)| text)
}

/// The work that may still be done, in cells.
struct Budget {
    cells: usize,
}

impl Budget {
    /// Takes cells from the budget. Returns false, and takes none, if there are too few.
    fn spend(&mut self, cells: usize) -> bool {
        self.cells.checked_sub(cells).map(|rest| self.cells = rest).is_some()
    }
}

/// Returns the nearest name, and the first of several that are equally near.
///
/// The most promising names are compared first. If the budget is too small for all of them, the
/// result is the nearest of those that were compared.
fn nearest<'n>(misspelt: &Misspelt, names: &'n [String], budget: &mut Budget) -> Option<&'n str> {
    let text = match misspelt {
        Misspelt::Name(text) | Misspelt::Start(text, _) | Misspelt::End(text, _) => text,
    };
    // A suggestion differs from the text by at most half of its length. A text of more than twice
    // the length of every name differs by more.
    let length = text.chars().take(MAX_NAME.saturating_mul(2).saturating_add(1)).count();
    let limit = match misspelt {
        Misspelt::Name(_) if length > MAX_NAME.saturating_mul(2) => return None,
        Misspelt::Name(_) => length.div_ceil(2),
        Misspelt::Start(..) | Misspelt::End(..) => usize::MAX,
    };
    let text = text.to_ascii_lowercase();
    let mut best: Option<(usize, usize)> = None;
    for (bound, position, part) in candidates(misspelt, &text, length, limit, names, budget) {
        if best.is_some_and(|best| (bound, position) > best) {
            // No later candidate is nearer. One that is equally near has a later position.
            if best.is_some_and(|(distance, _)| bound > distance) {
                break;
            }
            continue;
        }
        let part = part.to_ascii_lowercase();
        let (text, part) = without_common_ends(&text, &part);
        if !budget.spend(matrix_cells(text, part)) {
            break;
        }
        let found = (osa_distance(text, part), position);
        if found.0 <= limit && best.is_none_or(|best| found < best) {
            best = Some(found);
        }
    }
    best.and_then(|(_, position)| names.get(position)).map(String::as_str)
}

/// Returns the names that can be within the limit: a lower bound of the distance, the position, and
/// the part of the name to compare. They are sorted by bound and position.
fn candidates<'n>(
    misspelt: &Misspelt,
    text: &str,
    length: usize,
    limit: usize,
    names: &'n [String],
    budget: &mut Budget,
) -> Vec<(usize, usize, &'n str)> {
    // The other half of the budget is for the distances.
    let mut counting = Budget { cells: budget.cells.div_ceil(2) };
    let letters = LetterCounts::default().with(text, 1);
    let mut candidates = Vec::with_capacity(names.len());
    for (position, name) in names.iter().enumerate() {
        let part = match misspelt {
            Misspelt::Name(_) => name,
            Misspelt::Start(start, _) => name.get(..start.len()).unwrap_or(name),
            Misspelt::End(end, _) => {
                name.get(name.len().saturating_sub(end.len())..).unwrap_or(name)
            }
        };
        // Only another program can store a name that is too long. It is skipped, and costs nothing.
        let letter_cells =
            if part.len() > MAX_NAME { 0 } else { part.len().div_ceil(LETTERS_PER_CELL) };
        if !counting.spend(CELLS_PER_NAME.saturating_add(letter_cells)) {
            break;
        }
        // The distance is at least the difference of the lengths, and at least the number of
        // letters that only one of the texts has.
        if part.len() > MAX_NAME || length.abs_diff(part.len()) > limit {
            continue;
        }
        let bound = letters.clone().with(part, -1).min_distance();
        if bound <= limit {
            candidates.push((bound, position, part));
        }
    }
    let for_distances = budget.cells.saturating_sub(budget.cells.div_ceil(2));
    budget.cells = for_distances.saturating_add(counting.cells);
    candidates.sort_unstable_by_key(|&(bound, position, _)| (bound, position));
    candidates
}

/// The number of occurrences of each letter in a text. Some letters share a count.
#[derive(Clone)]
struct LetterCounts([i16; 64]);

impl Default for LetterCounts {
    fn default() -> LetterCounts {
        LetterCounts([0; 64])
    }
}

impl LetterCounts {
    /// Adds the letters of a text, or subtracts them if `sign` is -1.
    fn with(mut self, text: &str, sign: i16) -> LetterCounts {
        for c in text.chars() {
            let index = u32::from(c.to_ascii_lowercase())
                .checked_rem(64)
                .and_then(|index| usize::try_from(index).ok());
            if let Some(count) = index.and_then(|index| self.0.get_mut(index)) {
                *count = count.saturating_add(sign);
            }
        }
        self
    }

    /// Returns a lower bound of the distance of two texts, where `self` is the difference of their
    /// counts.
    ///
    /// An insertion or a deletion changes one count by one. A substitution increases one count and
    /// decreases another. A transposition changes none. So neither the sum of the positive counts
    /// nor that of the negative ones exceeds the distance.
    fn min_distance(&self) -> usize {
        let sum = |sign: i16| -> i32 {
            self.0.iter().map(|count| i32::from(count.saturating_mul(sign).max(0))).sum()
        };
        usize::try_from(sum(1).max(sum(-1))).unwrap_or_default()
    }
}

/// Removes the common prefix and the common suffix of two texts, which does not change their
/// distance.
fn without_common_ends<'t>(one: &'t str, other: &'t str) -> (&'t str, &'t str) {
    let same = |pair: &(char, char)| pair.0 == pair.1;
    let bytes = |pair: (char, char)| pair.0.len_utf8();
    let start: usize = one.chars().zip(other.chars()).take_while(same).map(bytes).sum();
    let (one, other) = (one.get(start..).unwrap_or(one), other.get(start..).unwrap_or(other));
    let end: usize = one.chars().rev().zip(other.chars().rev()).take_while(same).map(bytes).sum();
    let cut = |text: &'t str| text.get(..text.len().saturating_sub(end)).unwrap_or(text);
    (cut(one), cut(other))
}

/// Returns the number of cells of the matrix for a distance.
fn matrix_cells(one: &str, other: &str) -> usize {
    let side = |text: &str| text.chars().count().saturating_add(1);
    side(one).saturating_mul(side(other))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects, reason = "a test fails where that does not hold")]

    use super::*;

    const PLENTY: usize = usize::MAX;

    /// A seeded generator, so that a failure is reproducible.
    struct Random(u64);

    impl Random {
        fn below(&mut self, bound: u64) -> u64 {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % bound
        }

        fn text(&mut self, letters: &[char], most: u64) -> String {
            (0..self.below(most + 1))
                .map(|_| letters[usize::try_from(self.below(1 << 20)).unwrap() % letters.len()])
                .collect()
        }
    }

    /// Returns the expected name, by comparing all names without a budget.
    fn nearest_of_all<'n>(text: &str, names: &'n [String]) -> Option<&'n str> {
        let limit = text.chars().count().div_ceil(2);
        let distance =
            |name: &&String| osa_distance(&text.to_ascii_lowercase(), &name.to_ascii_lowercase());
        let near = names.iter().filter(|name| distance(name) <= limit);
        near.min_by_key(distance).map(String::as_str)
    }

    #[test]
    fn the_order_of_comparing_does_not_change_the_suggestion() {
        let mut random = Random(7);
        for letters in
            [&['a', 'b'][..], &['a', 'b', 'C', 'c', '.', 'x', 'y'], &['a', 'é', 'b', '\u{161}']]
        {
            let ascii: Vec<char> = letters.iter().copied().filter(char::is_ascii).collect();
            for _ in 0..2_000 {
                let mut names: Vec<String> =
                    (0..random.below(12)).map(|_| random.text(&ascii, 9) + "x").collect();
                names.sort();
                let text = random.text(letters, 10);
                let found = nearest(
                    &Misspelt::Name(text.as_str().into()),
                    &names,
                    &mut Budget { cells: PLENTY },
                );
                assert_eq!(found, nearest_of_all(&text, &names), "{text:?} {names:?}");
            }
        }
    }

    #[test]
    fn a_common_prefix_or_suffix_does_not_change_the_distance() {
        let mut random = Random(3);
        for _ in 0..10_000 {
            let letters = ['a', 'b', 'é'];
            let (one, other) = (random.text(&letters, 7), random.text(&letters, 7));
            let (short, shorter) = without_common_ends(&one, &other);
            assert_eq!(osa_distance(short, shorter), osa_distance(&one, &other), "{one} {other}");
        }
    }

    #[test]
    fn comparing_stops_when_the_budget_is_used_up() {
        // All names have the same letters, so their bounds are equal. A later name is nearer.
        let names: Vec<String> = (0..20)
            .map(|n| {
                format!("{}{}z", "x".repeat(20 - n), "y".repeat(n))
                    + &"x".repeat(n)
                    + &"y".repeat(20 - n)
            })
            .collect();
        let text = Misspelt::Name(format!("{}{}w", "y".repeat(20), "x".repeat(20)).into());
        let position = |cells| {
            let mut budget = Budget { cells };
            let found = nearest(&text, &names, &mut budget)?;
            assert!(budget.cells < cells);
            names.iter().position(|name| name == found)
        };
        let nearest = position(PLENTY).unwrap();
        let found: Vec<Option<usize>> = (0..60).map(|step| position(step * 1_000)).collect();
        assert_eq!(found[0], None);
        assert!(found.is_sorted(), "{found:?}");
        assert_eq!(found[59], Some(nearest));
        assert!(found.iter().flatten().any(|&position| position < nearest), "{found:?}");
    }

    #[test]
    fn texts_and_names_that_are_too_long_are_skipped_at_no_cost() {
        let names = ["a".repeat(100_000), "abcd".to_owned()];
        let find = |text: &str| {
            nearest(&Misspelt::Name(text.into()), &names, &mut Budget { cells: 1_000 })
        };
        assert_eq!(find("abce"), Some("abcd"));
        assert_eq!(find(&"a".repeat(100_001)), None);
    }
}
