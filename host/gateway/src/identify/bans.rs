//! Addresses that are kept out for a while.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};

/// The most addresses that are banned at one time; beyond it a ban is refused, so that a policy
/// cannot fill the memory.
const BANS_MAX: usize = 100_000;

/// Who is banned until when. Checked before any policy runs; nearly always empty, so the check
/// is one atomic load.
#[derive(Debug, Default)]
pub struct Bans {
    until_ms: RwLock<HashMap<IpAddr, u64>>,
    count: AtomicUsize,
}

impl Bans {
    /// Keeps `address` out until `until_ms` (Unix epoch). False where the list is full.
    pub fn ban(&self, address: IpAddr, until_ms: u64, now_ms: u64) -> bool {
        let mut bans = self
            .until_ms
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        bans.retain(|_, until| *until > now_ms);
        let fits = bans.len() < BANS_MAX || bans.contains_key(&address);
        if fits {
            bans.insert(address, until_ms);
        }
        self.count.store(bans.len(), Ordering::Release);
        fits
    }

    /// How many milliseconds `address` is still kept out; none for one that is welcome.
    pub fn remaining_ms(&self, address: &IpAddr, now_ms: u64) -> Option<u64> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        let bans = self.until_ms.read().unwrap_or_else(PoisonError::into_inner);
        bans.get(address)
            .and_then(|until| until.checked_sub(now_ms))
            .filter(|left| *left > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ban_ends_by_itself() {
        let (bans, address) = (Bans::default(), IpAddr::from([192, 0, 2, 1]));
        assert_eq!(bans.remaining_ms(&address, 0), None);
        assert!(bans.ban(address, 100, 0));
        assert_eq!(bans.remaining_ms(&address, 60), Some(40));
        assert_eq!(bans.remaining_ms(&address, 100), None);
    }
}
