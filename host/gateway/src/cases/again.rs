//! Journalled calls, run again: the hooks are called with what they were called with, the tape answers
//! what the host answered, and everything that the policy does is compared with what it did.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use weir_policy::{CallScope, Candidate, Failure, Stream, Version, WholeReply, Worker};

use super::run::{RunError, Runner};
use super::stream::event_of;
use super::written;
use crate::journal::Tape;
use crate::journal::record::{Called, FORM, Finished, Offered, Record, Step};
use crate::journal::shape::{self, Verdict};
use crate::pipeline::neutral;

/// Failures that say how long something took, or what else the machine did.
const OF_TIME: [&str; 5] = [
    "policy_deadline",
    "policy_waited",
    "policy_pool_full",
    "policy_cpu_spent",
    "policy_dropped",
];

/// What came of a call that was run again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Again {
    /// Every import that it called, with what, in which order, and every answer of it: the same.
    Same,
    /// The same as far as the journal goes: the rest was too large for it.
    SameUntilCut,
    /// What it did otherwise first.
    Differs(String),
    /// Then it failed for want of time, which no record brings back; now it did this.
    OfTime(String),
}

/// A journalled call that was run again.
#[derive(Debug, Clone)]
pub struct Played {
    /// The call's id.
    pub call: String,
    /// Whether it was this very version that was journalled.
    pub same_version: bool,
    /// How many hooks it went through.
    pub hooks: usize,
    /// What came of it.
    pub again: Again,
}

impl Runner {
    /// Runs a journalled call again. Secrets are not in a journal: they are these.
    ///
    /// # Errors
    /// Where the record is none, or the policy cannot be loaded with the configuration that it had.
    pub async fn again(
        &mut self,
        record: Record,
        secrets: &BTreeMap<String, String>,
    ) -> Result<Played, RunError> {
        if record.journal != FORM {
            let form = record.journal;
            let what = format!("the journal has the form {form}; this program knows {FORM}");
            return Err(RunError::Case(what));
        }
        let version = self.journalled(&record).await?;
        let (call, digest, cut) = (record.call.clone(), record.digest.clone(), record.cut);
        let failed = failed_for_want_of_time(&record);
        let tape = Arc::new(Tape::playing(record, secrets.clone()));
        let hooks = Playing::new(self.worker(), &version, &tape).play().await?;
        let again = match (tape.difference(), failed) {
            (None, _) if cut => Again::SameUntilCut,
            (None, _) => Again::Same,
            (Some(difference), true) => Again::OfTime(difference),
            (Some(difference), false) => Again::Differs(difference),
        };
        Ok(Played {
            call,
            same_version: digest == hex::encode(version.digest()),
            hooks,
            again,
        })
    }
}

fn failed_for_want_of_time(record: &Record) -> bool {
    let of_time = |step: &Step| match step {
        Step::Answered(verdict) => {
            let code = verdict.get("failed").and_then(Value::as_str);
            code.is_some_and(|code| OF_TIME.contains(&code))
        }
        _ => false,
    };
    record.steps.iter().any(of_time)
}

/// A call on its way through its hooks once more.
struct Playing<'p> {
    worker: &'p Worker,
    version: &'p Arc<Version>,
    tape: &'p Tape,
    scope: CallScope,
    stream: Option<Stream>,
}

impl<'p> Playing<'p> {
    fn new(worker: &'p Worker, version: &'p Arc<Version>, tape: &'p Arc<Tape>) -> Self {
        let scope = CallScope::new(Arc::<Tape>::clone(tape));
        tape.watch(&scope, version);
        Self {
            worker,
            version,
            tape,
            scope,
            stream: None,
        }
    }

    async fn play(mut self) -> Result<usize, RunError> {
        let mut hooks = 0;
        while let Some((hook, given)) = self.tape.next_hook() {
            let verdict = self.hook(&hook, &given).await?;
            self.tape.check(&verdict);
            hooks += 1;
        }
        Ok(hooks)
    }

    async fn hook(&mut self, hook: &str, given: &Value) -> Result<Value, RunError> {
        let (worker, version, scope) = (self.worker, self.version, &self.scope);
        if hook == "audit" {
            let finished: Finished = part(given, "outcome")?;
            let outcome = finished.outcome().ok_or_else(|| unreadable("outcome"))?;
            let seen = worker.finished(version, scope, &outcome).await;
            return Ok(seen.verdict());
        }
        if hook == "events.push" || hook == "events.close" {
            return self.streamed(given).await;
        }
        let called: Called = part(given, "call")?;
        let call = called.summary().ok_or_else(|| unreadable("call"))?;
        Ok(match hook {
            "access" => worker.authorize(version, scope, &call).await.verdict(),
            "rewrite" => worker.rewrite(version, scope, &call).await.verdict(),
            "limit" => worker.limits(version, scope, &call).await.verdict(),
            "answer" => worker.answer(version, scope, &call).await.verdict(),
            "route" => {
                let offered: Vec<Offered> = part(given, "candidates")?;
                let candidates: Vec<Candidate> = offered.iter().map(Candidate::from).collect();
                let planned = worker.route(version, scope, &call, &candidates).await;
                planned.verdict()
            }
            "reply" => {
                let kept = given.get("reply").and_then(shape::whole_of);
                let kept = kept.ok_or_else(|| unreadable("reply"))?;
                let headers: Vec<(&str, &str)> = kept
                    .headers
                    .iter()
                    .map(|(name, value)| (&**name, &**value))
                    .collect();
                let reply = WholeReply {
                    status: kept.status,
                    headers: &headers,
                    body: &kept.body,
                };
                worker.reply(version, scope, &call, &reply).await.verdict()
            }
            "events.open" => {
                let opened = worker.open_stream(version, scope, &call).await;
                let verdict = opened.verdict();
                self.stream = opened.ok().flatten();
                verdict
            }
            other => {
                return Err(RunError::Case(format!(
                    "the journal knows a hook {other:?}"
                )));
            }
        })
    }

    /// An event of the open stream, or its end.
    async fn streamed(&mut self, given: &Value) -> Result<Value, RunError> {
        let Some(mut stream) = self.stream.take() else {
            return Ok(json!("no stream is open"));
        };
        if given.get("event").is_none() {
            let held: Result<_, Failure> = stream.close().await;
            return Ok(held.verdict());
        }
        let event: written::Event = part(given, "event")?;
        let verdict = stream
            .push(&neutral::shown(&event_of(&event)))
            .await
            .verdict();
        self.stream = Some(stream);
        Ok(verdict)
    }
}

fn part<T: DeserializeOwned>(given: &Value, name: &str) -> Result<T, RunError> {
    let part = given.get(name).cloned().unwrap_or_default();
    serde_json::from_value(part).map_err(|_| unreadable(name))
}

fn unreadable(what: &str) -> RunError {
    RunError::Case(format!("the journal has no `{what}` that can be read"))
}
