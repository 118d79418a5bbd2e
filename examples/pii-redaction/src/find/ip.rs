//! Addresses of machines.

use std::net::Ipv6Addr;

use super::{Found, Place, is_digit, joins};

const LENGTH_MAX_BYTES: usize = 45;

pub(super) fn at(place: &Place<'_>) -> Result<Found, Found> {
    let behind = |character| joins(character) || ".:_".contains(character);
    if place.before.is_some_and(behind) {
        return Ok(Found::Nothing);
    }
    match version_4(place)? {
        Found::Nothing => version_6(place),
        found => Ok(found),
    }
}

fn version_4(place: &Place<'_>) -> Result<Found, Found> {
    let mut at = 0;
    for part in 0..4 {
        if part > 0 {
            if place.after(at)? != Some('.') {
                return Ok(Found::Nothing);
            }
            at += 1;
        }
        let begin = at;
        while is_digit(place.after(at)?) {
            at += 1;
            if at - begin > 3 {
                return Ok(Found::Nothing);
            }
        }
        let digits = place.rest.get(begin..at).unwrap_or_default();
        if digits.parse::<u8>().is_err() {
            return Ok(Found::Nothing);
        }
    }
    // A fifth part makes it a version or a section.
    let goes_on = match place.after(at)? {
        Some('.') => is_digit(place.after(at + 1)?),
        next => next.is_some_and(|next| joins(next) || next == '_'),
    };
    Ok(if goes_on {
        Found::Nothing
    } else {
        Found::Bytes(at)
    })
}

fn version_6(place: &Place<'_>) -> Result<Found, Found> {
    let mut at = 0;
    while place
        .after(at)?
        .is_some_and(|next| next.is_ascii_hexdigit())
    {
        at += 1;
        if at > 4 {
            return Ok(Found::Nothing);
        }
    }
    if place.after(at)? != Some(':') {
        return Ok(Found::Nothing);
    }
    let goes_on = |next: char| next.is_ascii_hexdigit() || ":.".contains(next);
    while place.after(at)?.is_some_and(goes_on) {
        at += 1;
        if at > LENGTH_MAX_BYTES {
            return Ok(Found::Nothing);
        }
    }
    if place
        .after(at)?
        .is_some_and(|next| joins(next) || next == '_')
    {
        return Ok(Found::Nothing);
    }
    // The end of a sentence may stand right behind it.
    let mut text = place.rest.get(..at).unwrap_or_default();
    for _ in 0..3 {
        if text.parse::<Ipv6Addr>().is_ok() {
            // Names in programs look like short addresses without a digit: `add::dead`.
            let has_digit = text.bytes().any(|byte| byte.is_ascii_digit());
            return Ok(if has_digit {
                Found::Bytes(text.len())
            } else {
                Found::Nothing
            });
        }
        match text.strip_suffix(['.', ':']) {
            Some(shorter) => text = shorter,
            None => break,
        }
    }
    Ok(Found::Nothing)
}
