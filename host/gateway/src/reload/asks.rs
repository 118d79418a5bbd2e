//! What a version may do that the one before it could not, in plain words.
//!
//! A component's imports are the list of what it can do to the world, its hooks of what it can do to
//! a call. A version that has more of either waits until someone has said that it may.

use weir_policy::{Hook, Version};

/// Interfaces of Weir that give no power: words and the time.
const HARMLESS: [&str; 2] = ["types", "clock"];

/// What each interface gives, as "it may …".
const IMPORTS: [(&str, &str); 11] = [
    ("call", "read the call: its headers, its body, whose it is"),
    ("edit", "change the request, in the hook `rewrite`"),
    (
        "channels",
        "learn the names, providers and labels of channels",
    ),
    ("store", "keep values of its own between calls"),
    ("log", "write lines to the gateway's log"),
    ("metrics", "report metrics of its own"),
    ("secrets", "read the secrets that it is granted by name"),
    ("firewall", "keep addresses out, where it is granted to"),
    (
        "models",
        "ask the models that it is granted, which costs money",
    ),
    ("http", "send requests to the hosts that it is granted"),
    ("wasi:http", "send requests to the hosts that it is granted"),
];

/// What each hook can do to a call.
const HOOKS: [(Hook, &str); 8] = [
    (Hook::Access, "refuse calls"),
    (
        Hook::Rewrite,
        "see every request before it is sent, and refuse it",
    ),
    (Hook::Limit, "put calls under limits"),
    (Hook::Answer, "answer calls itself, in the provider's place"),
    (Hook::Route, "say which channels are tried"),
    (Hook::Reply, "see and change whole replies"),
    (Hook::Events, "see and change streamed replies"),
    (Hook::Audit, "see every finished call"),
];

/// What `new` may do that `old` could not; a line for each, as "it may …".
pub(super) fn more(old: &Version, new: &Version) -> Vec<String> {
    let hooks = new
        .hooks()
        .iter()
        .filter(|hook| !old.hooks().contains(*hook));
    let hook = |hook: Hook| {
        let (_, may) = HOOKS.iter().find(|(known, _)| *known == hook)?;
        Some(format!("it may {may} (it exports `{hook}`)"))
    };
    let had = names(old);
    let imports = names(new);
    let imports = imports.iter().filter(|name| !had.contains(name));
    let mut lines: Vec<String> = hooks.filter_map(hook).collect();
    lines.extend(imports.map(|name| import(name)));
    lines
}

/// The interfaces that give power, without their versions. All that WASI gives besides HTTP are
/// clocks, chance and standard output, which is the log.
fn names(version: &Version) -> Vec<String> {
    let mut names: Vec<String> = version
        .imports()
        .iter()
        .filter_map(|import| {
            let name = import.split('@').next()?;
            if let Some(name) = name.strip_prefix("weir:policy/") {
                return (!HARMLESS.contains(&name)).then(|| name.to_owned());
            }
            name.starts_with("wasi:http")
                .then(|| "wasi:http".to_owned())
        })
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn import(name: &str) -> String {
    match IMPORTS.iter().find(|(known, _)| *known == name) {
        Some((_, may)) => format!("it may {may} (it imports `{name}`)"),
        None => format!("it imports `{name}`"),
    }
}
