//! The id of a call: its place in the ledger and the value of `x-request-id`.

use std::cell::RefCell;
use std::fmt;
use std::str::FromStr;

use uuid::{Builder, Uuid};

use crate::clock::{Clock, SystemClock};

/// Identifies one call. Ids made later sort later (UUID version 7, RFC 9562), so the ledger's
/// primary key grows at one end and needs no second index for time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(Uuid);

impl CallId {
    /// A new id, of this moment. Ids of one thread sort in the order they were made in; those of
    /// different threads do from one millisecond to the next.
    pub fn new() -> Self {
        thread_local! {
            static MAKER: RefCell<Maker> = RefCell::new(Maker::new());
        }
        Self(MAKER.with_borrow_mut(|maker| maker.next(SystemClock.now_ms())))
    }

    /// The sixteen bytes that the ledger stores.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.into_bytes()
    }

    /// The id with these sixteen bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }
}

/// Makes the ids of one thread. The uuid crate's own maker of version 7 asks the system for random
/// bytes and takes a lock that all threads share, which cost more than the rest of identify.
struct Maker {
    /// State of a splitmix64 generator, seeded by the system. Ids are unique, not secret.
    random: u64,
    last_ms: u64,
    /// Ids made in `last_ms`.
    count: u16,
}

impl Maker {
    /// What the twelve bits of an id hold that stand behind its time.
    const COUNT_MAX: u16 = 0x0fff;

    fn new() -> Self {
        let (random, _) = Uuid::new_v4().as_u64_pair();
        Self {
            random,
            last_ms: 0,
            count: 0,
        }
    }

    fn next(&mut self, now_ms: u64) -> Uuid {
        if now_ms > self.last_ms {
            (self.last_ms, self.count) = (now_ms, 0);
        } else if self.count == Self::COUNT_MAX {
            // More than fit into a millisecond: the next one is begun early.
            (self.last_ms, self.count) = (self.last_ms + 1, 0);
        } else {
            self.count += 1;
        }
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let mut rest = [0; 10];
        let (count, random) = rest.split_at_mut(2);
        count.copy_from_slice(&self.count.to_be_bytes());
        random.copy_from_slice(&mixed.to_be_bytes());
        Builder::from_unix_timestamp_millis(self.last_ms, &rest).into_uuid()
    }
}

impl Default for CallId {
    fn default() -> Self {
        Self::new()
    }
}

/// `req_` and 32 hexadecimal digits.
impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "req_{}", self.0.simple())
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not a call id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a call id is `req_` followed by 32 hexadecimal digits")]
pub struct NotACallId;

impl FromStr for CallId {
    type Err = NotACallId;

    fn from_str(text: &str) -> Result<Self, NotACallId> {
        let digits = text.strip_prefix("req_").ok_or(NotACallId)?;
        if digits.len() != 32 {
            return Err(NotACallId);
        }
        Uuid::try_parse(digits).map(Self).map_err(|_| NotACallId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_never_runs_out_and_never_goes_back() {
        let mut maker = Maker::new();
        let mut last = maker.next(1_000);
        for _ in 0..10_000 {
            let next = maker.next(1_000);
            assert!(next > last);
            last = next;
        }
        assert!(maker.next(999) > last);
        assert_eq!(last.get_version_num(), 7);
    }

    #[test]
    fn text_round_trips_and_later_ids_sort_later() {
        let (first, second) = (CallId::new(), CallId::new());
        assert_eq!(first.to_string().parse::<CallId>(), Ok(first));
        assert!(first < second);
        assert_eq!("req_zz".parse::<CallId>(), Err(NotACallId));
    }
}
