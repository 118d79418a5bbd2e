//! Other models for a call that its own does not serve.
//!
//! The settings say for which models, for which causes, and what is asked instead. Each of these is
//! routed and tried like the model itself; the reply then says which one answered.

use std::rc::Rc;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use weir_wire::error::{Refusal, refusal};

use super::{Ending, Source, fly_plan};
use crate::config::{Fallback, FallbackCause};
use crate::pipeline::chain::Chain;
use crate::pipeline::open::Open;
use crate::pipeline::route;
use crate::pipeline::worker::Worker;

/// Names the model that answered, where it is not the one that was asked.
const MODEL: HeaderName = HeaderName::from_static("x-weir-model");

/// Asks the other models, if there are any for this ending; it stays where none of them answers.
pub async fn instead(
    worker: &Rc<Worker>,
    open: &mut Open,
    chain: &Chain,
    ending: Ending,
    left: usize,
) -> Ending {
    let snapshot = Arc::clone(&open.call.snapshot);
    let Some(cause) = cause(&ending) else {
        return ending;
    };
    let asked = Arc::clone(&open.facts.model);
    let is_for = |fallback: &&Fallback| fallback.model.is_match(&asked);
    let found = snapshot.config.fallbacks.iter().find(is_for);
    let Some(fallback) = found.filter(|fallback| fallback.on.contains(&cause)) else {
        return ending;
    };
    let mut left = left;
    let mut answer = None;
    for model in fallback.to.iter().filter(|model| **model != *asked) {
        open.facts.model = Arc::from(model.as_str());
        // A model that nobody serves, or that the policies do not route, is passed over.
        let Ok(plan) = route::run(worker, open, chain).await else {
            continue;
        };
        let Ok((got, rest)) = fly_plan(worker, open, &plan, None, left, true).await else {
            continue;
        };
        left = rest;
        if let Ending::Reply(mut reply, true) = got
            && reply.status < 400
        {
            if let Ok(name) = HeaderValue::from_str(model) {
                reply.headers.insert(MODEL, name);
            }
            answer = Some(Ending::Reply(reply, true));
            break;
        }
    }
    // The call is about the model that was asked; which one answered is in the ledger beside it.
    open.facts.model = asked;
    match answer {
        Some(answer) => answer,
        None => {
            open.serving = None;
            ending
        }
    }
}

/// Why the model itself does not serve the call.
fn cause(ending: &Ending) -> Option<FallbackCause> {
    match ending {
        Ending::Fault(_) | Ending::Reply(_, false) => Some(FallbackCause::Error),
        Ending::Reply(reply, true) => {
            let Source::Whole(body) = &reply.source else {
                return None;
            };
            Some(match refusal(reply.status, body)? {
                Refusal::ContextLength => FallbackCause::ContextLength,
                Refusal::Content => FallbackCause::ContentRefusal,
            })
        }
    }
}
