//! A test from first to last: every model with every key, a few at a time, each result told as it
//! comes.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use futures_util::{StreamExt, stream};
use weir_wire::dialect::Family;

use super::cause::{Finding, judge, judge_list, wants_other_bound};
use super::exchange::{Came, Exchange, ask};
use super::question::{Bound, list, minimal};
use super::{Cause, Line, Summary, TestOrder, TestResult, models};
use crate::keys::ProviderKey;
use crate::pipeline::channel::{Channel, Target};
use crate::pipeline::worker::Worker;

/// Calls at one time. Few, because providers count them against the key's limits.
const CALLS_AT_ONCE: usize = 4;

/// Carries out `order`, and tells each result as it comes.
pub(super) async fn run(worker: &Rc<Worker>, order: &TestOrder) {
    let (began, mut passed, mut failed) = (Instant::now(), 0, 0);
    let keys: Vec<Option<&ProviderKey>> = match order.keys.as_slice() {
        [] => vec![None],
        keys => keys.iter().map(|key| Some(&**key)).collect(),
    };
    match which(worker, order, &keys).await {
        Ok(models) => {
            let pairs = models
                .iter()
                .flat_map(|model| keys.iter().map(move |key| (model.as_str(), *key)));
            let mut results = stream::iter(pairs)
                .map(|(model, key)| one(worker, order, model, key))
                .buffer_unordered(CALLS_AT_ONCE);
            while let Some(result) = results.next().await {
                *(if result.ok { &mut passed } else { &mut failed }) += 1;
                if order.progress.send(Line::Result(result)).await.is_err() {
                    return;
                }
            }
        }
        Err(result) => {
            failed += 1;
            let _ = order.progress.send(Line::Result(*result)).await;
        }
    }
    let summary = Summary {
        channel: order.channel.name.to_string(),
        ok: failed == 0 && passed > 0,
        passed,
        failed,
        total_ms: u32::try_from(began.elapsed().as_millis()).unwrap_or(u32::MAX),
    };
    let _ = order.progress.send(Line::Summary(summary)).await;
}

/// The models to ask: those of the order, else those that the channel names, else the first of the
/// provider's own list.
async fn which(
    worker: &Rc<Worker>,
    order: &TestOrder,
    keys: &[Option<&ProviderKey>],
) -> Result<Vec<String>, Box<TestResult>> {
    if !order.models.is_empty() {
        return Ok(order.models.clone());
    }
    let channel = &order.channel;
    let named = models::named(channel);
    if !named.is_empty() {
        return Ok(named);
    }
    let family = family(channel);
    let mut last = None;
    // One dead key must not hide that another works.
    for key in keys {
        let asked = ask(
            worker,
            channel,
            *key,
            "",
            &list(family),
            order.first_byte_timeout_ms,
        )
        .await;
        let finding = match judge_list(family, &asked.came, secret(*key)) {
            Some(finding) => finding,
            None => match listed(family, channel, &asked.came) {
                Some(models) => {
                    asked.end(None);
                    return Ok(models);
                }
                None => Finding::new(
                    Cause::BadReply,
                    "The provider's list of models names none that can be asked; name the models to test.",
                ),
            },
        };
        let mut result = result(None, *key, &asked, Some(finding));
        result.upstream_model = None;
        asked.end(result.cause);
        last = Some(Box::new(result));
    }
    match last {
        Some(result) => Err(result),
        None => Ok(Vec::new()),
    }
}

fn listed(family: Family, channel: &Channel, came: &Came) -> Option<Vec<String>> {
    let Came::Reply { body, .. } = came else {
        return None;
    };
    models::listed(family, channel, body).filter(|models| !models.is_empty())
}

async fn one(
    worker: &Rc<Worker>,
    order: &TestOrder,
    model: &str,
    key: Option<&ProviderKey>,
) -> TestResult {
    let (channel, family) = (&order.channel, family(&order.channel));
    let mut bound = Bound::MaxTokens;
    loop {
        let question = minimal(family, model, order.stream, bound);
        let timeout_ms = order.first_byte_timeout_ms;
        let asked = ask(worker, channel, key, model, &question, timeout_ms).await;
        if bound == Bound::MaxTokens && wants_other_bound(&asked.came) {
            asked.end(Some(Cause::RequestRefused));
            bound = Bound::MaxCompletionTokens;
            continue;
        }
        let finding = judge(question.dialect, &asked.came, secret(key));
        let result = result(Some(model), key, &asked, finding);
        asked.end(result.cause);
        return result;
    }
}

fn result(
    model: Option<&str>,
    key: Option<&ProviderKey>,
    asked: &Exchange,
    finding: Option<Finding>,
) -> TestResult {
    let (cause, message) = finding
        .map(|finding| (finding.cause, finding.message))
        .unzip();
    TestResult {
        model: model.map(str::to_owned),
        upstream_model: Some(asked.upstream_model.to_string()),
        key: key.map(|key| key.id.to_string()),
        ok: cause.is_none(),
        status: asked.came.status(),
        first_byte_ms: asked.first_byte_ms,
        total_ms: asked.total_ms,
        usage: asked.usage,
        cause,
        message,
        call: asked.call(),
    }
}

/// The built-in provider speaks every dialect; it is asked in the most common one.
fn family(channel: &Arc<Channel>) -> Family {
    match &channel.target {
        Target::Http { family, .. } => *family,
        Target::Fake(_) => Family::Openai,
    }
}

/// The secret, to be kept out of what providers say.
pub(super) fn secret(key: Option<&ProviderKey>) -> &str {
    let text = key.and_then(|key| key.header.1.to_str().ok());
    let text = text.unwrap_or_default();
    text.strip_prefix("Bearer ").unwrap_or(text)
}
