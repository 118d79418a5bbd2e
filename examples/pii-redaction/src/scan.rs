//! Goes through a text that comes in pieces and changes what is found in it.
//!
//! What may still become part of something is held back until it is clear. However a text is cut, what
//! comes out is the same; `tests.rs` holds it to that.

use crate::find::{Found, Place};
use crate::settings::Rules;

/// What was found: one of the rules' kinds, or a placeholder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match<'r> {
    /// Personal data of the kind with this name.
    Data(&'r str),
    /// What looks like a placeholder of this policy's: `[EMAIL_1]`.
    Placeholder,
    /// Personal data that the operator lets through.
    Allowed,
}

/// What takes the place of what is found; none leaves it as it is.
pub trait Instead {
    /// Whether personal data is looked for.
    fn wants_data(&self) -> bool;
    /// Whether placeholders are looked for.
    fn wants_placeholders(&self) -> bool;
    /// What is to stand there.
    fn instead(&mut self, found: Match<'_>, text: &str) -> Option<String>;
}

/// The place in one text up to which all is decided.
#[derive(Debug, Default)]
pub struct Scanner {
    held: String,
    /// What stands before it in the text that came in.
    before: Option<char>,
}

impl Scanner {
    /// Takes the next piece; what is decided now is put behind `out`.
    pub fn push(&mut self, rules: &Rules, piece: &str, with: &mut impl Instead, out: &mut String) {
        if self.held.is_empty() {
            let left = self.run(rules, piece, false, with, out);
            self.held.push_str(left);
        } else {
            let mut text = std::mem::take(&mut self.held);
            text.push_str(piece);
            let left = self.run(rules, &text, false, with, out);
            let left = text.len() - left.len();
            text.drain(..left);
            self.held = text;
        }
    }

    /// The text ends here; the rest of it is put behind `out`.
    pub fn finish(&mut self, rules: &Rules, with: &mut impl Instead, out: &mut String) {
        let text = std::mem::take(&mut self.held);
        self.run(rules, &text, true, with, out);
        self.before = None;
    }

    /// A text that is there as a whole; none where nothing changes.
    pub fn whole(rules: &Rules, text: &str, with: &mut impl Instead) -> Option<String> {
        let (mut out, mut changed) = (String::new(), false);
        let mut noting = Noting {
            with,
            changed: &mut changed,
        };
        Scanner::default().run(rules, text, true, &mut noting, &mut out);
        changed.then_some(out)
    }

    /// Decides all that can be decided of `text`, and says what is left.
    fn run<'t>(
        &mut self,
        rules: &Rules,
        text: &'t str,
        ends: bool,
        with: &mut impl Instead,
        out: &mut String,
    ) -> &'t str {
        let (mut rest, mut plain) = (text, 0);
        while let Some(first) = rest.chars().next() {
            let place = Place {
                rest,
                before: self.before,
                ends,
            };
            let length = match rules.at(&place, first, with) {
                Some((_, Found::Unclear)) => break,
                Some((found, Found::Bytes(length))) => {
                    let (matched, behind) = rest.split_at_checked(length).unwrap_or((rest, ""));
                    if let Some(instead) = with.instead(found, matched) {
                        let at = text.len() - rest.len();
                        out.push_str(text.get(plain..at).unwrap_or_default());
                        out.push_str(&instead);
                        plain = text.len() - behind.len();
                    }
                    self.before = matched.chars().next_back();
                    rest = behind;
                    continue;
                }
                // Nothing begins within a word.
                Some((_, Found::Nothing)) | None => match rest.bytes().position(ends_word) {
                    Some(0) => first.len_utf8(),
                    Some(end) => end,
                    None => rest.len(),
                },
            };
            let (passed, behind) = rest.split_at_checked(length).unwrap_or((rest, ""));
            self.before = passed.chars().next_back();
            rest = behind;
        }
        out.push_str(text.get(plain..text.len() - rest.len()).unwrap_or_default());
        rest
    }
}

/// True for the bytes that are no letter and no digit of ASCII.
fn ends_word(byte: u8) -> bool {
    !byte.is_ascii_alphanumeric()
}

/// Passes on, and notes whether anything was put in.
struct Noting<'a, I> {
    with: &'a mut I,
    changed: &'a mut bool,
}

impl<I: Instead> Instead for Noting<'_, I> {
    fn wants_data(&self) -> bool {
        self.with.wants_data()
    }

    fn wants_placeholders(&self) -> bool {
        self.with.wants_placeholders()
    }

    fn instead(&mut self, found: Match<'_>, text: &str) -> Option<String> {
        let instead = self.with.instead(found, text);
        *self.changed |= instead.is_some();
        instead
    }
}

#[cfg(test)]
mod tests;
