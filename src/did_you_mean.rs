//! "Did you mean": the known name that is nearest to a text.

use strsim::osa_distance;

use crate::pattern::EventPattern;

/// How many texts of one call get a suggestion. Each costs a look at every name.
pub(crate) const MOST: usize = 10;

/// The end of a message: `; did you mean "agent.held.v1"?`, or nothing where no name is near.
pub(crate) fn for_name(text: &str, names: &[String]) -> String {
    let length = text.chars().count();
    let limit = length.div_ceil(2);
    hint(nearest(names, |name| {
        // No two texts are nearer than their lengths. The text can be any length, and a distance takes its product with
        // the name's.
        let near = length.abs_diff(name.len()) <= limit;
        near.then(|| distance(text, name)).filter(|&distance| distance <= limit)
    }))
}

/// The same for a wildcard that covers nothing: compared are its longer literal end and the same end of each name.
pub(crate) fn for_wildcard(pattern: &EventPattern, names: &[String]) -> String {
    let (prefix, suffix) = (pattern.literal_prefix(), pattern.literal_suffix());
    hint(if prefix.len() >= suffix.len() {
        nearest(names, |name| Some(distance(prefix, name.get(..prefix.len()).unwrap_or(name))))
    } else {
        nearest(names, |name| {
            let from = name.len().saturating_sub(suffix.len());
            Some(distance(suffix, name.get(from..).unwrap_or(name)))
        })
    })
}

fn distance(text: &str, name: &str) -> usize {
    osa_distance(&text.to_ascii_lowercase(), &name.to_ascii_lowercase())
}

fn nearest(names: &[String], distance: impl Fn(&str) -> Option<usize>) -> Option<&String> {
    names
        .iter()
        .filter_map(|name| Some((distance(name)?, name)))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

fn hint(name: Option<&String>) -> String {
    name.map(|name| format!("; did you mean {name:?}?")).unwrap_or_default()
}
