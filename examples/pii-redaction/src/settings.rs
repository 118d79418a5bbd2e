//! The settings, checked once, and what they make of a place in a text.

use std::collections::{BTreeMap, HashMap};

use weir_sdk::select::{Pattern, Scope};

use crate::find::{Found, Kind, Place, Template};
use crate::names;
use crate::scan::{Instead, Match};

const WORDS_MAX: usize = 5000;
const PATTERNS_MAX: usize = 100;

#[derive(serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Written {
    detect: Vec<Kind>,
    words: BTreeMap<String, Vec<String>>,
    patterns: BTreeMap<String, Vec<String>>,
    allow: Vec<String>,
    prompts: bool,
    replies: bool,
    reversible: bool,
    keep_ms: u32,
    other_bodies: OtherBodies,
    #[serde(rename = "match")]
    scope: Scope,
}

impl Default for Written {
    fn default() -> Self {
        Written {
            detect: vec![Kind::Email, Kind::Iban, Kind::Card, Kind::Ip, Kind::Phone],
            words: BTreeMap::new(),
            patterns: BTreeMap::new(),
            allow: Vec::new(),
            prompts: true,
            replies: true,
            reversible: false,
            keep_ms: 600_000,
            other_bodies: OtherBodies::Deny,
            scope: Scope::default(),
        }
    }
}

/// What happens to a request whose body is no JSON, and can therefore not be looked into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OtherBodies {
    /// It is refused.
    Deny,
    /// It goes through as it is.
    Pass,
}

/// The settings as the hooks want them.
#[derive(serde::Deserialize)]
#[serde(try_from = "Written")]
pub struct Settings {
    /// What is looked for.
    pub rules: Rules,
    /// Whether prompts are changed.
    pub prompts: bool,
    /// Whether personal data is looked for in replies.
    pub replies: bool,
    /// Whether replies get back what was taken out of their prompts.
    pub reversible: bool,
    /// For how long what was taken out is kept, in milliseconds.
    pub keep_ms: u32,
    /// What happens to bodies that are no JSON.
    pub other_bodies: OtherBodies,
    /// The calls that this is for.
    pub scope: Scope,
}

/// What is looked for.
pub struct Rules {
    kinds: Vec<Kind>,
    /// Words and patterns with the names of what they are; the longest first.
    own: Vec<(String, Template)>,
    /// Those that begin with this character, in either case.
    by_first: HashMap<char, Vec<usize>>,
    /// Those that begin with one of many.
    by_class: Vec<usize>,
    allow: Vec<Pattern>,
}

impl TryFrom<Written> for Settings {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        if !(1000..=86_400_000).contains(&written.keep_ms) {
            return Err("keep_ms: must be from 1000 to 86400000".to_owned());
        }
        if written.reversible && !written.prompts {
            return Err(
                "reversible: needs prompts = true, where it takes out what it puts back".to_owned(),
            );
        }
        if !written.prompts && !written.replies {
            return Err("replies: with prompts = false nothing is left to do".to_owned());
        }
        let rules = Rules::new(&written)?;
        Ok(Settings {
            rules,
            prompts: written.prompts,
            replies: written.replies,
            reversible: written.reversible,
            keep_ms: written.keep_ms,
            other_bodies: written.other_bodies,
            scope: written.scope,
        })
    }
}

impl Rules {
    fn new(written: &Written) -> Result<Rules, String> {
        let mut own = Vec::new();
        for (setting, table, most, read) in [
            (
                "words",
                &written.words,
                WORDS_MAX,
                Template::word as fn(&str) -> _,
            ),
            (
                "patterns",
                &written.patterns,
                PATTERNS_MAX,
                Template::pattern,
            ),
        ] {
            let mut entries: Vec<(&String, &String)> = Vec::new();
            for (name, texts) in table {
                names::check(name).map_err(|error| format!("{setting}.{name}: {error}"))?;
                entries.extend(texts.iter().map(|text| (name, text)));
            }
            if entries.len() > most {
                return Err(format!("{setting}: must be at most {most} in all"));
            }
            // Where one is the beginning of another, the longer one counts.
            entries.sort_by_key(|(_, text)| std::cmp::Reverse(text.len()));
            for (name, text) in entries {
                let template = read(text).map_err(|error| format!("{setting}.{name}: {error}"))?;
                own.push((name.clone(), template));
            }
        }
        let mut kinds = written.detect.clone();
        kinds.sort();
        kinds.dedup();
        if kinds.is_empty() && own.is_empty() {
            return Err(
                "detect: with no words and no patterns there is nothing to look for".to_owned(),
            );
        }
        let (mut by_first, mut by_class) = (HashMap::<char, Vec<usize>>::new(), Vec::new());
        for (at, (_, template)) in own.iter().enumerate() {
            match template.first() {
                Some(first) => by_first.entry(first).or_default().push(at),
                None => by_class.push(at),
            }
        }
        let allow = written
            .allow
            .iter()
            .map(|text| Pattern::new(&text.to_lowercase()))
            .collect();
        Ok(Rules {
            kinds,
            own,
            by_first,
            by_class,
            allow,
        })
    }

    /// The first thing that stands at a place, or may do so.
    pub fn at(
        &self,
        place: &Place<'_>,
        first: char,
        with: &impl Instead,
    ) -> Option<(Match<'_>, Found)> {
        if first == '[' && with.wants_placeholders() {
            match names::placeholder_at(place) {
                Found::Nothing => {}
                found => return Some((Match::Placeholder, found)),
            }
        }
        if !with.wants_data() || place.begins_within_word(first) {
            return None;
        }
        if !self.own.is_empty()
            && let Some(found) = self.own_at(place, first)
        {
            return Some(found);
        }
        // All kinds begin with one of these.
        if !(first.is_alphanumeric() || matches!(first, '+' | '(' | ':')) {
            return None;
        }
        for kind in &self.kinds {
            match kind.at(place) {
                Found::Nothing => {}
                found => return self.kept(place, Match::Data(kind.name()), found),
            }
        }
        None
    }

    fn own_at(&self, place: &Place<'_>, first: char) -> Option<(Match<'_>, Found)> {
        let lower = first.to_lowercase().next().unwrap_or(first);
        let named = self.by_first.get(&lower).into_iter().flatten();
        for at in named.chain(&self.by_class) {
            let Some((name, template)) = self.own.get(*at) else {
                continue;
            };
            match template.at(place) {
                Found::Nothing => {}
                found => return self.kept(place, Match::Data(name), found),
            }
        }
        None
    }

    /// The same, but where the operator allows it. Then nothing else is looked for in it either.
    fn kept<'r>(
        &self,
        place: &Place<'_>,
        of: Match<'r>,
        found: Found,
    ) -> Option<(Match<'r>, Found)> {
        let Found::Bytes(length) = found else {
            return Some((of, found));
        };
        let text = place.rest.get(..length).unwrap_or_default();
        if self.allow.is_empty() {
            return Some((of, found));
        }
        let text = text.to_lowercase();
        let allowed = self.allow.iter().any(|allowed| allowed.matches(&text));
        Some((if allowed { Match::Allowed } else { of }, found))
    }
}
