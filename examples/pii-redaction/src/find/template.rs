//! An operator's own words and patterns: a row of characters and classes of characters, matched from left
//! to right without ever going back, so that the time is bounded by the length.

use super::{Found, Place, joins};

/// The longest run of a class that is repeated, in characters.
const RUN_MAX: usize = 64;

/// One word or pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    items: Vec<Item>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Item {
    class: Class,
    many: Many,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// This character; letters in either case.
    Exactly(char),
    Digit,
    Letter,
    LetterOrDigit,
    /// 2 to 9: how North American areas begin.
    FromTwo,
    /// What stands between the parts of a telephone number.
    Between,
    Space,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Many {
    One,
    Maybe,
    OneOrMore,
}

impl Class {
    fn holds(self, character: char) -> bool {
        match self {
            Class::Exactly(wanted) => {
                character == wanted || character.to_lowercase().eq(wanted.to_lowercase())
            }
            Class::Digit => character.is_ascii_digit(),
            Class::Letter => character.is_alphabetic(),
            Class::LetterOrDigit => character.is_alphanumeric(),
            Class::FromTwo => ('2'..='9').contains(&character),
            Class::Between => "-. ".contains(character),
            Class::Space => character.is_whitespace(),
        }
    }

    /// True if both may hold the same character.
    fn overlaps(self, other: Class) -> bool {
        match (self, other) {
            (Class::Exactly(one), _) => other.holds(one),
            (_, Class::Exactly(one)) => self.holds(one),
            _ => self.kinds() & other.kinds() != 0,
        }
    }

    /// What a class holds, as bits: digits, letters, spaces, marks.
    fn kinds(self) -> u8 {
        match self {
            Class::Exactly(_) => 0,
            Class::Digit | Class::FromTwo => 0b0001,
            Class::Letter => 0b0010,
            Class::LetterOrDigit => 0b0011,
            Class::Space => 0b0100,
            Class::Between => 0b1100,
        }
    }
}

impl Template {
    /// A word, or several with spaces, each of which stands for any white space.
    pub fn word(text: &str) -> Result<Template, String> {
        let count = text.chars().count();
        if !(2..=200).contains(&count) || text.trim() != text {
            return Err(format!(
                "`{text}` must have 2 to 200 characters, and no space at its ends"
            ));
        }
        let class = |character: char| match character.is_whitespace() {
            true => Class::Space,
            false => Class::Exactly(character),
        };
        let items = text.chars().map(|character| Item {
            class: class(character),
            many: Many::One,
        });
        Ok(Template {
            items: items.collect(),
        })
    }

    /// A pattern: `#` is a digit, `@` a letter, `&` either; `+` behind one of these means one or more of
    /// them, `?` behind anything that it may be missing; `\` takes the next character as it is.
    pub fn pattern(text: &str) -> Result<Template, String> {
        let mut items: Vec<Item> = Vec::new();
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            let class = match character {
                '#' => Class::Digit,
                '@' => Class::Letter,
                '&' => Class::LetterOrDigit,
                '+' | '?' => {
                    let Some(last) = items.last_mut().filter(|last| last.many == Many::One) else {
                        return Err(format!("`{text}`: `{character}` has nothing to repeat"));
                    };
                    last.many = if character == '+' {
                        Many::OneOrMore
                    } else {
                        Many::Maybe
                    };
                    continue;
                }
                '\\' => match characters.next() {
                    Some(next) => Class::Exactly(next),
                    None => return Err(format!("`{text}`: nothing stands behind the last `\\`")),
                },
                other if other.is_whitespace() => Class::Space,
                other => Class::Exactly(other),
            };
            items.push(Item {
                class,
                many: Many::One,
            });
        }
        let template = Template { items };
        template.check(text)?;
        Ok(template)
    }

    fn check(&self, text: &str) -> Result<(), String> {
        if !(2..=200).contains(&self.items.len()) {
            return Err(format!("`{text}` must have 2 to 200 parts"));
        }
        if self
            .items
            .first()
            .is_some_and(|first| first.many == Many::Maybe)
        {
            return Err(format!("`{text}`: its first part may not be missing"));
        }
        if self
            .items
            .iter()
            .filter(|item| item.many == Many::OneOrMore)
            .count()
            > 4
        {
            return Err(format!("`{text}` must not repeat more than four parts"));
        }
        for (at, item) in self
            .items
            .iter()
            .enumerate()
            .filter(|(_, item)| item.many != Many::One)
        {
            // What takes all that it can get must not take what belongs to a part behind it.
            for next in self.items.iter().skip(at + 1) {
                if item.class.overlaps(next.class) {
                    return Err(format!(
                        "`{text}`: a part with `+` or `?` must not be followed by one that may be the same character"
                    ));
                }
                if next.many != Many::Maybe {
                    break;
                }
            }
        }
        Ok(())
    }

    /// A form of telephone numbers, of this program's own: `N` is 2 to 9, `-` a separator, `_` maybe one.
    pub(super) fn of_phone(form: &str) -> Template {
        let item = |character| {
            let (class, many) = match character {
                '#' => (Class::Digit, Many::One),
                'N' => (Class::FromTwo, Many::One),
                '-' => (Class::Between, Many::One),
                '_' => (Class::Between, Many::Maybe),
                other => (Class::Exactly(other), Many::One),
            };
            Item { class, many }
        };
        Template {
            items: form.chars().map(item).collect(),
        }
    }

    /// The first character, where it is always the same, in lower case.
    pub fn first(&self) -> Option<char> {
        match self.items.first()?.class {
            Class::Exactly(character) => character.to_lowercase().next(),
            _ => None,
        }
    }

    /// What stands at a place.
    pub fn at(&self, place: &Place<'_>) -> Found {
        self.run(place).unwrap_or_else(|found| found)
    }

    fn run(&self, place: &Place<'_>) -> Result<Found, Found> {
        if place.within_word() && place.rest.starts_with(joins) {
            return Ok(Found::Nothing);
        }
        let (mut at, mut last) = (0, None);
        for item in &self.items {
            let most = if item.many == Many::OneOrMore {
                RUN_MAX
            } else {
                1
            };
            let mut taken = 0;
            while taken < most {
                let Some(next) = place.after(at)?.filter(|next| item.class.holds(*next)) else {
                    break;
                };
                at += next.len_utf8();
                last = Some(next);
                taken += 1;
            }
            if taken == 0 && item.many != Many::Maybe {
                return Ok(Found::Nothing);
            }
        }
        // Not the beginning of a longer word.
        let ends_word = !last.is_some_and(joins) || !place.after(at)?.is_some_and(joins);
        Ok(if ends_word {
            Found::Bytes(at)
        } else {
            Found::Nothing
        })
    }
}
