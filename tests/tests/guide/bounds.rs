//! Bounds from the one place where each is defined: constants of the code, and the settings, whose own page
//! is made from their definitions.

use std::collections::BTreeMap;

/// The sections of the settings that are about policies.
const SECTIONS: [&str; 5] = [
    "runtime",
    "policy",
    "policy.grants",
    "tenant_policies",
    "journals",
];

struct Bound {
    /// What it is, or what it is to begin with where it can be set.
    value: String,
    /// What it may be set to; empty where it cannot.
    within: String,
    meaning: String,
}

/// All bounds by their names: `HOST_CALLS_MAX`, `runtime.memory_max_bytes`.
pub(crate) struct Bounds(BTreeMap<String, Bound>);

impl Bounds {
    /// Reads `bounds.rs`, other files with constants, each with what is put before their names, and
    /// `SETTINGS.md`.
    ///
    /// Panics at a constant of `bounds.rs` that it does not understand: it would be missing from the guide.
    pub(crate) fn of(constants: &str, others: &[(&str, String)], settings: &str) -> Self {
        let mut all = BTreeMap::new();
        for (name, bound) in read_constants(constants) {
            let bound = bound.unwrap_or_else(|| panic!("{name} is no number"));
            all.insert(name, bound);
        }
        for (prefix, text) in others {
            for (name, bound) in read_constants(text) {
                if let Some(bound) = bound {
                    all.insert(format!("{prefix}.{name}"), bound);
                }
            }
        }
        read_settings(settings, &mut all);
        Self(all)
    }

    /// The names of all that are about policies.
    pub(crate) fn of_policies(&self) -> impl Iterator<Item = &str> {
        self.0
            .keys()
            .map(String::as_str)
            .filter(|name| match name.rsplit_once('.') {
                None => true,
                Some((section, _)) => SECTIONS.contains(&section),
            })
    }

    /// A table of those that are named.
    pub(crate) fn table(&self, names: &[&str]) -> Result<String, String> {
        let mut table =
            "| bound | value | may be set to | what it means |\n| --- | --- | --- | --- |\n"
                .to_owned();
        for name in names {
            let bound = self
                .0
                .get(*name)
                .ok_or_else(|| format!("no bound is called {name}"))?;
            let Bound {
                value,
                within,
                meaning,
            } = bound;
            let within = if within.is_empty() { "fixed" } else { within };
            table += &format!("| `{name}` | {value} | {within} | {meaning} |\n");
        }
        Ok(table)
    }
}

/// `/// docs` and `const NAME: type = value;`, with none for a value that is no number.
fn read_constants(text: &str) -> Vec<(String, Option<Bound>)> {
    let (mut docs, mut found): (Vec<&str>, _) = (Vec::new(), Vec::new());
    for line in text.lines().map(str::trim) {
        if let Some(doc) = line.strip_prefix("/// ") {
            docs.push(doc);
            continue;
        }
        let constant = line.strip_prefix("pub ").unwrap_or(line);
        if let Some((name, rest)) = constant
            .strip_prefix("const ")
            .and_then(|constant| constant.split_once(": "))
        {
            let value = rest.split_once("= ");
            let value = value.and_then(|(_, value)| value.strip_suffix(';'));
            let bound = value.and_then(number).map(|value| Bound {
                value: shown(value, name),
                within: String::new(),
                meaning: docs.join(" "),
            });
            found.push((name.to_owned(), bound));
        }
        docs.clear();
    }
    found
}

/// `4096`, `100_000`, `64 << 10`.
fn number(text: &str) -> Option<u64> {
    let plain = |text: &str| text.trim().replace('_', "").parse::<u64>().ok();
    match text.split_once("<<") {
        Some((value, by)) => Some(plain(value)? << plain(by)?),
        None => plain(text),
    }
}

/// Bytes in the largest unit that holds them whole.
fn shown(value: u64, name: &str) -> String {
    if !name.to_lowercase().contains("bytes") || value < 1 << 10 {
        return value.to_string();
    }
    for (unit, shift) in [("GiB", 30), ("MiB", 20), ("KiB", 10)] {
        if value.is_multiple_of(1 << shift) {
            return format!("{} {unit}", value >> shift);
        }
    }
    value.to_string()
}

/// Tables under headings like ``## `[runtime]` ``: setting, value, default, (environment,) meaning.
fn read_settings(text: &str, all: &mut BTreeMap<String, Bound>) {
    let mut section = String::new();
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            section = heading.trim_matches(['`', '[', ']']).to_owned();
        }
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let (Some(name), true) = (cells[0].strip_prefix('`'), line.starts_with("| `")) else {
            continue;
        };
        let name = name.trim_end_matches('`');
        let default = match cells[2].trim_matches('`').parse::<u64>() {
            Ok(value) => shown(value, name),
            Err(_) => cells[2].to_owned(),
        };
        let within = cells[1].strip_prefix("an integer from ").map(|range| {
            let ends = range.split(" to ").map(|end| {
                end.parse::<u64>()
                    .map_or(end.to_owned(), |end| shown(end, name))
            });
            ends.collect::<Vec<_>>().join(" to ")
        });
        let bound = Bound {
            value: default,
            within: within.unwrap_or_else(|| cells[1].to_owned()),
            meaning: cells[cells.len() - 1].to_owned(),
        };
        all.insert(format!("{section}.{name}"), bound);
    }
}

#[test]
fn bounds_are_read_from_both_places() {
    let constants = "//! Bounds.\n\n/// Bytes of\n/// a key.\npub const KEY_MAX_BYTES: usize = 64 << 10;\n/// Calls.\npub const CALLS_MAX: u32 = 4_096;\n";
    let settings = "## `[runtime]`\n\n| setting | value | default | environment | meaning |\n| --- | --- | --- | --- | --- |\n| `size_max_bytes` | an integer from 1 to 2048 | `1024` | `WEIR_X` | The size. |\n## `[[policy]]`\n| `mode` | enforce, shadow | `\"enforce\"` | Which. |\n";
    let others = [(
        "http",
        "/// Of a body.\nconst BODY_MAX_BYTES: u64 = 1 << 20;\n".to_owned(),
    )];
    let bounds = Bounds::of(constants, &others, settings);
    let table = bounds
        .table(&[
            "KEY_MAX_BYTES",
            "CALLS_MAX",
            "http.BODY_MAX_BYTES",
            "runtime.size_max_bytes",
            "policy.mode",
        ])
        .unwrap();
    let expected = "\
| `KEY_MAX_BYTES` | 64 KiB | fixed | Bytes of a key. |
| `CALLS_MAX` | 4096 | fixed | Calls. |
| `http.BODY_MAX_BYTES` | 1 MiB | fixed | Of a body. |
| `runtime.size_max_bytes` | 1 KiB | 1 to 2 KiB | The size. |
| `policy.mode` | `\"enforce\"` | enforce, shadow | Which. |
";
    assert!(table.ends_with(expected), "{table}");
    assert!(bounds.table(&["OTHER"]).is_err());
    assert_eq!(bounds.of_policies().count(), 4);
}
