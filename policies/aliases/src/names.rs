//! A table of model names: exact ones, and wildcards with one `*`.

use std::collections::BTreeMap;

/// `{ "fast" = "gpt-4o-mini", "openai/*" = "*", "gpt-3.5-*" = "gpt-4o-mini" }`.
#[derive(Default)]
pub(crate) struct Names {
    exact: Box<[(Box<str>, Box<str>)]>,
    /// The most specific first.
    wild: Box<[Wild]>,
}

struct Wild {
    before: Box<str>,
    after: Box<str>,
    target: Target,
}

enum Target {
    Fixed(Box<str>),
    /// What the `*` stood for goes between.
    Around(Box<str>, Box<str>),
}

impl Names {
    pub(crate) fn new(table: BTreeMap<String, String>) -> Result<Names, String> {
        let (mut exact, mut wild) = (Vec::new(), Vec::new());
        for (name, target) in table {
            if name.is_empty() || target.is_empty() {
                return Err(format!("`{name}` = `{target}`: neither may be empty"));
            }
            match name.split_once('*') {
                None if target.contains('*') => {
                    return Err(format!(
                        "{name}: `{target}` has a `*`, but the name has none"
                    ));
                }
                None => exact.push((name.into(), target.into())),
                Some((_, after)) if after.contains('*') => {
                    return Err(format!("{name}: a name has at most one `*`"));
                }
                Some((before, after)) => wild.push(Wild {
                    before: before.into(),
                    after: after.into(),
                    target: match target.split_once('*') {
                        None => Target::Fixed(target.into()),
                        Some((_, tail)) if tail.contains('*') => {
                            return Err(format!("{name}: `{target}` has more than one `*`"));
                        }
                        Some((head, tail)) => Target::Around(head.into(), tail.into()),
                    },
                }),
            }
        }
        wild.sort_by_key(|wild| std::cmp::Reverse((wild.before.len(), wild.after.len())));
        // A BTreeMap hands its names out in order, so `exact` is sorted.
        Ok(Names {
            exact: exact.into(),
            wild: wild.into(),
        })
    }

    /// True if the table has a name for this one.
    pub(crate) fn has(&self, model: &str) -> bool {
        self.exact(model).is_some() || self.wild.iter().any(|wild| wild.star(model).is_some())
    }

    /// The new name: of the exact entry, else of the wildcard with the longest fixed beginning.
    pub(crate) fn resolve(&self, model: &str) -> Option<String> {
        if let Some(target) = self.exact(model) {
            return Some(target.to_owned());
        }
        let (wild, star) = self
            .wild
            .iter()
            .find_map(|wild| Some((wild, wild.star(model)?)))?;
        Some(match &wild.target {
            Target::Fixed(target) => target.to_string(),
            Target::Around(head, tail) => [head, star, tail].concat(),
        })
    }

    fn exact(&self, model: &str) -> Option<&str> {
        let found = self
            .exact
            .binary_search_by(|(name, _)| (**name).cmp(model))
            .ok()?;
        self.exact.get(found).map(|(_, target)| &**target)
    }
}

impl Wild {
    /// What the `*` stands for in a model's name.
    fn star<'a>(&self, model: &'a str) -> Option<&'a str> {
        model
            .strip_prefix(&*self.before)?
            .strip_suffix(&*self.after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(table: &[(&str, &str)]) -> Result<Names, String> {
        let owned = |(name, target): &(&str, &str)| ((*name).to_owned(), (*target).to_owned());
        Names::new(table.iter().map(owned).collect())
    }

    #[test]
    fn the_most_specific_entry_wins() {
        let names = names(&[
            ("fast", "gpt-4o-mini"),
            ("gpt-*", "a"),
            ("gpt-4*", "b"),
            ("gpt-4", "c"),
            ("openai/*", "*"),
            ("*-latest", "*-2026"),
        ])
        .unwrap();
        for (model, expected) in [
            ("fast", Some("gpt-4o-mini")),
            ("gpt-3.5", Some("a")),
            ("gpt-4o", Some("b")),
            ("gpt-4", Some("c")),
            ("openai/o1", Some("o1")),
            ("claude-latest", Some("claude-2026")),
            ("faster", None),
            ("", None),
        ] {
            assert_eq!(names.resolve(model).as_deref(), expected, "{model}");
            assert_eq!(names.has(model), expected.is_some(), "{model}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for table in [
            [("a", "b*")],
            [("a**", "b")],
            [("a*", "*b*")],
            [("", "b")],
            [("a", "")],
        ] {
            assert!(names(&table).is_err(), "{table:?}");
        }
    }
}
