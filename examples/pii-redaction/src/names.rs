//! Placeholders: what stands in the place of what was taken out, and the way back.

use std::collections::HashMap;

use crate::find::{Found, Kind, Place};

const NAME_MAX_BYTES: usize = 24;
const DIGITS_MAX: usize = 6;

/// Whether an operator's name can be one of placeholders.
pub fn check(name: &str) -> Result<(), String> {
    let fits = (1..=NAME_MAX_BYTES).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_uppercase());
    if !fits {
        return Err(format!(
            "a name of placeholders has 1 to {NAME_MAX_BYTES} capital letters from A to Z"
        ));
    }
    if Kind::ALL.iter().any(|kind| kind.name() == name) {
        return Err("placeholders of this name stand for what `detect` finds".to_owned());
    }
    Ok(())
}

/// What looks like one of [`Names`]' placeholders.
pub fn placeholder_at(place: &Place<'_>) -> Found {
    let bytes = place.rest.as_bytes();
    let run = |from: usize, is_one: fn(&u8) -> bool| {
        let bytes = bytes.get(from..).unwrap_or_default();
        bytes.iter().take_while(|byte| is_one(byte)).count()
    };
    let name = run(1, u8::is_ascii_uppercase);
    let digits_from = name + 2;
    let digits = run(digits_from, u8::is_ascii_digit);
    let ends_at = digits_from + digits;
    let steps: [(usize, Option<u8>); 4] = [
        (0, Some(b'[')),
        (name + 1, Some(b'_')),
        (digits_from, None),
        (ends_at, Some(b']')),
    ];
    if name > NAME_MAX_BYTES || digits > DIGITS_MAX {
        return Found::Nothing;
    }
    for (at, wanted) in steps {
        match (bytes.get(at), wanted) {
            (None, _) if place.ends => return Found::Nothing,
            (None, _) => return Found::Unclear,
            (Some(byte), Some(wanted)) if *byte != wanted => return Found::Nothing,
            _ => {}
        }
    }
    if name == 0 || digits == 0 {
        return Found::Nothing;
    }
    Found::Bytes(ends_at + 1)
}

/// The placeholders of one call, numbered in the order in which they are given out. The same text of the
/// same kind always has the same one.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Names {
    given: HashMap<(String, String), usize>,
    counts: HashMap<String, usize>,
}

impl Names {
    /// The placeholder of a text.
    pub fn of(&mut self, name: &str, text: &str) -> String {
        let key = (name.to_owned(), text.to_owned());
        let counts = &mut self.counts;
        let number = self.given.entry(key).or_insert_with(|| {
            let count = counts.entry(name.to_owned()).or_default();
            *count += 1;
            *count
        });
        format!("[{name}_{number}]")
    }

    /// True where none was given out.
    pub fn is_empty(&self) -> bool {
        self.given.is_empty()
    }

    /// The texts by their placeholders.
    pub fn texts(self) -> HashMap<String, String> {
        let given = self.given.into_iter();
        given
            .map(|((name, text), number)| (format!("[{name}_{number}]"), text))
            .collect()
    }
}
