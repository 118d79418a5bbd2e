//! From the configuration to limits whose every fixed part is ready.

use std::collections::BTreeMap;

use serde::Deserialize;
use weir_sdk::select::Scope;
use weir_sdk::{Unit, Window};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    #[serde(default)]
    limits: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: Option<String>,
    #[serde(default, rename = "match")]
    scope: Scope,
    #[serde(default)]
    per: Vec<Dimension>,
    unit: UnitName,
    window: Option<String>,
    limit: Option<u64>,
    by_label: Option<ByLabel>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ByLabel {
    label: String,
    values: BTreeMap<String, u64>,
}

/// Whose counter it is. In this order in the counter's name, whatever order the configuration has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Dimension {
    Tenant,
    Key,
    Model,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum UnitName {
    Requests,
    InputTokens,
    OutputTokens,
    TotalTokens,
    CostMicros,
    InFlight,
}

/// One limit, ready for the hook.
pub(crate) struct Compiled {
    pub(crate) scope: Scope,
    pub(crate) prefix: String,
    pub(crate) per: Vec<Dimension>,
    pub(crate) unit: Unit,
    pub(crate) window: Window,
    pub(crate) limit: Option<u64>,
    pub(crate) by_label: Option<(String, BTreeMap<String, u64>)>,
}

/// Compiles all limits, or says of each what is wrong with it.
pub(crate) fn compile(config: Config) -> Result<Vec<Compiled>, Vec<String>> {
    let (mut limits, mut errors): (Vec<Compiled>, Vec<String>) = (Vec::new(), Vec::new());
    for (index, entry) in config.limits.into_iter().enumerate() {
        match entry.compile() {
            Ok(limit) if limits.iter().any(|other| other.prefix == limit.prefix) => {
                errors.push(format!(
                    "limits[{index}].name: another limit is `{}` too and would share its counters; give this one a name of its own",
                    limit.prefix
                ));
            }
            Ok(limit) => limits.push(limit),
            Err((setting, error)) => errors.push(format!("limits[{index}].{setting}: {error}")),
        }
    }
    if errors.is_empty() {
        Ok(limits)
    } else {
        Err(errors)
    }
}

impl Entry {
    fn compile(self) -> Result<Compiled, (&'static str, String)> {
        let (unit, unit_name) = self.unit.named();
        let window = match (unit, self.window.as_deref()) {
            (Unit::InFlight, None | Some("call")) => Window::Call,
            (Unit::InFlight, Some(_)) => {
                return Err((
                    "window",
                    "calls in flight are counted as long as they are; leave it out".to_owned(),
                ));
            }
            (_, None) => return Err(("window", "is missing, for example \"minute\"".to_owned())),
            (_, Some(text)) => window(text).ok_or_else(|| ("window", not_a_window(text)))?,
        };
        if self.limit.is_none() && self.by_label.is_none() {
            return Err(("limit", "is missing, and there is no by_label".to_owned()));
        }
        let mut per = self.per;
        per.sort();
        per.dedup();
        let prefix = match self.name {
            Some(name) if name.is_empty() || name.contains('/') => {
                return Err(("name", format!("`{name}` is empty or has a `/` in it")));
            }
            Some(name) => name,
            None => format!("{unit_name}:{}:{}", window_name(window), per_name(&per)),
        };
        let by_label = self.by_label.map(|table| (table.label, table.values));
        Ok(Compiled {
            scope: self.scope,
            prefix,
            per,
            unit,
            window,
            limit: self.limit,
            by_label,
        })
    }
}

impl UnitName {
    fn named(self) -> (Unit, &'static str) {
        match self {
            UnitName::Requests => (Unit::Requests, "requests"),
            UnitName::InputTokens => (Unit::InputTokens, "input-tokens"),
            UnitName::OutputTokens => (Unit::OutputTokens, "output-tokens"),
            UnitName::TotalTokens => (Unit::TotalTokens, "total-tokens"),
            UnitName::CostMicros => (Unit::CostMicros, "cost-micros"),
            UnitName::InFlight => (Unit::InFlight, "in-flight"),
        }
    }
}

/// `minute`, `hour`, `90s`, `5m`, `24h`: sliding. `day`, `week`, `month`: natural. `lifetime`.
fn window(text: &str) -> Option<Window> {
    Some(match text {
        "second" => Window::Sliding(1),
        "minute" => Window::Sliding(60),
        "hour" => Window::Sliding(3_600),
        "day" => Window::Day,
        "week" => Window::Week,
        "month" => Window::Month,
        "lifetime" => Window::Lifetime,
        _ => {
            let number = text.trim_end_matches(['s', 'm', 'h', 'd']);
            let seconds = match text.get(number.len()..)? {
                "s" => 1,
                "m" => 60,
                "h" => 3_600,
                "d" => 86_400,
                _ => return None,
            };
            let seconds = number.parse::<u32>().ok()?.checked_mul(seconds)?;
            Window::Sliding(Some(seconds).filter(|seconds| *seconds > 0)?)
        }
    })
}

fn not_a_window(text: &str) -> String {
    format!(
        "`{text}` is none of second, minute, hour, day, week, month, lifetime, 10s, 5m, 24h, 7d"
    )
}

fn window_name(window: Window) -> String {
    match window {
        Window::Sliding(seconds) => format!("{seconds}s"),
        Window::Day => "day".to_owned(),
        Window::Week => "week".to_owned(),
        Window::Month => "month".to_owned(),
        Window::Lifetime => "lifetime".to_owned(),
        Window::Call => "call".to_owned(),
    }
}

fn per_name(per: &[Dimension]) -> String {
    let names: Vec<&str> = per
        .iter()
        .map(|dimension| match dimension {
            Dimension::Tenant => "tenant",
            Dimension::Key => "key",
            Dimension::Model => "model",
        })
        .collect();
    if names.is_empty() {
        "everywhere".to_owned()
    } else {
        names.join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows() {
        assert_eq!(window("minute"), Some(Window::Sliding(60)));
        assert_eq!(window("10s"), Some(Window::Sliding(10)));
        assert_eq!(window("24h"), Some(Window::Sliding(86_400)));
        assert_eq!(window("month"), Some(Window::Month));
        for text in [
            "",
            "s",
            "0s",
            "10",
            "10x",
            "10ms",
            "-1s",
            "99999999h",
            "call",
            "é",
        ] {
            assert_eq!(window(text), None, "{text}");
        }
    }
}
