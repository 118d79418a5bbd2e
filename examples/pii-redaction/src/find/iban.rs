//! Bank accounts (ISO 13616): the length belongs to the country, and two digits check the rest.

use super::{Found, Place, joins};

/// The countries and the lengths of their accounts, from the registry of IBANs.
const LENGTHS: &str = "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 \
    DO28 EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 \
    KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 \
    PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 \
    YE30";

pub(super) fn at(place: &Place<'_>) -> Result<Found, Found> {
    if place.within_word() {
        return Ok(Found::Nothing);
    }
    // Two letters and two digits: most words are none by their third letter.
    for (at, fits) in [
        (0, u8::is_ascii_alphabetic as fn(&u8) -> bool),
        (1, u8::is_ascii_alphabetic),
        (2, u8::is_ascii_digit),
        (3, u8::is_ascii_digit),
    ] {
        match place.rest.as_bytes().get(at) {
            Some(byte) if fits(byte) => {}
            None if !place.ends => return Err(Found::Unclear),
            _ => return Ok(Found::Nothing),
        }
    }
    let country = place.rest.get(..2).unwrap_or_default().to_ascii_uppercase();
    let Some(length) = length_of(&country) else {
        return Ok(Found::Nothing);
    };
    let mut account = Vec::with_capacity(length);
    let mut at = 0;
    while account.len() < length {
        let Some(next) = place.after(at)? else {
            return Ok(Found::Nothing);
        };
        at += next.len_utf8();
        // Written in groups of four.
        let between = matches!(next, ' ' | '\u{a0}' | '-') && account.len() % 4 == 0;
        if between
            && place
                .after(at)?
                .is_some_and(|next| next.is_ascii_alphanumeric())
        {
            continue;
        }
        if !next.is_ascii_alphanumeric() {
            return Ok(Found::Nothing);
        }
        account.push(next.to_ascii_uppercase());
    }
    let stands_alone = !place.after(at)?.is_some_and(joins);
    Ok(if stands_alone && is_checked(&account) {
        Found::Bytes(at)
    } else {
        Found::Nothing
    })
}

fn length_of(country: &str) -> Option<usize> {
    let mut entries = LENGTHS.split(' ');
    let entry = entries.find(|entry| entry.starts_with(country))?;
    entry.get(2..)?.parse().ok()
}

/// The number that the account makes, its beginning moved to its end and letters as numbers from 10,
/// leaves 1 when divided by 97.
fn is_checked(account: &[char]) -> bool {
    let turned = account.iter().skip(4).chain(account.iter().take(4));
    let rest = turned
        .filter_map(|c| c.to_digit(36))
        .fold(0, |rest, value| {
            let shifted = if value < 10 { rest * 10 } else { rest * 100 };
            (shifted + value) % 97
        });
    rest == 1
}
