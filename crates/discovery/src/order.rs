//! The order in which people look for names.

use std::cmp::Ordering;
use std::iter;

/// How people sort names: letters whatever their case, and numbers by their value, so that `camera 2` comes before
/// `Camera 10`, and 10.0.0.9 before 10.0.0.10.
///
/// ```
/// use manycast::discovery::natural_order;
///
/// let mut names = ["nas10", "NAS2", "nas1"];
/// names.sort_by(|one, other| natural_order(one, other));
/// assert_eq!(names, ["nas1", "NAS2", "nas10"]);
/// ```
pub fn natural_order(one: &str, other: &str) -> Ordering {
    let (lower, other_lower) = (one.to_lowercase(), other.to_lowercase());
    let order = parts(&lower).cmp(parts(&other_lower));
    // Names that differ are never equal, so that their order is always the same.
    order.then_with(|| one.cmp(other))
}

/// What is compared at once.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Part<'a> {
    /// A number, without zeros before it: the longer one is greater.
    Number(usize, &'a str),
    Letter(char),
}

fn parts(mut text: &str) -> impl Iterator<Item = Part<'_>> {
    iter::from_fn(move || {
        let after = text.trim_start_matches(|letter: char| letter.is_ascii_digit());
        let (number, _) = text.split_at(text.len() - after.len());
        if number.is_empty() {
            let letter = text.chars().next()?;
            text = &text[letter.len_utf8()..];
            return Some(Part::Letter(letter));
        }
        text = after;
        let number = number.trim_start_matches('0');
        Some(Part::Number(number.len(), number))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_by_their_value() {
        let sorted = [
            "",
            "7",
            "10.0.0.9 on eth0",
            "10.0.0.10 on eth0",
            "camera",
            "Camera 02",
            "camera 2",
            "camera 2b",
            "Camera 10",
            "camera 184467440737095516160",
            "camera b",
            "Über",
        ];
        let mut names = sorted;
        names.reverse();
        names.sort_by(|one, other| natural_order(one, other));
        assert_eq!(names, sorted);
    }
}
