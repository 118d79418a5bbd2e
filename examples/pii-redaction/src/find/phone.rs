//! Telephone numbers. Only forms that little else has: a country's code, or North American groups; and,
//! where the operator wants it, a leading 0.

use std::sync::LazyLock;

use super::{Found, Place, Template, is_digit, joins};

const DIGITS_MAX: usize = 15;

/// Area, exchange and number, with or without the country's 1.
static NORTH_AMERICAN: LazyLock<Vec<Template>> = LazyLock::new(|| {
    [
        "(N##)_N##-####",
        "N##-N##-####",
        "1-N##-N##-####",
        "1_(N##)_N##-####",
    ]
    .iter()
    .map(|form| Template::of_phone(form))
    .collect()
});

pub(super) fn at(place: &Place<'_>) -> Result<Found, Found> {
    if place.within_word() {
        return Ok(Found::Nothing);
    }
    let prefix = match place.rest.chars().next() {
        Some('+') => 1,
        Some('0') if place.after(1)? == Some('0') => 2,
        Some('(' | '1'..='9') => return north_american(place),
        _ => return Ok(Found::Nothing),
    };
    if !place
        .after(prefix)?
        .is_some_and(|next| ('1'..='9').contains(&next))
    {
        return Ok(Found::Nothing);
    }
    let number = number(place, prefix, &[' ', '\u{a0}', '-', '.', '/', '(', ')'])?;
    Ok(if number.digits >= 8 {
        Found::Bytes(number.end)
    } else {
        Found::Nothing
    })
}

fn north_american(place: &Place<'_>) -> Result<Found, Found> {
    // Not the middle of a longer number.
    if place.before.is_some_and(|before| "-+./".contains(before)) {
        return Ok(Found::Nothing);
    }
    for form in NORTH_AMERICAN.iter() {
        match form.at(place) {
            Found::Nothing => {}
            Found::Unclear => return Err(Found::Unclear),
            Found::Bytes(end) => {
                let longer = place.after(end)? == Some('-') && is_digit(place.after(end + 1)?);
                if !longer {
                    return Ok(Found::Bytes(end));
                }
            }
        }
    }
    Ok(Found::Nothing)
}

/// A 0, an area, and the rest: at least nine digits, and no date.
pub(super) fn national_at(place: &Place<'_>) -> Result<Found, Found> {
    let starts = place.rest.starts_with('0') || place.rest.starts_with("(0");
    if place.rest == "(" && !place.ends {
        return Err(Found::Unclear);
    }
    if !starts
        || place
            .before
            .is_some_and(|before| joins(before) || "-+./,:".contains(before))
    {
        return Ok(Found::Nothing);
    }
    let begin = usize::from(place.rest.starts_with('('));
    if !place
        .after(begin + 1)?
        .is_some_and(|next| ('1'..='9').contains(&next))
    {
        return Ok(Found::Nothing);
    }
    let number = number(place, begin, &[' ', '\u{a0}', '-', '/', ')'])?;
    let is_date = matches!(number.groups, [2, 2, 4, ..]);
    let alone = !place.after(number.end)?.is_some_and(joins);
    let fits = (9..=12).contains(&number.digits) && alone && !is_date;
    Ok(if fits {
        Found::Bytes(number.end)
    } else {
        Found::Nothing
    })
}

struct Number {
    digits: usize,
    end: usize,
    /// The sizes of the first groups.
    groups: [usize; 3],
}

/// Groups of digits with at most two of such characters between them, at most fifteen digits in all.
fn number(place: &Place<'_>, begin: usize, between: &[char]) -> Result<Number, Found> {
    let mut number = Number {
        digits: 0,
        end: begin,
        groups: [0; 3],
    };
    let (mut at, mut count) = (begin, 0);
    loop {
        let start = at;
        while is_digit(place.after(at)?) {
            at += 1;
            if number.digits + at - start > DIGITS_MAX {
                return Ok(number);
            }
        }
        if at == start {
            return Ok(number);
        }
        if let Some(size) = number.groups.get_mut(count) {
            *size = at - start;
        }
        count += 1;
        number.digits += at - start;
        number.end = at;
        for _ in 0..2 {
            match place.after(at)? {
                Some(next) if between.contains(&next) => at += next.len_utf8(),
                _ => break,
            }
        }
        if at == number.end {
            return Ok(number);
        }
    }
}
