//! What a channel offers to a call, as far as that holds for every call of a tenant for a model:
//! worked out once for each snapshot and worker, so that routing looks nothing up.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use weir_policy::Candidate;
use weir_wire::dialect::Family;

use super::channel::Channel;
use super::health::ModelHealth;
use super::snapshot::Snapshot;
use crate::usage::Price;

/// For how long the figures of a window are told again without being added up anew, in milliseconds:
/// a minute's window hardly moves in it, and it is a hundred calls of a busy worker.
const TOLD_AGAIN_MS: u64 = 10;
/// Below this many calls in the window a failure rate says nothing and is given as zero.
const SAMPLES_MIN: u32 = 10;

/// A channel that serves a model.
#[derive(Debug)]
pub struct Offer {
    /// The channel.
    pub channel: Arc<Channel>,
    /// What is measured of the model there.
    pub health: Arc<ModelHealth>,
    /// For a million input tokens, in millionths of the currency unit; negative where not known.
    input_price: f32,
    /// The same for output tokens.
    output_price: f32,
    /// What policies were last told, and when.
    told: Cell<Option<(u64, Candidate)>>,
}

impl Offer {
    /// `model` as the provider calls it.
    pub fn new(channel: Arc<Channel>, model: &str, price: Option<Price>, now_ms: u64) -> Self {
        Self {
            health: channel.health.model(model, now_ms),
            input_price: shown(price.map(|price| price.input_micros_per_million)),
            output_price: shown(price.map(|price| price.output_micros_per_million)),
            told: Cell::new(None),
            channel,
        }
    }

    /// What a policy is told of it. Calls under way and whether it is tripped hold for this moment.
    pub fn candidate(&self, now_ms: u64) -> Candidate {
        let told = self
            .told
            .get()
            .filter(|(at_ms, _)| now_ms.wrapping_sub(*at_ms) < TOLD_AGAIN_MS);
        let measured = told.map_or_else(
            || {
                let measured = self.measured(now_ms);
                self.told.set(Some((now_ms, measured)));
                measured
            },
            |(_, candidate)| candidate,
        );
        let (channel, breaker) = (&*self.channel, &self.health.breaker);
        Candidate {
            in_flight: channel.health.in_flight(),
            tripped_ms: breaker.tripped_ms(now_ms, &channel.breaker),
            ..measured
        }
    }

    /// The same, but for what changes with every call.
    fn measured(&self, now_ms: u64) -> Candidate {
        let (channel, figures) = (&*self.channel, &self.health.figures);
        let (counts, means) = (figures.counts(now_ms), figures.means());
        Candidate {
            channel: channel.number,
            priority: channel.priority,
            weight: channel.weight,
            error_rate: counts.error_rate(SAMPLES_MIN),
            samples: counts.calls,
            first_byte_ms: means.first_byte_ms,
            total_ms: means.total_ms,
            tokens_per_second: means.tokens_per_second,
            in_flight: 0,
            usable_keys: channel.usable_keys(now_ms),
            headroom: channel.keys.headroom(now_ms),
            tripped_ms: 0,
            input_price: self.input_price,
            output_price: self.output_price,
        }
    }
}

/// Channels that serve a model, those of higher priority first, and as listed within one.
pub type Offers = Rc<[Offer]>;

/// The channels of `snapshot` that serve `model` to callers of `family` in `tenant`.
pub fn offers(
    snapshot: &Snapshot,
    family: Family,
    tenant: &str,
    model: &str,
    now_ms: u64,
) -> Offers {
    let serving = snapshot.channels.iter();
    let offer = |channel: &Arc<Channel>| {
        let name = channel.upstream_model(model);
        let price = snapshot.prices.find(tenant, Some(&channel.name), name);
        Offer::new(Arc::clone(channel), name, price, now_ms)
    };
    let mut offers: Vec<Offer> = serving
        .filter(|channel| channel.serves(family, tenant, model))
        .map(offer)
        .collect();
    offers.sort_by_key(|offer| std::cmp::Reverse(offer.channel.priority));
    offers.into()
}

/// A price as a policy is told it.
#[expect(
    clippy::cast_precision_loss,
    reason = "nobody routes by the eighth digit of a price"
)]
fn shown(price_micros: Option<u64>) -> f32 {
    price_micros.map_or(-1.0, |micros| micros as f32)
}
