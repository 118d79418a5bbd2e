//! Bank accounts (ISO 13616): the length belongs to the country, and two digits check the rest.

use super::{Found, Place, joins};

/// The countries and the lengths of their accounts, from the registry of IBANs.
const LENGTHS: &str = "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 \
    DO28 EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 \
    KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 \
    PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 \
    YE30";

pub(super) fn at(place: &Place<'_>) -> Result<Found, Found> {
    if place.within_word()
        || !place
            .rest
            .starts_with(|first: char| first.is_ascii_alphabetic())
    {
        return Ok(Found::Nothing);
    }
    let mut account = Vec::with_capacity(34);
    let (mut at, mut length) = (0, 4);
    while account.len() < length {
        let Some(next) = place.after(at)? else {
            return Ok(Found::Nothing);
        };
        at += next.len_utf8();
        // Written in groups of four.
        let between = matches!(next, ' ' | '\u{a0}' | '-') && account.len() % 4 == 0;
        let fits = match account.len() {
            0 | 1 => next.is_ascii_alphabetic(),
            2 | 3 => next.is_ascii_digit(),
            _ => next.is_ascii_alphanumeric(),
        };
        if between
            && !account.is_empty()
            && place.after(at)?.is_some_and(|c| c.is_ascii_alphanumeric())
        {
            continue;
        }
        if !fits {
            return Ok(Found::Nothing);
        }
        account.push(next.to_ascii_uppercase());
        if account.len() == 2 {
            match length_of(&account) {
                Some(known) => length = known,
                None => return Ok(Found::Nothing),
            }
        }
    }
    let stands_alone = !place.after(at)?.is_some_and(joins);
    Ok(if stands_alone && is_checked(&account) {
        Found::Bytes(at)
    } else {
        Found::Nothing
    })
}

fn length_of(country: &[char]) -> Option<usize> {
    let country: String = country.iter().collect();
    let entry = LENGTHS
        .split(' ')
        .find(|entry| entry.starts_with(&country))?;
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
