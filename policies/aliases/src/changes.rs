//! What is done to a call: one set of settings, ready to apply.

use std::collections::BTreeMap;

use serde_json::Value;
use weir_sdk::{Summary, call, edit};

use crate::names::Names;

/// The settings as they are written, at the top and in a rule alike.
#[derive(Default)]
pub(crate) struct Written {
    pub(crate) aliases: BTreeMap<String, String>,
    pub(crate) defaults: BTreeMap<String, Value>,
    pub(crate) caps: BTreeMap<String, f64>,
    pub(crate) remove: Vec<String>,
    pub(crate) system: Option<String>,
}

/// The settings with pointers checked and values as JSON text.
#[derive(Default)]
pub(crate) struct Changes {
    names: Names,
    defaults: Vec<(String, String)>,
    caps: Vec<Cap>,
    remove: Vec<String>,
    system: Option<String>,
    /// True if nothing but the names can change a call.
    only_names: bool,
}

/// A number that is lowered where the call has more.
struct Cap {
    pointer: String,
    most: f64,
    text: String,
    /// True where the summary's bound on the output covers it, so that the host need not be asked.
    in_summary: bool,
}

/// The members whose largest value the summary has as `max_output_tokens`.
const OUTPUT_BOUNDS: [&str; 4] = [
    "/max_tokens",
    "/max_completion_tokens",
    "/max_output_tokens",
    "/max_tokens_to_sample",
];

impl Written {
    pub(crate) fn compile(self) -> Result<Changes, String> {
        let names = Names::new(self.aliases).map_err(|error| format!("aliases: {error}"))?;
        let mut defaults = Vec::new();
        for (name, value) in self.defaults {
            defaults.push((pointer("defaults", name)?, value.to_string()));
        }
        let mut caps = Vec::new();
        for (name, cap) in self.caps {
            // Whole numbers stay whole: providers refuse `"max_tokens": 100.0`.
            let text = if cap.fract() == 0.0 {
                format!("{cap:.0}")
            } else {
                cap.to_string()
            };
            let pointer = pointer("caps", name)?;
            let in_summary = OUTPUT_BOUNDS.contains(&pointer.as_str());
            caps.push(Cap {
                pointer,
                most: cap,
                text,
                in_summary,
            });
        }
        let mut remove = Vec::new();
        for name in self.remove {
            remove.push(pointer("remove", name)?);
        }
        let system = self.system.filter(|text| !text.is_empty());
        let only_names =
            defaults.is_empty() && caps.is_empty() && remove.is_empty() && system.is_none();
        Ok(Changes {
            names,
            defaults,
            caps,
            remove,
            system,
            only_names,
        })
    }
}

/// `temperature` is short for the pointer `/temperature`.
fn pointer(setting: &str, name: String) -> Result<String, String> {
    if name.is_empty() || name == "/" {
        return Err(format!("{setting}: a name is empty"));
    }
    if ["model", "/model"].contains(&name.as_str()) {
        return Err(format!("{setting}: the model is set by `aliases`"));
    }
    if name.starts_with('/') {
        return Ok(name);
    }
    Ok(format!("/{}", name.replace('~', "~0").replace('/', "~1")))
}

impl Changes {
    /// True if it would not touch the call; told without asking the host.
    pub(crate) fn is_nothing_for(&self, call: &Summary, renamed: bool) -> bool {
        self.only_names && (renamed || !self.names.has(&call.model))
    }

    /// Makes the changes; true if the model got a new name. A model that already got one in this
    /// call (`renamed`) keeps it. `untouched` where nothing was changed before.
    pub(crate) fn apply(
        &self,
        call: &Summary,
        untouched: bool,
        renamed: bool,
    ) -> Result<bool, String> {
        for pointer in &self.remove {
            edit::remove_json(pointer)?;
        }
        for (pointer, value) in &self.defaults {
            // Providers take null for "not set".
            if call::json(pointer).is_none_or(|found| found == "null") {
                edit::set_json(pointer, value)?;
            }
        }
        // What the summary says of the call holds until something of it was changed.
        let untouched = untouched && self.remove.is_empty() && self.defaults.is_empty();
        for cap in &self.caps {
            if untouched && cap.in_summary && f64::from(call.max_output_tokens) < cap.most {
                continue;
            }
            let number = call::json(&cap.pointer).and_then(|found| found.parse::<f64>().ok());
            if number.is_some_and(|number| number > cap.most) {
                edit::set_json(&cap.pointer, &cap.text)?;
            }
        }
        if let Some(text) = &self.system {
            edit::prepend_system(text)?;
        }
        let name = if renamed {
            None
        } else {
            self.names.resolve(&call.model)
        };
        if let Some(name) = &name {
            edit::set_model(name)?;
        }
        Ok(name.is_some())
    }
}
