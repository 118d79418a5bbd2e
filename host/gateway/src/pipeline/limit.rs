//! limit: policies name the limits a call falls under; the host reserves all of them or none.

use std::rc::Rc;

use weir_base::{Blame, Fault, Usage};
use weir_counters::{Amounts, Refusal, Rule, Unit, Window};
use weir_policy::{Hook, LimitRule, LimitUnit, LimitWindow};

use super::chain::Chain;
use super::hook::{Running, recalled};
use super::open::Open;
use super::worker::Worker;

/// Collects the rules of all policies and reserves what the call will probably need.
pub async fn run(worker: &Rc<Worker>, open: &mut Open, chain: &Chain) -> Result<(), Fault> {
    let mut rules: Vec<Rule> = Vec::new();
    for binding in chain.with(Hook::Limit, open.share) {
        if let Some(named) = recalled(worker, open, binding, Hook::Limit) {
            rules.extend(named.iter().map(|rule| own(&binding.name, rule)));
            continue;
        }
        let running = Running::new(open, binding, Hook::Limit);
        let answer = worker
            .policies
            .limits(&binding.version, &open.scope, &open.facts.summary())
            .await;
        if let Some(named) = running.judge(open, answer)? {
            rules.extend(named.iter().map(|rule| own(&binding.name, rule)));
        }
    }
    if rules.is_empty() {
        return Ok(());
    }
    let costs = rules.iter().any(|rule| rule.unit == Unit::CostMicros);
    open.estimate = estimate(open, costs);
    let zone = &open.call.key.tenant.time_zone;
    let reserved = worker.shared.limits.reserve(&rules, &open.estimate, zone);
    open.looked_at_clock();
    match reserved {
        Ok(reservation) => {
            open.reservation = Some(reservation);
            Ok(())
        }
        Err(refusal) => Err(refused(&rules, &refusal)),
    }
}

/// What the call will use at most, as far as can be told before it runs; in money only where some
/// rule counts it.
fn estimate(open: &Open, costs: bool) -> Amounts {
    let usage = estimated_usage(open);
    let tenant = &open.call.key.tenant.id;
    let find = || {
        open.worker
            .price(&open.call.snapshot, tenant, None, &open.facts.model)
    };
    let price = costs.then(find).flatten();
    Amounts {
        input_tokens: usage.input_tokens,
        output_tokens: usage.output_tokens,
        cost_micros: price.map_or(0, |price| price.cost_micros(&usage)),
    }
}

/// The tokens that the call will use at most, as far as can be told before it runs.
pub fn estimated_usage(open: &Open) -> Usage {
    let assumed = open.call.snapshot.config.limits.output_tokens_assumed;
    let output = match open.facts.max_output_tokens {
        0 if generates(open) => assumed,
        bound => bound,
    };
    Usage {
        input_tokens: u64::from(open.facts.input_tokens),
        output_tokens: u64::from(output),
        ..Usage::default()
    }
}

fn generates(open: &Open) -> bool {
    use weir_base::Operation::{Chat, Completion};
    matches!(open.call.operation, Chat | Completion)
}

/// A policy's rule as a counter of its own: two policies never share one by accident.
fn own(policy: &str, rule: &LimitRule) -> Rule {
    Rule {
        key: [policy, "/", &rule.key].concat(),
        unit: match rule.unit {
            LimitUnit::Requests => Unit::Requests,
            LimitUnit::InputTokens => Unit::InputTokens,
            LimitUnit::OutputTokens => Unit::OutputTokens,
            LimitUnit::TotalTokens => Unit::TotalTokens,
            LimitUnit::CostMicros => Unit::CostMicros,
            LimitUnit::InFlight => Unit::InFlight,
        },
        window: match rule.window {
            LimitWindow::Sliding(seconds) => Window::Sliding { seconds },
            LimitWindow::Day => Window::Day,
            LimitWindow::Week => Window::Week,
            LimitWindow::Month => Window::Month,
            LimitWindow::Lifetime => Window::Lifetime,
            LimitWindow::Call => Window::Call,
        },
        limit: rule.limit,
    }
}

fn refused(rules: &[Rule], refusal: &Refusal) -> Fault {
    match *refusal {
        Refusal::Exceeded {
            rule,
            limit,
            used,
            asked,
            retry_after_ms,
        } => {
            let (unit, window) = rules.get(rule).map_or(("requests", String::new()), |rule| {
                (rule.unit.as_str(), rule.window.to_string())
            });
            let advice = match retry_after_ms {
                Some(_) => "wait as long as `retry-after` says",
                None if asked > limit => "ask for less: this call alone is larger than the limit",
                None => "wait until running calls have ended, or ask the operator for more",
            };
            let message = format!(
                "The limit of {limit} {unit} ({window}) is reached: {used} are used and this call needs {asked}; {advice}."
            );
            // A spent budget is a limit like the others, but clients should not hammer on it.
            let code = if unit == "cost-micros" {
                "budget_exceeded"
            } else {
                "rate_limit_exceeded"
            };
            let fault = Fault::new(Blame::Policy, 429, code, message);
            match retry_after_ms {
                Some(after_ms) => fault.retry_after_ms(after_ms),
                None => fault,
            }
        }
        Refusal::TooManyCounters { max, .. } => {
            let message = format!(
                "The gateway keeps {max} counters at most and has no room for another; tell its operator."
            );
            Fault::new(Blame::Gateway, 503, "too_many_counters", message)
        }
    }
}
