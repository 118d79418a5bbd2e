//! Three limits at once: calls of a key in a minute, money of a tenant in a month, calls under way.

use weir_sdk::call;
use weir_sdk::prelude::*;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Plan {
    calls_per_minute: u64,
    micros_per_month: u64,
    at_once: u64,
}

impl Limit for Plan {
    fn limits(&self, _: &Summary) -> Result<Vec<Rule>, Denial> {
        let (key, tenant) = (call::key(), call::tenant());
        let rule = |key: String, unit, window, limit| Rule {
            key,
            unit,
            window,
            limit,
        };
        // The rules depend on nothing but the key.
        call::remember(60_000);
        Ok(vec![
            rule(
                format!("calls:{key}"),
                Unit::Requests,
                Window::Sliding(60),
                self.calls_per_minute,
            ),
            rule(
                format!("spent:{tenant}"),
                Unit::CostMicros,
                Window::Month,
                self.micros_per_month,
            ),
            rule(
                format!("open:{key}"),
                Unit::InFlight,
                Window::Call,
                self.at_once,
            ),
        ])
    }
}

weir_sdk::export!(Plan: limit);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_sdk::testing::{Call, Host};

    #[test]
    fn a_call_falls_under_three_limits() {
        let config = r#"{"calls_per_minute": 60, "micros_per_month": 5000000, "at_once": 4}"#;
        let policy = Plan::configure(config).unwrap();
        let call = Call::chat("gpt-4o").key("k7").tenant("acme");
        let rules = Host::new()
            .call(call)
            .run(|call| policy.limits(call))
            .0
            .unwrap();
        let keys: Vec<&str> = rules.iter().map(|rule| rule.key.as_str()).collect();
        assert_eq!(keys, ["calls:k7", "spent:acme", "open:k7"]);
    }
}
