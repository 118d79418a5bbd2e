//! The calls of the day: when, whose, how large. Drawn once; every strategy gets the same.

/// SplitMix64, as everywhere else a seed is enough.
pub(super) struct Random(pub(super) u64);

impl Random {
    /// From 0 to 1, without 1.
    pub(super) fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        (crate::draw::mix(self.0) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Half are below 1.1, one of a hundred is above 3.3, none above 3.55.
    pub(super) fn tail(&mut self) -> f64 {
        0.55 + 0.3 / (1.0 - 0.9 * self.unit())
    }
}

pub(super) struct Call {
    pub(super) at_ms: u64,
    /// Which application calls; each has a prompt of its own that providers cache.
    pub(super) caller: u32,
    pub(super) input_tokens: u32,
    pub(super) output_tokens: u32,
}

pub(super) const HOUR_MS: u64 = 3_600_000;
pub(super) const CALLERS: u32 = 120;

/// Calls per second at each full hour, straight lines between: a quiet night, a busy afternoon.
const RATE: [f64; 25] = [
    0.35, 0.30, 0.25, 0.25, 0.25, 0.30, 0.45, 0.80, 1.30, 1.80, 2.10, 2.20, 2.00, 2.20, 2.40, 2.40,
    2.20, 1.90, 1.50, 1.20, 1.00, 0.80, 0.60, 0.45, 0.35,
];

pub(super) fn calls() -> Vec<Call> {
    let mut random = Random(1);
    let mut calls = Vec::new();
    let mut at_ms = 0.0;
    loop {
        let hour = at_ms / HOUR_MS as f64;
        let (from, part) = (hour as usize, hour.fract());
        if from >= 24 {
            return calls;
        }
        let rate = RATE[from] + (RATE[from + 1] - RATE[from]) * part;
        calls.push(Call {
            at_ms: at_ms as u64,
            // A few callers make most of the calls.
            caller: (random.unit() * random.unit() * f64::from(CALLERS)) as u32,
            input_tokens: (2_000.0 * random.tail()) as u32,
            output_tokens: (250.0 * random.tail()) as u32,
        });
        at_ms += -(1.0 - random.unit()).ln() * 1_000.0 / rate;
    }
}
