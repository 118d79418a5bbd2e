//! A simulated channel: how its provider behaves, and its keys, which rest after a refusal as in
//! `host/gateway/src/keys/`: for a second, doubling up to five minutes.

use std::collections::HashMap;

use weir_sdk::prelude::*;

use super::health::{Health, Pass};
use super::world::{Call, HOUR_MS, Random};

/// What a provider is like.
pub(super) struct Provider {
    pub(super) name: &'static str,
    /// Per million tokens, in millionths of a dollar.
    pub(super) input_price: u64,
    pub(super) output_price: u64,
    pub(super) first_byte_ms: f64,
    pub(super) tokens_per_second: f64,
    /// Calls at a time at full speed; at twice as many it refuses.
    pub(super) capacity: u32,
    pub(super) error_rate: f64,
}

pub(super) const PROVIDERS: [Provider; 5] = [
    provider("standard", 2_500_000, 10_000_000, 450.0, 80.0, 8, 0.002),
    provider("fast", 4_000_000, 16_000_000, 220.0, 160.0, 5, 0.002),
    provider("budget", 600_000, 2_400_000, 800.0, 60.0, 8, 0.005),
    provider("resold", 900_000, 3_600_000, 1_100.0, 50.0, 5, 0.02),
    provider("regional", 2_200_000, 9_000_000, 550.0, 70.0, 6, 0.003),
];

const fn provider(
    name: &'static str,
    input_price: u64,
    output_price: u64,
    first_byte_ms: f64,
    tokens_per_second: f64,
    capacity: u32,
    error_rate: f64,
) -> Provider {
    Provider {
        name,
        input_price,
        output_price,
        first_byte_ms,
        tokens_per_second,
        capacity,
        error_rate,
    }
}

/// `budget` degrades in the busiest hours: half of its calls fail, the others are six times slower.
const DEGRADED: (&str, u64, u64) = ("budget", 13 * HOUR_MS, 15 * HOUR_MS);
/// What the provider has cached is forgotten after this time without use.
const CACHE_MS: u64 = 300_000;
/// Of a caller's prompt, when its provider has it cached: this share is read from the cache, at a
/// tenth of the price, and the first byte comes in this part of the time.
const CACHED_SHARE: f64 = 0.8;
const CACHED_PRICE: f64 = 0.1;
const CACHED_TIME: f64 = 0.6;
const KEYS: usize = 3;
/// The time that each attempt has to its first byte.
const TIMEOUT_MS: f64 = 10_000.0;

/// How an attempt goes, known when it begins.
pub(super) enum Course {
    /// Refused or failed at this many milliseconds after it began.
    Failed { after_ms: u64, refused: bool },
    Answered {
        first_byte_ms: u64,
        total_ms: u64,
        cost_micros: f64,
    },
}

pub(super) struct Channel {
    provider: &'static Provider,
    in_flight: u32,
    health: Health,
    keys: [Rest; KEYS],
    cached: HashMap<u32, u64>,
}

/// A pause that gets longer each time in a row.
#[derive(Default, Clone, Copy)]
pub(super) struct Rest {
    pub(super) until_ms: u64,
    row: u32,
}

impl Rest {
    pub(super) fn begin(&mut self, now_ms: u64) {
        self.until_ms = now_ms + (1_000 << self.row.min(30)).min(300_000);
        self.row += 1;
    }
}

impl Channel {
    pub(super) fn new(provider: &'static Provider) -> Channel {
        Channel {
            provider,
            in_flight: 0,
            health: Health::default(),
            keys: [Rest::default(); KEYS],
            cached: HashMap::new(),
        }
    }

    /// What the gateway tells the router.
    pub(super) fn candidate(&self, channel: u32, now_ms: u64) -> Candidate {
        let free = self
            .keys
            .iter()
            .filter(|key| key.until_ms <= now_ms)
            .count();
        Candidate {
            channel,
            priority: 0,
            weight: 1,
            error_rate: self.health.error_rate(now_ms),
            samples: self.health.counts(now_ms).0,
            first_byte_ms: self.health.first_byte_ms,
            total_ms: 0.0,
            tokens_per_second: 0.0,
            in_flight: self.in_flight,
            usable_keys: free as u32,
            headroom: free as f32 / KEYS as f32,
            tripped_ms: self.health.tripped_ms(now_ms),
            input_price: self.provider.input_price as f32,
            output_price: self.provider.output_price as f32,
        }
    }

    /// Begins an attempt; none where no key may be used.
    pub(super) fn begin(
        &mut self,
        call: &Call,
        now_ms: u64,
        random: &mut Random,
    ) -> Option<(Pass, Course)> {
        self.keys.iter().find(|key| key.until_ms <= now_ms)?;
        self.in_flight += 1;
        let pass = self.health.begin(now_ms);
        Some((pass, self.course(call, now_ms, random)))
    }

    fn course(&mut self, call: &Call, now_ms: u64, random: &mut Random) -> Course {
        let own = self.provider;
        let (name, from, to) = DEGRADED;
        let degraded = own.name == name && (from..to).contains(&now_ms);
        if self.in_flight > own.capacity * 2 {
            return Course::Failed {
                after_ms: 60,
                refused: true,
            };
        }
        if random.unit() < if degraded { 0.5 } else { own.error_rate } {
            let after_ms = (own.first_byte_ms * if degraded { 3.0 } else { 1.0 }) as u64;
            return Course::Failed {
                after_ms,
                refused: false,
            };
        }
        // Beyond its capacity calls share it.
        let busy = (f64::from(self.in_flight) / f64::from(own.capacity)).max(1.0);
        let slow = busy * if degraded { 6.0 } else { 1.0 };
        let last = self.cached.insert(call.caller, now_ms);
        let is_cached = last.is_some_and(|last_ms| now_ms - last_ms < CACHE_MS);
        let (cached, time) = if is_cached {
            (CACHED_SHARE, CACHED_TIME)
        } else {
            (0.0, 1.0)
        };
        let first_byte_ms = own.first_byte_ms * random.tail() * time * slow;
        if first_byte_ms > TIMEOUT_MS {
            return Course::Failed {
                after_ms: TIMEOUT_MS as u64,
                refused: false,
            };
        }
        let stream_ms = f64::from(call.output_tokens) / own.tokens_per_second * 1_000.0 * busy;
        let input = f64::from(call.input_tokens) * (1.0 - cached * (1.0 - CACHED_PRICE));
        let cost = input * own.input_price as f64
            + f64::from(call.output_tokens) * own.output_price as f64;
        Course::Answered {
            first_byte_ms: first_byte_ms as u64,
            total_ms: (first_byte_ms + stream_ms) as u64,
            cost_micros: cost / 1e6,
        }
    }

    /// The first byte came.
    pub(super) fn answered(&mut self, pass: Pass, now_ms: u64, first_byte_ms: u64) {
        self.health.answered(pass, now_ms, first_byte_ms);
        for key in self.keys.iter_mut().filter(|key| key.until_ms <= now_ms) {
            *key = Rest::default();
        }
    }

    /// The attempt came to nothing; `refused`: one key's limit, the channel itself answered.
    pub(super) fn failed(&mut self, pass: Pass, now_ms: u64, refused: bool) {
        self.in_flight -= 1;
        if !refused {
            return self.health.failed(pass, now_ms);
        }
        self.health.refused(pass, now_ms);
        if let Some(key) = self.keys.iter_mut().find(|key| key.until_ms <= now_ms) {
            key.begin(now_ms);
        }
    }

    /// The last byte came.
    pub(super) fn ended(&mut self) {
        self.in_flight -= 1;
    }
}
