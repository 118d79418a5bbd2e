//! What counts as personal data, and where in a text it begins.
//!
//! A finder looks at one place of a text that may still go on, and says what stands there: nothing,
//! something of so many bytes, or that it cannot tell before more of the text is there. It says "more"
//! only where the text so far is all used up, and never needs more than some hundred bytes; the scanner
//! builds on both. What it says of a place never depends on how the text came in.

mod card;
mod email;
mod iban;
mod ip;
mod phone;
mod template;

pub use template::Template;

/// What stands at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Nothing of this kind.
    Nothing,
    /// That cannot be said before more of the text is there.
    Unclear,
    /// This many bytes from here on.
    Bytes(usize),
}

/// A place in a text.
#[derive(Debug, Clone, Copy)]
pub struct Place<'t> {
    /// The text from here on, as far as it is known. Never empty.
    pub rest: &'t str,
    /// What stands before it.
    pub before: Option<char>,
    /// True where the text ends with `rest`.
    pub ends: bool,
}

impl Place<'_> {
    /// What stands behind so many bytes: none at the end, an error where that is not known yet.
    fn after(&self, bytes: usize) -> Result<Option<char>, Found> {
        match self.rest.get(bytes..).and_then(|rest| rest.chars().next()) {
            Some(next) => Ok(Some(next)),
            None if self.ends => Ok(None),
            None => Err(Found::Unclear),
        }
    }

    /// True where nothing can begin: behind a letter or digit with another one, or with what only begins
    /// numbers.
    pub fn begins_within_word(&self, first: char) -> bool {
        self.within_word() && (joins(first) || matches!(first, '+' | '(' | ':'))
    }

    /// True behind a letter or digit.
    fn within_word(&self) -> bool {
        self.before.is_some_and(joins)
    }
}

/// A letter or digit of a script that puts spaces between words: it belongs to the word beside it.
fn joins(character: char) -> bool {
    if character.is_ascii() {
        return character.is_ascii_alphanumeric();
    }
    u32::from(character) < 0x2e80 && character.is_alphanumeric()
}

fn is_digit(character: Option<char>) -> bool {
    character.is_some_and(|character| character.is_ascii_digit())
}

/// The kinds that need no description of the operator's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// E-mail addresses.
    Email,
    /// Bank accounts, by country, length and check digits.
    Iban,
    /// Payment cards, by issuer, length and check digit.
    Card,
    /// Addresses of IPv4 and IPv6.
    Ip,
    /// Telephone numbers with `+` or `00` and a country, and North American ones.
    Phone,
    /// Telephone numbers that begin with 0 and an area, as in much of Europe.
    PhoneNational,
}

impl Kind {
    /// All kinds, in the order in which they are looked for at one place.
    pub const ALL: [Kind; 6] = [
        Kind::Email,
        Kind::Iban,
        Kind::Card,
        Kind::Ip,
        Kind::Phone,
        Kind::PhoneNational,
    ];

    /// The name in placeholders and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Email => "EMAIL",
            Kind::Iban => "IBAN",
            Kind::Card => "CARD",
            Kind::Ip => "IP",
            Kind::Phone | Kind::PhoneNational => "PHONE",
        }
    }

    /// What stands at a place.
    pub fn at(self, place: &Place<'_>) -> Found {
        let found = match self {
            Kind::Email => email::at(place),
            Kind::Iban => iban::at(place),
            Kind::Card => card::at(place),
            Kind::Ip => ip::at(place),
            Kind::Phone => phone::at(place),
            Kind::PhoneNational => phone::national_at(place),
        };
        found.unwrap_or_else(|found| found)
    }
}

#[cfg(test)]
mod tests;
