//! The cheapest channel first, with the next one started beside it where the first is slow.

use weir_sdk::channels;
use weir_sdk::prelude::*;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Cheapest {
    region: String,
    hedge_after_ms: Option<u32>,
}

impl Route for Cheapest {
    fn route(
        &self,
        call: &Summary,
        mut candidates: Vec<Candidate>,
    ) -> Result<Vec<Attempt>, Denial> {
        // One string from the host for each channel; the numbers are here already.
        candidates
            .retain(|one| channels::label(one.channel, "region").as_ref() == Some(&self.region));
        if candidates.is_empty() {
            let message = format!("No provider in {} serves {}.", self.region, call.model);
            return Err(Denial::new(503, "no_channel", message));
        }
        let cost = |one: &Candidate| {
            one.prices()
                .map_or(f32::MAX, |(input, output)| input + output)
        };
        candidates.sort_by(|a, b| {
            let usable = b.is_usable().cmp(&a.is_usable());
            usable.then(cost(a).total_cmp(&cost(b)))
        });
        let attempts = candidates.iter().map(|one| Attempt {
            hedge_after_ms: self.hedge_after_ms,
            ..Attempt::at(one.channel)
        });
        Ok(attempts.collect())
    }
}

weir_sdk::export!(Cheapest: route);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_sdk::testing::{Channel, Host};

    #[test]
    fn the_cheapest_channel_of_the_region_comes_first() {
        let channel = |name: &str, region: &str, price: f32| -> Channel {
            serde_json::from_value(serde_json::json!({
                "channel": name, "labels": {"region": region}, "input_price": price, "output_price": price
            }))
            .unwrap()
        };
        let channels = vec![
            channel("a", "eu", 9.0),
            channel("b", "us", 1.0),
            channel("c", "eu", 2.0),
        ];
        let mut host = Host::new().channels(channels);
        let candidates = host.candidates();
        let policy = Cheapest::configure(r#"{"region": "eu", "hedge_after_ms": 800}"#).unwrap();
        let attempts = host.run(|call| policy.route(call, candidates)).0.unwrap();
        let names: Vec<_> = attempts
            .iter()
            .map(|one| host.channel_name(one.channel).unwrap())
            .collect();
        assert_eq!(names, ["c", "a"]);
        assert_eq!(attempts[0].hedge_after_ms, Some(800));
    }
}
