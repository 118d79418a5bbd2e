//! What tenants' policies may do within a minute.

use ahash::RandomState;
use dashmap::DashMap;

const MINUTE_MS: u64 = 60_000;
/// Tenants that are counted at one time. Beyond them the counts of minutes that are over go.
const TENANTS_MAX: usize = 10_000;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A line of a log.
    LogLine,
    /// A request, or a question to a model.
    Outgoing,
}

#[derive(Debug, Default)]
struct Minute {
    number: u64,
    lines: u32,
    outgoing: u32,
}

/// The counts of all tenants.
#[derive(Debug, Default)]
pub(super) struct Rates(DashMap<Box<str>, Minute, RandomState>);

impl Rates {
    /// Counts one more for the tenant; false where `most` were counted in this minute.
    pub(super) fn take(&self, tenant: &str, kind: Kind, most: u32, now_ms: u64) -> bool {
        let number = now_ms / MINUTE_MS;
        if self.0.len() >= TENANTS_MAX {
            self.0.retain(|_, minute| minute.number == number);
        }
        let mut minute = self.0.entry(tenant.into()).or_default();
        if minute.number != number {
            *minute = Minute {
                number,
                ..Minute::default()
            };
        }
        let count = match kind {
            Kind::LogLine => &mut minute.lines,
            Kind::Outgoing => &mut minute.outgoing,
        };
        if *count >= most {
            return false;
        }
        *count += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tenant_has_so_many_a_minute_of_each_kind() {
        let rates = Rates::default();
        let take = |tenant, kind, now_ms| rates.take(tenant, kind, 2, now_ms);
        let lines = [0, 1, 59_999, 60_000].map(|at_ms| take("a", Kind::LogLine, at_ms));
        assert_eq!(lines, [true, true, false, true]);
        assert!(take("a", Kind::Outgoing, 60_000) && take("b", Kind::LogLine, 60_000));
    }
}
