//! E-mail addresses: what people write, which is less than what RFC 5322 allows.

use super::{Found, Place, joins};

const LOCAL_MAX_BYTES: usize = 64;
const DOMAIN_MAX_BYTES: usize = 253;

pub(super) fn at(place: &Place<'_>) -> Result<Found, Found> {
    if place.within_word() || !place.rest.starts_with(joins) {
        return Ok(Found::Nothing);
    }
    let local = run(place.rest, |character| {
        joins(character) || "._%+-'".contains(character)
    });
    if local > LOCAL_MAX_BYTES || place.after(local)? != Some('@') {
        return Ok(Found::Nothing);
    }
    let domain = place.rest.get(local + 1..).unwrap_or_default();
    let length = run(domain, |character| {
        joins(character) || ".-".contains(character)
    });
    if length > DOMAIN_MAX_BYTES {
        return Ok(Found::Nothing);
    }
    place.after(local + 1 + length)?;
    // The longest beginning that is a domain: a sentence may go on right behind it.
    let mut domain = domain.get(..length).unwrap_or_default();
    loop {
        domain = domain.trim_end_matches(['.', '-']);
        if is_domain(domain) {
            return Ok(Found::Bytes(local + 1 + domain.len()));
        }
        let Some(cut) = domain.rfind(['.', '-']) else {
            return Ok(Found::Nothing);
        };
        domain = domain.get(..cut).unwrap_or_default();
    }
}

/// How many bytes at the beginning of a text are such characters.
fn run(text: &str, is_one: impl Fn(char) -> bool) -> usize {
    text.find(|character| !is_one(character))
        .unwrap_or(text.len())
}

fn is_domain(domain: &str) -> bool {
    let Some((name, top)) = domain.rsplit_once('.') else {
        return false;
    };
    let named = top.chars().count() >= 2 && top.chars().all(char::is_alphabetic);
    (named || top.starts_with("xn--")) && name.split('.').all(|label| !label.is_empty())
}
