//! The steps that any hook can be told to take, good and bad.

use serde::Deserialize;
use serde_json::Value;
use weir_sdk::Denial;
use weir_sdk::{clock, edit, log, metrics, store};

/// One step: `"trap"`, or `{ "log": "text" }`.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Step {
    /// Nothing.
    Allow,
    /// Ends the call.
    Deny(DenySettings),
    /// Panics, which is a trap.
    Trap,
    /// Never returns.
    Loop,
    /// Takes memory without end.
    Grow,
    /// Takes and keeps that many bytes.
    GrowBytes(usize),
    /// Is busy for that many milliseconds of the host's clock.
    SpinMs(u64),
    /// Writes a line, at the level info.
    Log(String),
    /// Sets a key of the store.
    Store(String, String),
    /// Adds 1 to a key of the store.
    Count(String),
    /// Adds 1 to a metric.
    Metric(String),
    /// The rest: the functions of `edit`.
    SetModel(String),
    SetHeader(String, String),
    RemoveHeader(String),
    SetJson(String, Value),
    RemoveJson(String),
    PrependSystem(String),
    SetMessageText(u32, String),
    ReplaceBody(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DenySettings {
    #[serde(default = "forbidden")]
    status: u16,
    #[serde(default = "denied")]
    code: String,
    #[serde(default)]
    message: String,
    retry_after_ms: Option<u32>,
}

fn forbidden() -> u16 {
    403
}

fn denied() -> String {
    "probe_denied".to_owned()
}

impl Step {
    /// Takes the step. What the host refuses is a denial with the host's sentence.
    pub(crate) fn run(&self) -> Result<(), Denial> {
        match self {
            Step::Allow => Ok(()),
            Step::Deny(DenySettings {
                status,
                code,
                message,
                retry_after_ms,
            }) => {
                let denial = Denial::new(*status, code.clone(), message.clone());
                Err(Denial {
                    retry_after_ms: *retry_after_ms,
                    ..denial
                })
            }
            Step::Trap => trap(),
            Step::Loop => loop {
                std::hint::black_box(());
            },
            Step::Grow => loop {
                grow(1 << 20);
            },
            Step::GrowBytes(bytes) => {
                grow(*bytes);
                Ok(())
            }
            Step::SpinMs(ms) => {
                let end_ms = clock::now_ms() + ms;
                while clock::now_ms() < end_ms {}
                Ok(())
            }
            Step::Log(line) => {
                log::write(log::Level::Info, line);
                Ok(())
            }
            Step::Store(key, value) => store::set(key, value.as_bytes(), None).map_err(failed),
            Step::Count(key) => store::add(key, 1, None).map(|_| ()).map_err(failed),
            Step::Metric(name) => {
                metrics::count(name, 1, &[("by", "probe")]);
                Ok(())
            }
            Step::SetModel(model) => edit::set_model(model).map_err(failed),
            Step::SetHeader(name, value) => edit::set_header(name, value).map_err(failed),
            Step::RemoveHeader(name) => edit::remove_header(name).map_err(failed),
            Step::SetJson(pointer, value) => edit::set_value(pointer, value).map_err(failed),
            Step::RemoveJson(pointer) => edit::remove_json(pointer).map_err(failed),
            Step::PrependSystem(text) => edit::prepend_system(text).map_err(failed),
            Step::SetMessageText(index, text) => {
                edit::set_message_text(*index, text).map_err(failed)
            }
            Step::ReplaceBody(body) => edit::replace_body(body.as_bytes()).map_err(failed),
        }
    }
}

/// What the host refused, told to the test by way of a denial.
pub(crate) fn failed(error: String) -> Denial {
    Denial::new(422, "probe_refused", error)
}

#[expect(clippy::panic, reason = "to trap is what the probe was told to do")]
fn trap() -> ! {
    panic!("the probe was told to trap");
}

/// Touches every page, so that the memory is really there, and keeps it.
fn grow(bytes: usize) {
    let memory = vec![1u8; bytes];
    std::hint::black_box(memory.leak());
}
