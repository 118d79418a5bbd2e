//! What an operator sets for a policy version, beside its bytes.

use std::sync::Arc;

use crate::budget::CpuBudget;
use crate::grants::Grants;
use crate::services::{PolicyIdentity, Role};

/// The settings of one version of one policy. They never change while it lives: other settings
/// are another version.
#[derive(Debug, Clone, PartialEq)]
pub struct VersionSpec {
    /// Whose policy it is.
    pub identity: PolicyIdentity,
    /// Handed to `lifecycle.init` of every instance; JSON text.
    pub config: String,
    /// What it may import beyond the harmless.
    pub grants: Grants,
    /// Milliseconds that one hook call may run in the guest itself; waiting does not count.
    /// Rounded up to whole epochs.
    pub deadline_ms: u32,
    /// The same for starting an instance and its `lifecycle.init`.
    pub init_deadline_ms: u32,
    /// Milliseconds of wall time that one hook call may take, waiting for the host included.
    /// Also the longest wait for a free instance.
    pub wait_max_ms: u32,
    /// Bytes of linear memory of one instance, all its memories together.
    pub memory_max_bytes: usize,
    /// Which calls share an instance.
    pub isolation: Isolation,
    /// Instances at one time, in all workers together.
    pub instances_max: u32,
    /// Hook calls that may wait for an instance at one time, in each worker. One more fails at once.
    pub waiting_max: u32,
    /// Computing time that it shares with others; none for as much as it takes.
    pub cpu: Option<Arc<CpuBudget>>,
    /// When an instance is replaced by a new one.
    pub recycle: Recycle,
}

impl VersionSpec {
    /// The defaults for an operator's policy of that name.
    pub fn new(name: impl Into<String>, config: impl Into<String>) -> Self {
        Self {
            identity: PolicyIdentity {
                name: name.into(),
                tenant: None,
                role: Role::Decides,
            },
            config: config.into(),
            grants: Grants::default(),
            deadline_ms: 20,
            init_deadline_ms: 1000,
            wait_max_ms: 1000,
            memory_max_bytes: 32 << 20,
            isolation: Isolation::Shared,
            instances_max: u32::MAX,
            waiting_max: 1024,
            cpu: None,
            recycle: Recycle::default(),
        }
    }
}

/// Which calls share an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Isolation {
    /// Instances stay warm and serve one call after the other.
    #[default]
    Shared,
    /// Every call gets a new instance, shared by this call's hooks.
    Call,
}

/// When an instance is replaced: whichever mark it reaches first. Each instance draws its own
/// marks between three quarters of these and all of them, so that they do not all go at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recycle {
    /// Hook calls.
    pub calls: u32,
    /// Milliseconds since it was made; looked at when it is idle or now and then.
    pub age_ms: u32,
    /// Bytes of linear memory it has grown to.
    pub memory_bytes: usize,
}

impl Default for Recycle {
    fn default() -> Self {
        Self {
            calls: 100_000,
            age_ms: 600_000,
            memory_bytes: 24 << 20,
        }
    }
}

impl Recycle {
    /// The marks of the instance with this number.
    pub(crate) fn draw(self, number: u64) -> Recycle {
        let random = mix(number);
        let part = |whole: u64, bits: u64| {
            let quarter = whole / 4;
            whole - quarter
                + if quarter == 0 {
                    0
                } else {
                    bits % (quarter + 1)
                }
        };
        let cut = |whole: u32, bits: u64| {
            u32::try_from(part(u64::from(whole), bits))
                .unwrap_or(whole)
                .max(1)
        };
        Recycle {
            calls: cut(self.calls, random),
            age_ms: cut(self.age_ms, random >> 20),
            // Memory is not drawn: it grows by the policy's own doing, never in step.
            memory_bytes: self.memory_bytes,
        }
    }
}

/// splitmix64: enough to spread marks, no secret.
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_spread_over_the_last_quarter() {
        let whole = Recycle {
            calls: 1000,
            age_ms: 1000,
            memory_bytes: 7,
        };
        let drawn: Vec<_> = (0..100).map(|number| whole.draw(number).calls).collect();
        assert!(drawn.iter().all(|calls| (750..=1000).contains(calls)));
        assert!(drawn.iter().max() > drawn.iter().min());
        assert_eq!(
            Recycle {
                calls: 1,
                age_ms: 0,
                memory_bytes: 7
            }
            .draw(3)
            .calls,
            1
        );
    }
}
