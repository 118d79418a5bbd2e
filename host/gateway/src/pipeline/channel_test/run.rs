//! A test from first to last: every model with every key, a few at a time, each result told as it
//! comes.

use std::sync::Arc;
use std::time::Instant;

use futures_util::{StreamExt, stream};
use weir_base::Operation;
use weir_upstream::{Pool, Timeouts};
use weir_wire::dialect::Family;

use super::book::Entry;
use super::judge::{Finding, judge, judge_list, usage_of, wants_other_bound};
use super::{Cause, Line, Summary, TestOrder, TestResult, Tester, models};
use crate::keys::{Ask, Lease, ProviderKey, Told};
use crate::pipeline::channel::{Channel, Target};
use crate::pipeline::exchange::{self, Came, Exchange, Question};
use crate::pipeline::question::{self, Bound, INPUT_TOKENS, OUTPUT_TOKENS_MAX, Wanted, embeds};

/// Calls at one time. Few, because providers count them against the key's limits.
const CALLS_AT_ONCE: usize = 4;

/// A test under way.
pub(super) struct Run<'a> {
    pub(super) tester: &'a Tester,
    pub(super) pool: Pool,
    pub(super) order: &'a TestOrder,
}

type Key<'k> = Option<&'k Arc<ProviderKey>>;

impl Run<'_> {
    /// Makes the calls, and tells each result as it comes.
    pub(super) async fn run(&self) {
        let began = Instant::now();
        let ends = tokio::time::Instant::now() + super::TEST_MAX;
        let progress = &self.order.progress;
        let keys: Vec<Key<'_>> = match self.order.keys.as_slice() {
            [] => vec![None],
            keys => keys.iter().map(Some).collect(),
        };
        let (mut passed, mut failed, mut left) = (0, 0, 0);
        match self.which(&keys).await {
            Ok(models) => {
                let pairs = models
                    .iter()
                    .flat_map(|model| keys.iter().map(move |key| (model.as_str(), *key)));
                left = models.len() * keys.len();
                let mut results = stream::iter(pairs.take(super::CALLS_MAX))
                    .map(|(model, key)| self.one(model, key))
                    .buffer_unordered(CALLS_AT_ONCE);
                while let Ok(Some(result)) = tokio::time::timeout_at(ends, results.next()).await {
                    left -= 1;
                    *(if result.ok { &mut passed } else { &mut failed }) += 1;
                    if progress.send(Line::Result(result)).await.is_err() {
                        return;
                    }
                }
            }
            Err(result) => {
                failed += 1;
                let _ = progress.send(Line::Result(*result)).await;
            }
        }
        let summary = Summary {
            channel: self.order.channel.name.to_string(),
            ok: failed == 0 && left == 0 && passed > 0,
            passed,
            failed,
            untested: left,
            total_ms: u32::try_from(began.elapsed().as_millis()).unwrap_or(u32::MAX),
        };
        let _ = progress.send(Line::Summary(summary)).await;
    }

    /// The models to ask: those of the order, else those that the channel names, else the first of
    /// the provider's own list.
    async fn which(&self, keys: &[Key<'_>]) -> Result<Vec<String>, Box<TestResult>> {
        if !self.order.models.is_empty() {
            return Ok(self.order.models.clone());
        }
        let channel = &self.order.channel;
        let named = models::named(channel);
        if !named.is_empty() {
            return Ok(named);
        }
        let family = family(channel);
        let question = Question::models(family);
        let mut last = None;
        // One dead key must not hide that another works.
        for key in keys {
            let entry = Entry::begin(self.tester, channel, key_of(*key), "", &question);
            let asked = self.ask(*key, &question).await;
            let finding = match judge_list(family, &asked.came, secret(key_of(*key))) {
                Some(finding) => finding,
                None => match listed(family, channel, &asked.came) {
                    Some(models) => {
                        entry.end(&asked, None, None);
                        return Ok(models);
                    }
                    None => Finding::new(
                        Cause::BadReply,
                        "The provider's list of models names none that can be asked; name the models to test.",
                    ),
                },
            };
            last = Some(Box::new(result(
                None,
                *key,
                entry,
                &asked,
                None,
                Some(finding),
            )));
        }
        match last {
            Some(result) => Err(result),
            None => Ok(Vec::new()),
        }
    }

    async fn one(&self, model: &str, key: Key<'_>) -> TestResult {
        let (channel, family) = (&self.order.channel, family(&self.order.channel));
        let upstream_model = channel.upstream_model(model);
        let mut wanted = Wanted {
            model: upstream_model,
            vector: embeds(model) || embeds(upstream_model),
            stream: self.order.stream,
            stream_usage: channel.stream_usage,
            bound: Bound::MaxTokens,
        };
        loop {
            let question = question::minimal(family, wanted);
            let entry = Entry::begin(self.tester, channel, key_of(key), model, &question);
            let mut lease = key.map(|key| self.lease(key, upstream_model));
            let asked = self.ask(key, &question).await;
            let usage = usage_of(question.dialect, &asked.came);
            if let Some(lease) = &mut lease {
                let tokens = usage.map_or(INPUT_TOKENS, |usage| usage.total_tokens());
                self.heard(lease, upstream_model, &asked.came, tokens);
            }
            if wanted.bound == Bound::MaxTokens && wants_other_bound(&asked.came) {
                entry.end(&asked, None, Some(Cause::RequestRefused));
                wanted.bound = Bound::MaxCompletionTokens;
                continue;
            }
            let finding = judge(question.dialect, &asked.came, secret(key_of(key)));
            let model = Some((model, upstream_model));
            return result(model, key, entry, &asked, usage, finding);
        }
    }

    async fn ask(&self, key: Key<'_>, question: &Question) -> Exchange {
        let channel = &self.order.channel;
        let timeouts = within(channel, question.operation, self.order.timeout_ms);
        exchange::ask(&self.pool, channel, key_of(key), question, &timeouts).await
    }

    /// The call counts towards the key's limits as any does, but is made also where they are used up.
    fn lease(&self, key: &Arc<ProviderKey>, model: &str) -> Lease {
        key.lease_anyway(&Ask {
            now_ms: self.tester.shared.clock.now_ms(),
            model,
            input_tokens: INPUT_TOKENS,
            output_tokens: OUTPUT_TOKENS_MAX,
            tried: &[],
        })
    }

    /// What the provider said of the key's limits is kept, as after any call.
    fn heard(&self, lease: &mut Lease, model: &str, came: &Came, tokens: u64) {
        let now_ms = self.tester.shared.clock.now_ms();
        lease.settle(tokens, now_ms);
        if let Came::Reply { headers, .. } = came
            && let Some(told) = Told::read(headers, now_ms)
        {
            let believe_max_ms = self.tester.shared.snapshot.load().config.cooldown.max_ms;
            lease
                .state
                .hear(lease, model, &told, now_ms, believe_max_ms);
        }
    }
}

/// The channel's own times, and no more than `timeout_ms` for all.
pub(super) fn within(channel: &Channel, operation: Operation, timeout_ms: u64) -> Timeouts {
    let own = channel.timeouts.of(operation);
    Timeouts {
        total_ms: own.total_ms.min(timeout_ms),
        ..*own
    }
}

fn listed(family: Family, channel: &Channel, came: &Came) -> Option<Vec<String>> {
    let Came::Reply { body, .. } = came else {
        return None;
    };
    models::listed(family, channel, body).filter(|models| !models.is_empty())
}

fn result(
    model: Option<(&str, &str)>,
    key: Key<'_>,
    entry: Entry<'_>,
    asked: &Exchange,
    usage: Option<weir_base::Usage>,
    finding: Option<Finding>,
) -> TestResult {
    let (cause, message) = finding
        .map(|finding| (finding.cause, finding.message))
        .unzip();
    let (call, usage) = entry.end(asked, usage, cause);
    TestResult {
        model: model.map(|(model, _)| model.to_owned()),
        upstream_model: model.map(|(_, upstream_model)| upstream_model.to_owned()),
        key: key.map(|key| key.id.to_string()),
        ok: cause.is_none(),
        status: asked.came.status(),
        first_byte_ms: asked.first_byte_ms,
        total_ms: asked.total_ms,
        usage,
        cause,
        message,
        call,
    }
}

/// The built-in provider speaks every dialect; it is asked in the most common one.
fn family(channel: &Channel) -> Family {
    match &channel.target {
        Target::Http { family, .. } => *family,
        Target::Fake(_) => Family::Openai,
    }
}

fn key_of<'k>(key: Key<'k>) -> Option<&'k ProviderKey> {
    key.map(|key| &**key)
}

/// The secret, to be kept out of what providers say.
pub(super) fn secret(key: Option<&ProviderKey>) -> &str {
    let text = key.and_then(|key| key.header.1.to_str().ok());
    let text = text.unwrap_or_default();
    text.strip_prefix("Bearer ").unwrap_or(text)
}
