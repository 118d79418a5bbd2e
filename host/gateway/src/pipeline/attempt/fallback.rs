//! Other models for a call that its own does not serve, or not for what it may cost.
//!
//! The settings say for which models, for which causes, and what is asked instead. Each of these is
//! routed and tried like the model itself; the reply then says which one answered, and the ledger
//! for each attempt at another model why it was made.

use std::rc::Rc;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use smallvec::SmallVec;
use weir_base::{Fault, Usage};
use weir_store::AttemptMore;
use weir_wire::error::{Refusal, refusal};

use super::{Ending, Source, fly_plan};
use crate::config::{Fallback, FallbackCause};
use crate::pipeline::chain::Chain;
use crate::pipeline::limit::estimated_usage;
use crate::pipeline::open::{Instead, Open};
use crate::pipeline::route::{self, Planned};
use crate::pipeline::worker::Worker;

/// Names the model that answered, where it is not the one that was asked.
const MODEL: HeaderName = HeaderName::from_static("x-weir-model");

/// Whether it matters what the call will cost.
pub fn goes_by_cost(open: &Open) -> bool {
    let fallbacks = &open.call.snapshot.config.fallbacks;
    find(fallbacks, &open.facts.model).is_some_and(|rule| rule.on.contains(&FallbackCause::Cost))
}

/// Plans for another model, where the one that was asked would cost more than it should.
pub async fn within_bound(
    worker: &Rc<Worker>,
    open: &mut Open,
    chain: &Chain,
    plan: &mut Vec<Planned>,
) {
    let snapshot = Arc::clone(&open.call.snapshot);
    let asked = Arc::clone(&open.facts.model);
    let Some(fallback) = find(&snapshot.config.fallbacks, &asked) else {
        return;
    };
    for model in models(worker, open, fallback, &asked) {
        if *model == *asked {
            break;
        }
        ask(open, &asked, model, FallbackCause::Cost);
        if let Ok(planned) = route::run(worker, open, chain).await {
            *plan = planned;
            return;
        }
    }
    back_to(open, asked);
}

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
    let tried = Arc::clone(&open.facts.model);
    let asked = open.instead.as_ref().map(|instead| &instead.asked);
    let asked = Arc::clone(asked.unwrap_or(&tried));
    let found = find(&snapshot.config.fallbacks, &asked);
    let Some(fallback) = found.filter(|fallback| fallback.on.contains(&cause)) else {
        return ending;
    };
    let mut left = left;
    for model in models(worker, open, fallback, &asked) {
        if *model == *tried {
            continue;
        }
        ask(open, &asked, model, cause);
        // A model that nobody serves, or that the policies do not route, is passed over.
        let Ok(plan) = route::run(worker, open, chain).await else {
            continue;
        };
        let Ok((got, rest)) = fly_plan(worker, open, &plan, None, left, true).await else {
            continue;
        };
        left = rest;
        if got.is_success() {
            return got;
        }
    }
    // What the caller gets is what the first model brought.
    open.serving = None;
    back_to(open, asked);
    ending
}

/// The call is about the model that was asked; which one answered is in the ledger beside it, and in
/// the reply.
pub fn named(open: &mut Open, ending: Result<Ending, Fault>) -> Result<Ending, Fault> {
    let Some(instead) = open.instead.take() else {
        return ending;
    };
    let answered = std::mem::replace(&mut open.facts.model, instead.asked);
    let mut ending = ending?;
    if let Ending::Reply(reply, true) = &mut ending
        && let Ok(name) = HeaderValue::from_str(&answered)
    {
        reply.headers.insert(MODEL, name);
        open.answered_by = Some(answered);
    }
    Ok(ending)
}

/// What the ledger says of an attempt at another model, or at the rest of a reply.
pub fn more(open: &Open) -> Option<Box<AttemptMore>> {
    if open.resumed.is_some() {
        return Some(Box::new(AttemptMore {
            cause: Some("continuation".into()),
            model: open.answered_by.clone(),
            usage: None,
        }));
    }
    let instead = open.instead.as_ref()?;
    Some(Box::new(AttemptMore {
        cause: Some(instead.cause.as_str().into()),
        model: Some(Arc::clone(&open.facts.model)),
        usage: None,
    }))
}

/// The rule for a model: the first that matches.
fn find<'f>(fallbacks: &'f [Fallback], model: &str) -> Option<&'f Fallback> {
    fallbacks
        .iter()
        .find(|fallback| fallback.model.is_match(model))
}

fn ask(open: &mut Open, asked: &Arc<str>, model: &str, cause: FallbackCause) {
    if *model == **asked {
        return back_to(open, Arc::clone(asked));
    }
    open.facts.model = Arc::from(model);
    open.instead = Some(Instead {
        asked: Arc::clone(asked),
        cause,
    });
}

fn back_to(open: &mut Open, asked: Arc<str>) {
    open.facts.model = asked;
    open.instead = None;
}

/// The models of a rule, the one that was asked among them, in the order in which they are asked:
/// where cost counts, those within the bound come first, and then the cheaper ones.
fn models<'f>(
    worker: &Worker,
    open: &Open,
    fallback: &'f Fallback,
    asked: &'f str,
) -> SmallVec<[&'f str; 8]> {
    let others = fallback.to.iter().map(String::as_str);
    let others = others.filter(|model| *model != asked);
    let mut models: SmallVec<[&str; 8]> = std::iter::once(asked).chain(others).collect();
    if let Some(max_micros) = fallback.cost_max_micros {
        let usage = estimated_usage(open);
        // Zero for all that are within the bound: the sort keeps their order.
        models.sort_by_cached_key(|model| {
            let micros = cost_micros(worker, open, model, &usage);
            if micros > max_micros { micros } else { 0 }
        });
    }
    models
}

/// What a call with this usage costs at most, wherever the model is served.
fn cost_micros(worker: &Worker, open: &Open, model: &str, usage: &Usage) -> u64 {
    let (snapshot, tenant) = (&open.call.snapshot, &open.call.key.tenant.id);
    let family = open.call.dialect.family();
    let offers = worker.offers(snapshot, family, tenant, model);
    let costs = offers.iter().filter_map(|offer| {
        let channel = &offer.channel;
        let name = channel.upstream_model(model);
        let price = worker.price(snapshot, tenant, Some(&channel.name), name)?;
        Some(price.cost_micros(usage))
    });
    costs.max().unwrap_or(0)
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
