//! Payment cards: in one piece or in the groups that are printed on them, with the right check digit.

use super::{Found, Place, is_digit, joins};

const DIGITS_MIN: usize = 13;
const DIGITS_MAX: usize = 19;
/// What may stand between two groups.
const BETWEEN: [char; 5] = [' ', '-', '.', '\u{a0}', '\u{202f}'];

pub(super) fn at(place: &Place<'_>) -> Result<Found, Found> {
    if place.within_word() || !place.rest.starts_with(['2', '3', '4', '5', '6']) {
        return Ok(Found::Nothing);
    }
    let groups = groups(place)?;
    // The longest card that the groups make up; a security number may stand behind it.
    for count in (1..=groups.len()).rev() {
        let groups = groups.get(..count).unwrap_or_default();
        let Some(end) = groups.last().map(|group| group.end) else {
            break;
        };
        if count == 1 && place.after(end)?.is_some_and(joins) || !is_printed_like(groups) {
            continue;
        }
        let text = place.rest.get(..end).unwrap_or_default();
        let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(10)).collect();
        if is_card(&digits) {
            return Ok(Found::Bytes(end));
        }
    }
    Ok(Found::Nothing)
}

struct Group {
    digits: usize,
    end: usize,
}

/// The groups of digits from the place on, as many as a card may have.
fn groups(place: &Place<'_>) -> Result<Vec<Group>, Found> {
    let (mut groups, mut at) = (Vec::new(), 0);
    while groups.len() < 5 {
        let rest = place.rest.get(at..).unwrap_or_default();
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if digits > DIGITS_MAX {
            break;
        }
        at += digits;
        let next = place.after(at)?;
        groups.push(Group { digits, end: at });
        // Only a card in one piece has a first group of another size.
        let first = groups.first().is_some_and(|group| group.digits == 4);
        let Some(next) = next.filter(|next| first && digits <= 6 && BETWEEN.contains(next)) else {
            break;
        };
        at += next.len_utf8();
        if !is_digit(place.after(at)?) {
            break;
        }
    }
    Ok(groups)
}

fn is_printed_like(groups: &[Group]) -> bool {
    let mut sizes = [0; 5];
    for (size, group) in sizes.iter_mut().zip(groups) {
        *size = group.digits;
    }
    match sizes {
        [all, 0, ..] => (DIGITS_MIN..=DIGITS_MAX).contains(&all),
        [4, 6, 4 | 5, 0, 0] => true,
        [4, 4, 4, 4, more] => more <= 3,
        [4, 4, 4, 1, 0] => true,
        _ => false,
    }
}

/// Whether an issuer gives out such numbers, and the check digit (ISO/IEC 7812, Luhn) is right.
fn is_card(digits: &[u32]) -> bool {
    let number = |count: usize| {
        digits
            .iter()
            .take(count)
            .fold(0, |sum, digit| sum * 10 + digit)
    };
    let issued = match digits.first() {
        Some(4..=6) => true,
        Some(3) => matches!(number(2), 30 | 34..=39),
        Some(2) => (2221..=2720).contains(&number(4)),
        _ => false,
    };
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match (place % 2, digit * 2) {
            (0, _) => *digit,
            (_, double) => double / 10 + double % 10,
        })
        .sum();
    issued && sum.is_multiple_of(10)
}
