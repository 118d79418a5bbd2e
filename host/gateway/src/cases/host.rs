//! What the host answers to the policy of a case, and what it was asked: all from the case, and all
//! written down.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use weir_policy::{
    Completion, Fixed, HttpRequest, LogLevel, Message, Response, Services, Usage, Who,
};

use super::call::text_of;
use super::run::RunError;
use super::shape;
use super::written::{self, Clock, Given};

/// The time where a case says nothing: 2026-01-05T12:00:00Z, a Monday.
const USUAL_CLOCK_MS: u64 = 1_767_614_400_000;

/// The host of the case that runs; another one for each case.
#[derive(Debug, Default)]
pub(super) struct Host(Mutex<State>);

/// What the case says, and what has happened.
#[derive(Debug, Default)]
struct State {
    /// What the store holds outlives a call.
    store_lasts: bool,
    clock_ms: u64,
    seed: u64,
    store: BTreeMap<String, Vec<u8>>,
    secrets: BTreeMap<String, String>,
    models: VecDeque<written::Completion>,
    http: VecDeque<written::HttpAnswer>,
    done: Done,
}

/// What the policy did to the world.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Done {
    pub(super) log: Vec<String>,
    pub(super) metrics: BTreeMap<String, f64>,
    pub(super) http: Vec<Value>,
    pub(super) models: Vec<Value>,
    pub(super) bans: Vec<Value>,
    /// What the store holds, and whether the policy wrote to it.
    pub(super) store: BTreeMap<String, Value>,
    pub(super) wrote: bool,
    /// How many imports were called that are not about the call.
    pub(super) imports: u32,
}

impl Host {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, for one more import.
    fn asked(&self) -> MutexGuard<'_, State> {
        let mut state = self.state();
        state.done.imports += 1;
        state
    }

    /// From now on a call finds in the store what the one before left there.
    pub(super) fn let_the_store_last(&self) {
        self.state().store_lasts = true;
    }

    /// Makes everything as the case says.
    pub(super) fn begin(&self, given: &Given) -> Result<(), RunError> {
        let clock_ms = match &given.clock {
            None => USUAL_CLOCK_MS,
            Some(Clock::Ms(ms)) => *ms,
            Some(Clock::Text(text)) => {
                let time: jiff::Timestamp = text.parse().map_err(|error| {
                    RunError::Case(format!("`clock` is no RFC 3339 time: {error}"))
                })?;
                u64::try_from(time.as_millisecond()).unwrap_or_default()
            }
        };
        let bytes = |(name, value): (&String, &Value)| (name.clone(), text_of(value).into_bytes());
        let mut state = self.state();
        let store = if state.store_lasts && given.store.is_none() {
            std::mem::take(&mut state.store)
        } else {
            given.store.iter().flatten().map(bytes).collect()
        };
        *state = State {
            store_lasts: state.store_lasts,
            clock_ms,
            seed: given.seed.unwrap_or_default(),
            store,
            secrets: given.secrets.clone().unwrap_or_default(),
            models: given.models.iter().flatten().cloned().collect(),
            http: given.http.iter().flatten().cloned().collect(),
            done: Done::default(),
        };
        Ok(())
    }

    /// What has happened since.
    pub(super) fn done(&self) -> Done {
        let state = self.state();
        let mut done = state.done.clone();
        let value = |(name, bytes): (&String, &Vec<u8>)| (name.clone(), shape::body(bytes));
        done.store = state.store.iter().map(value).collect();
        done
    }
}

fn metric(name: &str, labels: &[(String, String)]) -> String {
    let labels: Vec<String> = labels
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    if labels.is_empty() {
        name.to_owned()
    } else {
        format!("{name}{{{}}}", labels.join(","))
    }
}

impl Services for Host {
    fn fixed(&self) -> Option<Fixed> {
        Some(Fixed {
            seed: self.state().seed,
        })
    }
    fn store_get(&self, _: Who<'_>, key: &str) -> Option<Vec<u8>> {
        self.asked().store.get(key).cloned()
    }
    fn store_set(
        &self,
        _: Who<'_>,
        key: &str,
        value: Vec<u8>,
        _: Option<u32>,
    ) -> Result<(), String> {
        let mut state = self.asked();
        state.store.insert(key.to_owned(), value);
        state.done.wrote = true;
        Ok(())
    }
    fn store_remove(&self, _: Who<'_>, key: &str) {
        let mut state = self.asked();
        state.store.remove(key);
        state.done.wrote = true;
    }
    fn store_add(&self, _: Who<'_>, key: &str, by: i64, _: Option<u32>) -> Result<i64, String> {
        let mut state = self.asked();
        let old = match state.store.get(key) {
            None => 0,
            Some(bytes) => std::str::from_utf8(bytes)
                .ok()
                .and_then(|text| text.parse::<i64>().ok())
                .ok_or("the value is no integer")?,
        };
        let sum = old.checked_add(by).ok_or("the sum is too large")?;
        state
            .store
            .insert(key.to_owned(), sum.to_string().into_bytes());
        state.done.wrote = true;
        Ok(sum)
    }
    fn log(&self, _: Who<'_>, level: LogLevel, message: &str) {
        let level = match level {
            LogLevel::Trace => "trace",
            LogLevel::Debug => "debug",
            LogLevel::Info => "info",
            LogLevel::Warn => "warn",
            LogLevel::Error => "error",
        };
        self.asked().done.log.push(format!("{level}: {message}"));
    }
    fn count(&self, _: Who<'_>, name: &str, by: u32, labels: &[(String, String)]) {
        let mut state = self.asked();
        *state.done.metrics.entry(metric(name, labels)).or_default() += f64::from(by);
    }
    fn observe(&self, _: Who<'_>, name: &str, value: f64, labels: &[(String, String)]) {
        self.asked()
            .done
            .metrics
            .insert(metric(name, labels), value);
    }
    fn now_ms(&self) -> u64 {
        self.asked().clock_ms
    }
    fn secret(&self, _: Who<'_>, name: &str) -> Option<String> {
        self.asked().secrets.get(name).cloned()
    }
    fn ban(&self, _: Who<'_>, ip: &str, for_ms: u32, reason: &str) -> Result<(), String> {
        let ban = json!({ "ip": ip, "for_ms": for_ms, "reason": reason });
        self.asked().done.bans.push(ban);
        Ok(())
    }
    fn complete<'a>(
        &'a self,
        _: Who<'a>,
        model: String,
        messages: Vec<Message>,
        _: u32,
    ) -> BoxFuture<'a, Result<Completion, String>> {
        let said: Vec<Value> = messages
            .iter()
            .map(|message| json!({ "role": message.role, "text": message.text }))
            .collect();
        let mut state = self.asked();
        let asked = json!({ "model": model, "messages": said });
        state.done.models.push(asked);
        let answer = match state.models.pop_front() {
            None => Err("the case has no (further) answer under `models`".to_owned()),
            Some(written::Completion {
                error: Some(error), ..
            }) => Err(error),
            Some(written::Completion { text, .. }) => Ok(Completion {
                usage: estimated(&messages, &text),
                text,
            }),
        };
        async move { answer }.boxed()
    }
    fn count_tokens<'a>(&'a self, _: Who<'a>, _: String, text: String) -> BoxFuture<'a, u32> {
        async move { tokens(&text) }.boxed()
    }
    fn send<'a>(
        &'a self,
        _: Who<'a>,
        request: HttpRequest,
    ) -> BoxFuture<'a, Result<Response, String>> {
        let mut state = self.asked();
        let headers: BTreeMap<&str, &str> = request
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let sent = json!({
            "method": request.method,
            "url": request.url,
            "headers": headers,
            "body": shape::body(&request.body),
        });
        state.done.http.push(sent);
        let answer = match state.http.pop_front() {
            None => Err("the case has no (further) answer under `http`".to_owned()),
            Some(written::HttpAnswer {
                error: Some(error), ..
            }) => Err(error),
            Some(answer) => Ok(Response {
                status: answer.status.unwrap_or(200),
                headers: answer.headers.into_iter().collect(),
                body: text_of(&answer.body).into_bytes(),
            }),
        };
        async move { answer }.boxed()
    }
}

/// A token for four characters: the same for ever, whatever a tokenizer learns.
fn tokens(text: &str) -> u32 {
    u32::try_from(text.chars().count().div_ceil(4)).unwrap_or(u32::MAX)
}

fn estimated(messages: &[Message], text: &str) -> Usage {
    let input: u32 = messages.iter().map(|message| tokens(&message.text)).sum();
    Usage {
        input_tokens: u64::from(input),
        output_tokens: u64::from(tokens(text)),
        cached_tokens: 0,
        cache_write_tokens: 0,
        reasoning_tokens: 0,
        cost_micros: 0,
        estimated: true,
    }
}
