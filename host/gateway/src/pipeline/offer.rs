//! What a channel offers to a call, as far as that holds for every call of a tenant for a model:
//! worked out once for each snapshot and worker, so that routing looks nothing up.

use std::rc::Rc;
use std::sync::Arc;

use weir_wire::dialect::Family;

use super::channel::Channel;
use super::health::ModelHealth;
use super::snapshot::Snapshot;

/// A channel that serves a model.
#[derive(Debug)]
pub struct Offer {
    /// The channel.
    pub channel: Arc<Channel>,
    /// What is measured of the model there.
    pub health: Arc<ModelHealth>,
    /// For a million input tokens, in millionths of the currency unit; negative where not known.
    pub input_price: f32,
    /// The same for output tokens.
    pub output_price: f32,
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
        Offer {
            health: channel.health.model(name, now_ms),
            input_price: shown(price.map(|price| price.input_micros_per_million)),
            output_price: shown(price.map(|price| price.output_micros_per_million)),
            channel: Arc::clone(channel),
        }
    };
    let mut offers: Vec<Offer> = serving
        .filter(|channel| channel.serves(family, model))
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
