//! The examples, as a reader of their READMEs runs them: each with its own `gateway.toml` and cases.
//!
//! An example's settings are taken as they stand but for what a test machine needs: ports, folders, time
//! for a busy machine, and providers where a test wants one that it can look into.

mod business_hours;
mod canary;
mod cost_aware;
mod eu_only;
mod pii_redaction;
mod polyglot;
mod prompt_screen;
mod reply_schema;
mod response_cache;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use std::collections::BTreeMap;
use weir_tests::{
    Client, Gateway, Provider, Recording, Reply, Setup, built_policy, compiled_cache, recordings,
};

use crate::skip;

/// Lines of the top of `gateway.toml` that the harness sets itself.
const OURS: [&str; 5] = [
    "listen",
    "admin_listen",
    "data_dir",
    "policies_dir",
    "workers",
];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../examples")
        .join(name)
}

/// One example whose component is built.
struct Example {
    name: String,
    component: PathBuf,
    settings: String,
}

impl Example {
    /// The example of this name; none, and said so, where its component could not be built here.
    fn named(name: &str) -> Option<Example> {
        let Some(component) = built_policy(name) else {
            skip(
                "WEIR_EXAMPLES",
                &format!("examples/{name} is not built: see examples/build.sh"),
            );
            return None;
        };
        let path = folder(name).join("gateway.toml");
        let settings =
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Some(Example {
            name: name.to_owned(),
            component,
            settings,
        })
    }

    /// The same with another text in its settings, which must stand there.
    #[must_use]
    fn with(mut self, text: &str, instead: &str) -> Example {
        assert!(
            self.settings.contains(text),
            "{text} is not in {}",
            self.settings
        );
        self.settings = self.settings.replace(text, instead);
        self
    }

    /// The same with a provider of the test's behind the channel of this name, in place of the built-in one.
    #[must_use]
    fn behind(mut self, channel: &str, dialect: &str, provider: &Provider) -> Example {
        let named = format!("name = \"{channel}\"");
        let mut found = false;
        let blocks = self.settings.split("\n[[").map(|block| {
            if !block.starts_with("channel]]") || !block.lines().any(|line| line == named) {
                return block.to_owned();
            }
            found = true;
            // What the built-in provider is told stands in a table of its own.
            let own = block.split("\n[channel.fake]").next().unwrap_or_default();
            let kept: Vec<&str> = own
                .lines()
                .skip(1)
                .filter(|line| *line != named && !line.starts_with("dialect ="))
                .collect();
            provider
                .channel(dialect, channel, &kept.join("\n"))
                .trim_start_matches("\n[[")
                .to_owned()
        });
        let settings = blocks.collect::<Vec<_>>().join("\n[[");
        assert!(found, "no channel {channel} in {}", self.settings);
        self.settings = settings;
        self
    }

    /// What a caller sends as the key of this name.
    #[track_caller]
    fn secret(&self, key: &str) -> String {
        let named = format!("name = \"{key}\"");
        let blocks = self.settings.split("\n[[").filter(|block| {
            block.starts_with("tenant.key]]") && block.lines().any(|line| line == named)
        });
        let secret = blocks
            .flat_map(str::lines)
            .find_map(|line| line.strip_prefix("secret = \"plain:")?.strip_suffix('"'));
        secret
            .unwrap_or_else(|| panic!("no key {key} with a secret in {}", self.settings))
            .to_owned()
    }

    /// Its settings, as the harness wants them.
    fn toml(&self) -> String {
        let mut lines = Vec::new();
        let mut at_top = true;
        for line in self.settings.lines() {
            at_top &= !line.starts_with('[');
            let name = line.split(" =").next().unwrap_or_default();
            if line.starts_with("deadline_ms =") || at_top && OURS.contains(&name) {
                continue;
            }
            lines.push(line);
            if line.starts_with("source =") {
                // The machine is busy with other tests.
                lines.push("deadline_ms = 5000");
            }
        }
        lines.join("\n")
    }

    /// A folder with these, and its component.
    fn setup(&self) -> Setup {
        let component = fs::read(&self.component).expect("a component");
        // Compiling an interpreter takes long on a busy machine.
        Setup::new(&self.toml())
            .compiled(&self.component)
            .env("WEIR_RUNTIME_COMPILE_TIMEOUT_MS", "170000")
            .write(&format!("{}.wasm", self.name), component)
    }

    /// Its gateway, running.
    #[track_caller]
    fn start(self) -> Running {
        Running {
            gateway: self.setup().start(),
            example: self,
        }
    }
}

/// An example's gateway.
struct Running {
    example: Example,
    gateway: Gateway,
}

impl Running {
    /// Puts the settings of this example in their place, while it runs.
    fn configure(&self, changed: &Example) {
        self.gateway.configure(&changed.toml());
    }

    /// A caller with the key of this name.
    #[track_caller]
    fn caller(&self, key: &str) -> Client {
        self.gateway.client(&self.example.secret(key))
    }

    /// The sum of all series of the policy's own metric whose labels hold all of these.
    #[track_caller]
    fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let text = self.gateway.admin().get("/metrics").expect(200).text();
        let policy = format!("policy=\"{}\"", self.example.name);
        let wanted: Vec<String> = labels
            .iter()
            .map(|(name, value)| format!("{name}=\"{value}\""))
            .collect();
        let name = format!("weir_policy_custom_{name}{{");
        let series = text.lines().filter(|line| {
            line.starts_with(&name)
                && line.contains(&policy)
                && wanted.iter().all(|label| line.contains(label))
        });
        series
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }
}

/// The JSON of the events of a streamed reply.
fn events(reply: &Reply) -> Vec<Value> {
    payloads(&reply.text())
}

fn payloads(text: &str) -> Vec<Value> {
    let data = text.lines().filter_map(|line| line.strip_prefix("data:"));
    data.filter_map(|data| serde_json::from_str(data.trim()).ok())
        .collect()
}

/// What a streamed reply says, however it is cut.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    text: String,
    /// The arguments of tool calls, by where they stand.
    arguments: BTreeMap<u64, String>,
    finish: String,
}

impl Said {
    /// In whatever dialect it is.
    fn by(events: &[Value]) -> Said {
        let mut said = Said::default();
        for event in events {
            said.chunk(&event["choices"][0]);
            said.named(event);
            said.candidate(&event["candidates"][0]);
        }
        said
    }

    fn add(&mut self, text: &Value, arguments: (&Value, &Value), finish: &Value) {
        self.text += text.as_str().unwrap_or_default();
        if let (Some(index), Some(piece)) = (arguments.0.as_u64(), arguments.1.as_str()) {
            *self.arguments.entry(index).or_default() += piece;
        }
        self.finish += finish.as_str().unwrap_or_default();
    }

    fn chunk(&mut self, choice: &Value) {
        let delta = &choice["delta"];
        let none = (&Value::Null, &Value::Null);
        self.add(&delta["content"], none, &choice["finish_reason"]);
        for call in delta["tool_calls"].as_array().into_iter().flatten() {
            let piece = (&call["index"], &call["function"]["arguments"]);
            self.add(&Value::Null, piece, &Value::Null);
        }
    }

    fn named(&mut self, event: &Value) {
        let (delta, none) = (&event["delta"], &Value::Null);
        match event["type"].as_str().unwrap_or_default() {
            "response.output_text.delta" => self.add(delta, (none, none), none),
            "response.function_call_arguments.delta" => {
                self.add(none, (&event["output_index"], delta), none);
            }
            "content_block_delta" => {
                let piece = (&event["index"], &delta["partial_json"]);
                self.add(&delta["text"], piece, none);
            }
            "message_delta" => self.add(none, (none, none), &delta["stop_reason"]),
            end @ ("response.completed" | "response.incomplete") => self.finish += end,
            _ => {}
        }
    }

    fn candidate(&mut self, candidate: &Value) {
        let none = &Value::Null;
        self.add(none, (none, none), &candidate["finishReason"]);
        let parts = candidate["content"]["parts"].as_array();
        for part in parts.into_iter().flatten() {
            if part["functionCall"].is_object() {
                let index = self.arguments.len() as u64;
                let arguments = part["functionCall"]["args"].to_string();
                self.arguments.insert(index, arguments);
            } else if part["thought"] != true {
                self.add(&part["text"], (none, none), none);
            }
        }
    }
}

/// The text of a streamed reply, in whatever dialect it is.
fn streamed_text(reply: &Reply) -> String {
    Said::by(&events(reply)).text
}

/// The recorded streams of four dialects, with what each is of a gateway's: its name and the endpoint.
fn recorded_streams() -> Vec<(&'static str, Recording)> {
    let endpoints = [
        ("openai", "openai/chat_completions"),
        ("openai", "openai/responses"),
        ("anthropic", "anthropic/messages"),
        ("gemini", "gemini/streamGenerateContent"),
    ];
    let of = |(dialect, endpoint)| {
        let all = recordings(endpoint).into_iter();
        all.map(move |recording| (dialect, recording))
    };
    let whole = |recording: &Recording| {
        let text = String::from_utf8_lossy(&recording.body).into_owned();
        recording.streams
            && recording.status == 200
            && text.contains("data:")
            && !text.contains("\"error\"")
    };
    let streams = endpoints.into_iter().flat_map(of);
    let streams: Vec<_> = streams
        .filter(|(_, recording)| whole(recording) && recording.request["n"].is_null())
        .collect();
    assert!(streams.len() > 10, "{} streams", streams.len());
    streams
}

/// All examples that are a whole folder: those with settings of a gateway.
fn all() -> Vec<String> {
    let folders = fs::read_dir(folder("")).expect("examples");
    let mut names: Vec<String> = folders
        .filter_map(Result::ok)
        .filter(|entry| entry.path().join("gateway.toml").exists())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert!(!names.is_empty(), "no examples");
    names
}

#[test]
fn every_example_passes_its_own_cases() {
    for name in all() {
        let Some(example) = Example::named(&name) else {
            continue;
        };
        let cache = compiled_cache().display().to_string();
        let setup = Setup::bare()
            .compiled(&example.component)
            .env("XDG_CACHE_HOME", &cache);
        let (file, cases) = (
            example.component.display().to_string(),
            folder(&name).join("cases").display().to_string(),
        );
        let output = setup.run_to_end(&["policy", "test", &file, &cases]);
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{name}:\n{said}");
        assert!(!said.contains("\n0 cases"), "{name}:\n{said}");
    }
}

#[test]
fn every_example_has_settings_in_order_and_a_readme() {
    for name in all() {
        let readme = fs::read_to_string(folder(&name).join("README.md")).unwrap_or_default();
        assert!(readme.starts_with("# "), "examples/{name} has no README.md");
        let Some(example) = Example::named(&name) else {
            continue;
        };
        // As it stands, but for the component that the README has the reader put there.
        let setup = Setup::bare().write("gateway.toml", &example.settings);
        let component = fs::read(&example.component).expect("a component");
        let setup = setup.write(&format!("{name}.wasm"), component);
        let output = setup.run_to_end(&["config", "check", "--config", "gateway.toml"]);
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{name}:\n{said}");
    }
}
