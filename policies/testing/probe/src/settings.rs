//! The configuration of the probe, hook by hook.

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use weir_sdk::prelude::*;
use weir_sdk::select::Patterns;

use crate::events::Text;
use crate::steps::Step;

macro_rules! probe {
    ($($hook:ident: $settings:ty),+) => {
        /// What to do in each hook.
        pub struct Probe { $(pub(crate) $hook: $settings,)+ }

        /// The same as it is written: `Probe` itself makes its own errors, and so cannot be what
        /// serde reads.
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct Written { $(#[serde(default)] $hook: $settings,)+ }

        impl From<Written> for Probe {
            fn from(written: Written) -> Probe {
                Probe { $($hook: written.$hook,)+ }
            }
        }
    };
}

probe! {
    init: Init, access: Common, rewrite: Common, limit: Limit, answer: Answer, route: Route,
    reply: Reply, events: Events, audit: Audit
}

/// `do`: steps; `errors`: what to refuse the configuration with.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Init {
    #[serde(rename = "do")]
    pub(crate) steps: Vec<Step>,
    pub(crate) errors: Vec<String>,
}

/// What every hook takes.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct Common {
    /// The models for which the hook does anything.
    models: Option<Patterns>,
    #[serde(rename = "do")]
    steps: Vec<Step>,
}

impl Common {
    pub(crate) fn matches(&self, call: &Summary) -> bool {
        self.models
            .as_ref()
            .is_none_or(|models| models.matches(&call.model))
    }

    /// Takes the steps; false if the call is none of the hook's business.
    pub(crate) fn run(&self, call: &Summary) -> Result<bool, Denial> {
        if !self.matches(call) {
            return Ok(false);
        }
        self.take()?;
        Ok(true)
    }

    /// Takes the steps, whatever the call is.
    pub(crate) fn take(&self) -> Result<(), Denial> {
        self.steps.iter().try_for_each(Step::run)
    }
}

/// `rules`.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct Limit {
    #[serde(flatten)]
    pub(crate) common: Common,
    pub(crate) rules: Vec<RuleSettings>,
}

/// A rule; `window` is a number of seconds, or the name of a natural window.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuleSettings {
    key: String,
    unit: String,
    window: Value,
    limit: u64,
}

impl RuleSettings {
    pub(crate) fn rule(&self) -> Rule {
        let unit = match self.unit.as_str() {
            "input-tokens" => Unit::InputTokens,
            "output-tokens" => Unit::OutputTokens,
            "total-tokens" => Unit::TotalTokens,
            "cost-micros" => Unit::CostMicros,
            "in-flight" => Unit::InFlight,
            _ => Unit::Requests,
        };
        let window = match (self.window.as_u64(), self.window.as_str()) {
            (Some(seconds), _) => Window::Sliding(u32::try_from(seconds).unwrap_or(u32::MAX)),
            (_, Some("week")) => Window::Week,
            (_, Some("month")) => Window::Month,
            (_, Some("lifetime")) => Window::Lifetime,
            (_, Some("call")) => Window::Call,
            _ => Window::Day,
        };
        Rule {
            key: self.key.clone(),
            unit,
            window,
            limit: self.limit,
        }
    }
}

/// One of `respond`: a response, `stored`: the value of a key of the store as the body, `show`:
/// everything that the imports tell about the call, as JSON.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct Answer {
    #[serde(flatten)]
    pub(crate) common: Common,
    pub(crate) respond: Option<ResponseSettings>,
    pub(crate) stored: Option<String>,
    pub(crate) show: bool,
}

/// `status`, `headers`, `body` (a string, or JSON).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResponseSettings {
    #[serde(default = "ok")]
    status: u16,
    #[serde(default)]
    headers: Vec<(String, String)>,
    #[serde(default)]
    body: Body,
}

fn ok() -> u16 {
    200
}

impl ResponseSettings {
    pub(crate) fn response(&self) -> Response {
        Response {
            status: self.status,
            headers: self.headers.clone(),
            body: self.body.0.clone(),
        }
    }
}

/// Bytes: a string as it is, anything else as JSON text.
#[derive(Default)]
pub(crate) struct Body(pub(crate) Vec<u8>);

impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Body(match Value::deserialize(deserializer)? {
            Value::String(text) => text.into_bytes(),
            other => other.to_string().into_bytes(),
        }))
    }
}

/// `order`: names of channels, else the host's order; `record`: a key of the store for what the
/// candidates were; the two times go with each attempt.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct Route {
    #[serde(flatten)]
    pub(crate) common: Common,
    pub(crate) order: Option<Vec<String>>,
    pub(crate) record: Option<String>,
    pub(crate) first_byte_timeout_ms: Option<u32>,
    pub(crate) hedge_after_ms: Option<u32>,
}

/// `replace`: a whole response, or `append` to the body and `set_header`.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct Reply {
    #[serde(flatten)]
    pub(crate) common: Common,
    pub(crate) replace: Option<ResponseSettings>,
    pub(crate) append: Option<Body>,
    pub(crate) set_header: Option<(String, String)>,
}

/// `text`: what becomes of the text; `append`: text held back until the stream ends; `at`: the
/// number of the event, from 0, before which the steps of `do` are taken (without it: at `open`).
#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct Events {
    #[serde(flatten)]
    pub(crate) common: Common,
    pub(crate) text: Option<Text>,
    pub(crate) append: Option<String>,
    pub(crate) at: Option<u32>,
}

/// `record`: a key of the store for the outcome, as JSON.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct Audit {
    #[serde(flatten)]
    pub(crate) common: Common,
    pub(crate) record: Option<String>,
}
