//! Cases: what a policy must decide, as data beside its code.
//!
//! `cases/*.json` holds a case or a list of cases per file; a new case is one more entry:
//!
//! ```json
//! { "name": "another family is denied",
//!   "config": { "models": ["gpt-*"] },
//!   "hook": "access",
//!   "call": { "model": "claude-3", "labels": { "plan": "pro" } },
//!   "expect": { "deny": { "status": 403, "code": "model_not_allowed" } } }
//! ```
//!
//! `call` takes what `CallCase` lists; `candidates` are the channels, by name, which go with the hook
//! `route` and which `channels` knows in every hook; `now_ms` sets the host. `expect` names any of what the hook produced, and each named part must
//! be as it says (of an object, the members that it names; `body` is compared whole):
//! - every hook: `allow` (true), `deny` {status, code, message, retry_after_ms}, `imports` (how many
//!   calls into the host), `logs` (lines);
//! - `init`: `errors` (the sentences; empty where the configuration is good);
//! - `rewrite`: `model`, `headers` {name: value}, `body`;
//! - `limit`: `rules` [{key, unit, window, limit}];
//! - `route`: `attempts` [{channel, first_byte_timeout_ms, hedge_after_ms}];
//! - `answer`: `response` {status, headers, body} or null.

mod written;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value, json};

pub use written::{CallCase, CandidateCase, Case};

use super::{Host, Seen};
use crate::hooks::{Access, Answer, Limit, Policy, Rewrite, Route};
use crate::types::{Attempt, Denial, Response, Rule, Unit, Window};

/// The cases of a policy and the hooks that they may name.
pub struct Cases<P> {
    cases: Vec<(String, Case)>,
    hooks: BTreeMap<&'static str, Hook<P>>,
}

type Hook<P> = fn(&P, &mut Host) -> (Value, Seen);

impl<P: Policy> Cases<P> {
    /// Reads the cases of a folder, relative to the package (`"cases"`). A folder that holds none
    /// or cannot be read fails the test.
    #[expect(clippy::panic, reason = "for tests only")]
    pub fn of(folder: &str) -> Cases<P> {
        let mut files: Vec<_> = match Path::new(folder).read_dir() {
            Ok(entries) => entries
                .filter_map(|entry| Some(entry.ok()?.path()))
                .collect(),
            Err(error) => panic!("{folder}: {error}"),
        };
        files.sort();
        let mut cases = Vec::new();
        for file in files
            .iter()
            .filter(|file| file.extension().is_some_and(|e| e == "json"))
        {
            let name = file.display().to_string();
            let read = std::fs::read_to_string(file).map_err(|error| error.to_string());
            match read.and_then(|text| read_cases(&text)) {
                Ok(list) => cases.extend(list.into_iter().map(|case| (name.clone(), case))),
                Err(error) => panic!("{name}: {error}"),
            }
        }
        assert!(!cases.is_empty(), "{folder} holds no case");
        Cases {
            cases,
            hooks: BTreeMap::new(),
        }
    }

    /// Runs all cases and fails with the list of those that came out otherwise.
    #[expect(clippy::panic, reason = "for tests only")]
    pub fn check(&self) {
        let failed: Vec<String> = self
            .cases
            .iter()
            .filter_map(|case| self.failure(case))
            .collect();
        let count = self.cases.len();
        if !failed.is_empty() {
            panic!(
                "{} of {count} cases failed:\n{}",
                failed.len(),
                failed.join("\n")
            );
        }
    }

    fn failure(&self, (file, case): &(String, Case)) -> Option<String> {
        let config = if case.config.is_null() {
            json!({})
        } else {
            case.config.clone()
        };
        let policy = P::configure(&config.to_string());
        let found = match (policy, self.hooks.get(case.hook.as_str())) {
            (policy, _) if case.hook == "init" => {
                json!({ "errors": policy.err().unwrap_or_default() })
            }
            (Err(errors), _) => json!({ "errors": errors }),
            (Ok(_), None) => json!({ "problem": format!("no hook `{}` here", case.hook) }),
            (Ok(policy), Some(hook)) => {
                let mut host = Host::new()
                    .call(case.call.build())
                    .channels(case.candidates.clone());
                if let Some(now_ms) = case.now_ms {
                    host = host.now_ms(now_ms);
                }
                let (mut found, seen) = hook(&policy, &mut host);
                describe(&mut found, &seen);
                found
            }
        };
        // A member that was to be removed would not be missed in a part of the body.
        let fits = |(part, expected): (&String, &Value)| match found.get(part) {
            Some(found) if part == "body" => expected == found,
            Some(found) => agrees(expected, found),
            None => false,
        };
        (!case.expect.iter().all(fits)).then(|| {
            let expected = Value::Object(case.expect.clone());
            format!(
                "- {file}: {}\n  expected {expected}\n  found    {found}",
                case.name
            )
        })
    }
}

impl<P: Policy + Access> Cases<P> {
    /// Cases may name the hook `access`.
    pub fn access(mut self) -> Self {
        self.hooks.insert("access", |policy, host| {
            let (result, seen) = host.run(|call| policy.authorize(call));
            (outcome(result.map(|()| json!({}))), seen)
        });
        self
    }
}

impl<P: Policy + Rewrite> Cases<P> {
    /// Cases may name the hook `rewrite`.
    pub fn rewrite(mut self) -> Self {
        self.hooks.insert("rewrite", |policy, host| {
            let (result, seen) = host.run(|call| policy.rewrite(call));
            (outcome(result.map(|()| json!({}))), seen)
        });
        self
    }
}

impl<P: Policy + Limit> Cases<P> {
    /// Cases may name the hook `limit`.
    pub fn limit(mut self) -> Self {
        self.hooks.insert("limit", |policy, host| {
            let (result, seen) = host.run(|call| policy.limits(call));
            let rules =
                |rules: Vec<Rule>| json!({ "rules": rules.iter().map(rule).collect::<Vec<_>>() });
            (outcome(result.map(rules)), seen)
        });
        self
    }
}

impl<P: Policy + Route> Cases<P> {
    /// Cases may name the hook `route`.
    pub fn route(mut self) -> Self {
        self.hooks.insert("route", |policy, host| {
            let candidates = host.candidates();
            let (result, seen) = host.run(|call| policy.route(call, candidates));
            let shown = |one: &Attempt| attempt(one, host);
            let attempts = |list: Vec<Attempt>| json!({ "attempts": list.iter().map(shown).collect::<Vec<_>>() });
            (outcome(result.map(attempts)), seen)
        });
        self
    }
}

impl<P: Policy + Answer> Cases<P> {
    /// Cases may name the hook `answer`.
    pub fn answer(mut self) -> Self {
        self.hooks.insert("answer", |policy, host| {
            let (result, seen) = host.run(|call| policy.answer(call));
            let response =
                |found: Option<Response>| json!({ "response": found.as_ref().map(response) });
            (outcome(result.map(response)), seen)
        });
        self
    }
}

fn read_cases(text: &str) -> Result<Vec<Case>, String> {
    let error = |error: serde_json::Error| error.to_string();
    match serde_json::from_str(text).map_err(error)? {
        Value::Array(list) => list
            .into_iter()
            .map(|case| serde_json::from_value(case.clone()).map_err(|e| format!("{e} in {case}")))
            .collect(),
        one => Ok(vec![serde_json::from_value(one).map_err(error)?]),
    }
}

fn outcome(result: Result<Value, Denial>) -> Value {
    match result {
        Ok(Value::Object(mut found)) => {
            found.insert("allow".to_owned(), true.into());
            Value::Object(found)
        }
        Ok(other) => other,
        Err(denial) => json!({ "deny": {
            "status": denial.status, "code": denial.code, "message": denial.message,
            "retry_after_ms": denial.retry_after_ms,
        } }),
    }
}

fn describe(found: &mut Value, seen: &Seen) {
    let Value::Object(found) = found else { return };
    found.insert("imports".to_owned(), seen.imports.into());
    found.insert("model".to_owned(), seen.model.as_str().into());
    found.insert("headers".to_owned(), seen.headers.iter().cloned().collect());
    found.insert("body".to_owned(), seen.json());
    let logs = seen.logs.iter().map(|(_, line)| line.as_str());
    found.insert("logs".to_owned(), logs.collect());
}

/// Of objects the named members, of all else everything.
fn agrees(expected: &Value, found: &Value) -> bool {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => expected
            .iter()
            .all(|(name, expected)| found.get(name).is_some_and(|found| agrees(expected, found))),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| agrees(a, b))
        }
        _ => expected == found,
    }
}

fn rule(rule: &Rule) -> Value {
    let unit = match rule.unit {
        Unit::Requests => "requests",
        Unit::InputTokens => "input-tokens",
        Unit::OutputTokens => "output-tokens",
        Unit::TotalTokens => "total-tokens",
        Unit::CostMicros => "cost-micros",
        Unit::InFlight => "in-flight",
    };
    let window = match rule.window {
        Window::Sliding(seconds) => format!("{seconds}s"),
        Window::Day => "day".to_owned(),
        Window::Week => "week".to_owned(),
        Window::Month => "month".to_owned(),
        Window::Lifetime => "lifetime".to_owned(),
        Window::Call => "call".to_owned(),
    };
    json!({ "key": rule.key, "unit": unit, "window": window, "limit": rule.limit })
}

/// By the channel's name, or by its number where no channel has it.
fn attempt(attempt: &Attempt, host: &Host) -> Value {
    let name = host.channel_name(attempt.channel);
    json!({
        "channel": name.map_or_else(|| attempt.channel.into(), Value::from),
        "first_byte_timeout_ms": attempt.first_byte_timeout_ms,
        "hedge_after_ms": attempt.hedge_after_ms,
    })
}

fn response(response: &Response) -> Value {
    let body = serde_json::from_slice::<Value>(&response.body);
    let body = body.unwrap_or_else(|_| String::from_utf8_lossy(&response.body).into());
    let headers: Map<String, Value> = response
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), value.as_str().into()))
        .collect();
    json!({ "status": response.status, "headers": headers, "body": body })
}
