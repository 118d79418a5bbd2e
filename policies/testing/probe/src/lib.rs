//! A policy for tests: every hook, each told by configuration what to do.
//!
//! ```json
//! { "access":  { "models": ["bad-*"], "do": [{ "log": "seen" }, { "deny": { "status": 403, "code": "bad" } }] },
//!   "rewrite": { "do": [{ "set_header": ["x-probe", "2"] }, { "set_json": ["/user", "probe"] }] },
//!   "limit":   { "rules": [{ "key": "k", "unit": "requests", "window": 60, "limit": 3 }] },
//!   "answer":  { "respond": { "status": 200, "body": { "ok": true } } },
//!   "route":   { "order": ["b", "a"] },
//!   "reply":   { "append": "!", "set_header": ["x-probe", "2"] },
//!   "events":  { "text": "uppercase", "append": " (end)" },
//!   "audit":   { "record": "last" } }
//! ```
//!
//! Every hook takes `models` (it does nothing for others) and `do`, a list of steps (`steps.rs`);
//! what else a hook takes stands with its settings below. `init` takes `do` and `errors`. A hook
//! that is not configured does nothing. Imports: call, channels, edit, store, log, metrics, clock.

mod events;
mod settings;
mod show;
mod steps;

pub use settings::Probe;

use settings::{Answer as AnswerSettings, Body};
use weir_sdk::prelude::*;
use weir_sdk::{channels, store};

impl Policy for Probe {
    fn configure(config: &str) -> Result<Self, Vec<String>> {
        let probe: Probe = weir_sdk::config::parse::<settings::Written>(config)?.into();
        for step in &probe.init.steps {
            step.run().map_err(|denial| vec![denial.message])?;
        }
        if probe.init.errors.is_empty() {
            Ok(probe)
        } else {
            Err(probe.init.errors)
        }
    }
}

impl Access for Probe {
    fn authorize(&self, call: &Summary) -> Result<(), Denial> {
        self.access.run(call).map(|_| ())
    }
}

impl Rewrite for Probe {
    fn rewrite(&self, call: &Summary) -> Result<(), Denial> {
        self.rewrite.run(call).map(|_| ())
    }
}

impl Limit for Probe {
    fn limits(&self, call: &Summary) -> Result<Vec<Rule>, Denial> {
        if !self.limit.common.run(call)? {
            return Ok(Vec::new());
        }
        Ok(self
            .limit
            .rules
            .iter()
            .map(settings::RuleSettings::rule)
            .collect())
    }
}

impl Answer for Probe {
    fn answer(&self, call: &Summary) -> Result<Option<Response>, Denial> {
        if !self.answer.common.run(call)? {
            return Ok(None);
        }
        let AnswerSettings {
            respond,
            stored,
            show,
            ..
        } = &self.answer;
        Ok(if let Some(response) = respond {
            Some(response.response())
        } else if let Some(key) = stored {
            let body = store::get(key).unwrap_or_default();
            Some(Response {
                status: 200,
                headers: Vec::new(),
                body,
            })
        } else if *show {
            Some(Response::json(200, &show::call(call)))
        } else {
            None
        })
    }
}

impl Route for Probe {
    fn route(&self, call: &Summary, candidates: Vec<Candidate>) -> Result<Vec<Attempt>, Denial> {
        let numbers = candidates.iter().map(|candidate| candidate.channel);
        if !self.route.common.run(call)? {
            return Ok(numbers.map(Attempt::at).collect());
        }
        if let Some(key) = &self.route.record {
            let shown = show::candidates(&candidates).to_string();
            store::set(key, shown.as_bytes(), None).map_err(steps::failed)?;
        }
        let mut attempts: Vec<Attempt> = match &self.route.order {
            Some(order) => order
                .iter()
                .map(|name| Attempt::at(number(name, &candidates)))
                .collect(),
            None => numbers.map(Attempt::at).collect(),
        };
        for attempt in &mut attempts {
            attempt.first_byte_timeout_ms = self.route.first_byte_timeout_ms;
            attempt.hedge_after_ms = self.route.hedge_after_ms;
        }
        Ok(attempts)
    }
}

/// The number of the candidate with this name; one that no channel has where there is none.
fn number(name: &str, candidates: &[Candidate]) -> u32 {
    let mut numbers = candidates.iter().map(|candidate| candidate.channel);
    numbers
        .find(|number| channels::name(*number) == name)
        .unwrap_or(u32::MAX)
}

impl Reply for Probe {
    fn reply(&self, call: &Summary, response: Response) -> Result<Option<Response>, Denial> {
        if !self.reply.common.run(call)? {
            return Ok(None);
        }
        if let Some(response) = &self.reply.replace {
            return Ok(Some(response.response()));
        }
        if self.reply.append.is_none() && self.reply.set_header.is_none() {
            return Ok(None);
        }
        let mut response = response;
        if let Some((name, value)) = &self.reply.set_header {
            response.headers.retain(|(known, _)| known != name);
            response.headers.push((name.clone(), value.clone()));
        }
        if let Some(Body(bytes)) = &self.reply.append {
            response.body.extend_from_slice(bytes);
        }
        Ok(Some(response))
    }
}

impl Audit for Probe {
    fn finished(&self, outcome: &Outcome) {
        // A denial means nothing here; steps that trap or loop do so all the same.
        if !self.audit.common.run(&outcome.call).unwrap_or(false) {
            return;
        }
        if let Some(key) = &self.audit.record {
            let shown = show::outcome(outcome).to_string();
            if let Err(error) = store::set(key, shown.as_bytes(), None) {
                weir_sdk::log::error!("audit: {error}");
            }
        }
    }
}

weir_sdk::export!(Probe: access, rewrite, limit, answer, route, reply, events, audit);

#[cfg(test)]
mod tests;
