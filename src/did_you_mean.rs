//! "Did you mean": the known name that is nearest to a text, or the pattern that is nearest to a
//! pattern.
//!
//! A distance takes the product of two lengths, and there can be thousands of names. So a call has
//! a budget, and the work is counted, not timed: the same call gets the same suggestions on every
//! machine. The names are read by whoever refuses a text, and compared once the lock and the
//! transaction are gone.

use strsim::osa_distance;

use crate::error::{Error, Misspelt, quoted};
use crate::event_type::MAX_NAME;
use crate::pattern::EventPattern;

/// How many texts of one call get a suggestion.
pub(crate) const MAX_SUGGESTIONS: usize = 10;

/// The work of one call, in cells of the matrix that a distance fills in. A cell takes 3 to 6 ns in
/// a release build, so that the whole takes less than 5 ms.
const MAX_WORK: usize = 800_000;

/// What a look at the letters of a name takes besides them, and how many of them are as much work
/// as a cell.
const EACH_NAME: usize = 8;
const LETTERS_A_CELL: usize = 4;

/// Adds to the messages of an error what was probably meant: `; did you mean "agent.held.v1"?`, or
/// nothing where no name is near. Each of the texts has the same share of the work. Without any name
/// the catalog is empty, and the messages say so.
pub(crate) fn complete(error: Error, names: &[String]) -> Error {
    let texts = error.misspelt().take(MAX_SUGGESTIONS).count();
    let Some(share) = MAX_WORK.checked_div(texts) else {
        return error;
    };
    let mut left = texts;
    error.with_hints(|text| match left.checked_sub(1) {
        None => String::new(),
        Some(rest) => {
            left = rest;
            if names.is_empty() {
                return EMPTY_CATALOG.to_owned();
            }
            let mut work = Work { left: share };
            let Some(name) = nearest(text, names, &mut work) else {
                return String::new();
            };
            let pattern = nearest_pattern(text, name, &mut work);
            format!("; did you mean {}?", quoted(pattern.as_deref().unwrap_or(name)))
        }
    })
}

const EMPTY_CATALOG: &str =
    "; the catalog is empty: fill it with `register_event_types` before anything subscribes";

/// Returns the pattern that matches `name` and is nearest to a misspelt pattern. Of the pattern only
/// the literal part that was compared is replaced, with a part of the name. None for a name, and
/// where the rest of the pattern does not match.
fn nearest_pattern(misspelt: &Misspelt, name: &str, work: &mut Work) -> Option<String> {
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
        if !work.spend(cells(part, candidate)) {
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

/// What may still be done.
struct Work {
    left: usize,
}

impl Work {
    /// False where it is too much.
    fn spend(&mut self, units: usize) -> bool {
        self.left.checked_sub(units).map(|left| self.left = left).is_some()
    }
}

/// The nearest name, and of those as near the first. Where the work does not suffice for all, the
/// nearest of those that were compared: the likeliest are compared first.
fn nearest<'n>(misspelt: &Misspelt, names: &'n [String], work: &mut Work) -> Option<&'n str> {
    let text = match misspelt {
        Misspelt::Name(text) | Misspelt::Start(text, _) | Misspelt::End(text, _) => text,
    };
    // A longer text is further than half of it from every name.
    let length = text.chars().take(MAX_NAME.saturating_mul(2).saturating_add(1)).count();
    let limit = match misspelt {
        Misspelt::Name(_) if length > MAX_NAME.saturating_mul(2) => return None,
        Misspelt::Name(_) => length.div_ceil(2),
        Misspelt::Start(..) | Misspelt::End(..) => usize::MAX,
    };
    let text = text.to_ascii_lowercase();
    let mut best: Option<(usize, usize)> = None;
    for (bound, place, part) in likeliest(misspelt, &text, length, limit, names, work) {
        if best.is_some_and(|best| (bound, place) > best) {
            // None of those behind it is nearer, and one that is as near comes later.
            if best.is_some_and(|(distance, _)| bound > distance) {
                break;
            }
            continue;
        }
        let part = part.to_ascii_lowercase();
        let (text, part) = without_common_ends(&text, &part);
        if !work.spend(cells(text, part)) {
            break;
        }
        let found = (osa_distance(text, part), place);
        if found.0 <= limit && best.is_none_or(|best| found < best) {
            best = Some(found);
        }
    }
    best.and_then(|(_, place)| names.get(place)).map(String::as_str)
}

/// The names that can be near, each with the least that its distance can be, its place, and the
/// part that is compared. Sorted by that.
fn likeliest<'n>(
    misspelt: &Misspelt,
    text: &str,
    length: usize,
    limit: usize,
    names: &'n [String],
    work: &mut Work,
) -> Vec<(usize, usize, &'n str)> {
    // Half of the work is kept for the distances.
    let mut counting = Work { left: work.left.div_ceil(2) };
    let letters = Letters::default().with(text, 1);
    let mut likeliest = Vec::with_capacity(names.len());
    for (place, name) in names.iter().enumerate() {
        let part = match misspelt {
            Misspelt::Name(_) => name,
            Misspelt::Start(start, _) => name.get(..start.len()).unwrap_or(name),
            Misspelt::End(end, _) => {
                name.get(name.len().saturating_sub(end.len())..).unwrap_or(name)
            }
        };
        // A name that is too long is another program's work, and so is what it would cost.
        let units = if part.len() > MAX_NAME { 0 } else { part.len().div_ceil(LETTERS_A_CELL) };
        if !counting.spend(EACH_NAME.saturating_add(units)) {
            break;
        }
        // No two texts are nearer than their lengths, nor than the letters that only one of them
        // has.
        if part.len() > MAX_NAME || length.abs_diff(part.len()) > limit {
            continue;
        }
        let bound = letters.clone().with(part, -1).apart();
        if bound <= limit {
            likeliest.push((bound, place, part));
        }
    }
    work.left = work.left.saturating_sub(work.left.div_ceil(2)).saturating_add(counting.left);
    likeliest.sort_unstable_by_key(|&(bound, place, _)| (bound, place));
    likeliest
}

/// How often each letter stands in a text, several letters to a count.
#[derive(Clone)]
struct Letters([i16; 64]);

impl Default for Letters {
    fn default() -> Letters {
        Letters([0; 64])
    }
}

impl Letters {
    fn with(mut self, text: &str, sign: i16) -> Letters {
        for c in text.chars() {
            let place = u32::from(c.to_ascii_lowercase())
                .checked_rem(64)
                .and_then(|at| usize::try_from(at).ok());
            if let Some(count) = place.and_then(|place| self.0.get_mut(place)) {
                *count = count.saturating_add(sign);
            }
        }
        self
    }

    /// The least distance of two texts of which these are the counts of the one less those of the
    /// other. An insertion and a deletion change one count by one, a substitution two, one up and
    /// one down, and an exchange none.
    fn apart(&self) -> usize {
        let sum = |sign: i16| -> i32 {
            self.0.iter().map(|count| i32::from(count.saturating_mul(sign).max(0))).sum()
        };
        usize::try_from(sum(1).max(sum(-1))).unwrap_or_default()
    }
}

/// Both without what they begin and end with together, which leaves their distance as it is.
fn without_common_ends<'t>(one: &'t str, other: &'t str) -> (&'t str, &'t str) {
    let same = |pair: &(char, char)| pair.0 == pair.1;
    let bytes = |pair: (char, char)| pair.0.len_utf8();
    let start: usize = one.chars().zip(other.chars()).take_while(same).map(bytes).sum();
    let (one, other) = (one.get(start..).unwrap_or(one), other.get(start..).unwrap_or(other));
    let end: usize = one.chars().rev().zip(other.chars().rev()).take_while(same).map(bytes).sum();
    let cut = |text: &'t str| text.get(..text.len().saturating_sub(end)).unwrap_or(text);
    (cut(one), cut(other))
}

/// The cells of the matrix that a distance fills in.
fn cells(one: &str, other: &str) -> usize {
    let side = |text: &str| text.chars().count().saturating_add(1);
    side(one).saturating_mul(side(other))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects, reason = "a test fails where that does not hold")]

    use super::*;

    const PLENTY: usize = usize::MAX;

    /// A seeded generator, so that a failure comes again.
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

    /// What is looked for, by looking at all names.
    fn nearest_of_all<'n>(text: &str, names: &'n [String]) -> Option<&'n str> {
        let limit = text.chars().count().div_ceil(2);
        let distance =
            |name: &&String| osa_distance(&text.to_ascii_lowercase(), &name.to_ascii_lowercase());
        let near = names.iter().filter(|name| distance(name) <= limit);
        near.min_by_key(distance).map(String::as_str)
    }

    #[test]
    fn the_order_of_comparing_changes_no_answer() {
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
                    &mut Work { left: PLENTY },
                );
                assert_eq!(found, nearest_of_all(&text, &names), "{text:?} {names:?}");
            }
        }
    }

    #[test]
    fn what_two_texts_begin_and_end_with_does_not_count() {
        let mut random = Random(3);
        for _ in 0..10_000 {
            let (one, other) = (random.text(&['a', 'b', 'é'], 7), random.text(&['a', 'b', 'é'], 7));
            let (short, shorter) = without_common_ends(&one, &other);
            assert_eq!(osa_distance(short, shorter), osa_distance(&one, &other), "{one} {other}");
        }
    }

    #[test]
    fn no_more_names_are_compared_than_the_work_suffices_for() {
        // All of the same letters, so that nothing tells beforehand which is near. The later, the
        // nearer.
        let names: Vec<String> = (0..20)
            .map(|n| {
                format!("{}{}z", "x".repeat(20 - n), "y".repeat(n))
                    + &"x".repeat(n)
                    + &"y".repeat(20 - n)
            })
            .collect();
        let text = Misspelt::Name(format!("{}{}w", "y".repeat(20), "x".repeat(20)).into());
        let place = |left| {
            let mut work = Work { left };
            let found = nearest(&text, &names, &mut work)?;
            assert!(work.left < left);
            names.iter().position(|name| name == found)
        };
        let all = place(PLENTY).unwrap();
        let places: Vec<Option<usize>> = (0..60).map(|step| place(step * 1_000)).collect();
        assert_eq!(places[0], None);
        assert!(places.is_sorted(), "{places:?}");
        assert_eq!(places[59], Some(all));
        assert!(places.iter().any(|place| place.is_some_and(|place| place < all)), "{places:?}");
    }

    #[test]
    fn names_and_texts_of_any_length_cost_no_more_than_the_longest_that_can_be() {
        let names = ["a".repeat(100_000), "abcd".to_owned()];
        let find =
            |text: &str| nearest(&Misspelt::Name(text.into()), &names, &mut Work { left: 1_000 });
        assert_eq!(find("abce"), Some("abcd"));
        assert_eq!(find(&"a".repeat(100_001)), None);
    }
}
