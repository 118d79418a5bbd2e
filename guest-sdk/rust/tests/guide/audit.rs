//! Counts what is refused, and what each model costs, in the policy's own metrics.

use weir_sdk::metrics;
use weir_sdk::prelude::*;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Costs {}

impl Audit for Costs {
    fn finished(&self, outcome: &Outcome) {
        if let Some(code) = &outcome.denied {
            return metrics::count("refused", 1, &[("code", code)]);
        }
        let micros = u32::try_from(outcome.usage.cost_micros).unwrap_or(u32::MAX);
        metrics::count("cost_micros", micros, &[("model", &outcome.call.model)]);
        metrics::observe("total_ms", f64::from(outcome.total_ms), &[]);
    }
}

weir_sdk::export!(Costs: audit);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_sdk::Usage;
    use weir_sdk::testing::{Call, Host};

    #[test]
    fn refusals_and_costs_are_counted_apart() {
        let policy = Costs::configure("{}").unwrap();
        let finished = |denied: Option<&str>| {
            let run = |call: &Summary| {
                policy.finished(&Outcome {
                    call: call.clone(),
                    channel: Some("main".to_owned()),
                    status: 200,
                    denied: denied.map(str::to_owned),
                    attempts: 1,
                    first_byte_ms: 80,
                    total_ms: 900,
                    usage: Usage {
                        input_tokens: 9,
                        output_tokens: 5,
                        cached_tokens: 0,
                        cache_write_tokens: 0,
                        reasoning_tokens: 0,
                        cost_micros: 40,
                        estimated: false,
                    },
                });
            };
            let seen = Host::new().call(Call::chat("small")).run(run).1;
            let told = seen
                .metrics
                .into_iter()
                .map(|metric| (metric.name, metric.value));
            told.collect::<Vec<_>>()
        };
        assert_eq!(finished(Some("closed")), [("refused".to_owned(), 1.0)]);
        let expected = [
            ("cost_micros".to_owned(), 40.0),
            ("total_ms".to_owned(), 900.0),
        ];
        assert_eq!(finished(None), expected);
    }
}
