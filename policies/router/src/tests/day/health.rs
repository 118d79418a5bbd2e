//! What the gateway measures of a simulated channel, and its circuit breaker.
//!
//! As `host/gateway/src/measure/` and `pipeline/health/breaker.rs` do it with their default settings:
//! failures over the last minute in slots of ten seconds, nothing told of fewer than ten calls; a mean
//! of which a new value is a tenth; a circuit that opens for a second, doubling up to five minutes,
//! after three failures in a row or when half of twenty calls failed, and of which one call may then
//! try whether it is well again.

use super::channel::Rest;

#[derive(Default)]
pub(super) struct Health {
    slots: [Slot; 6],
    pub(super) first_byte_ms: f32,
    in_a_row: u32,
    circuit: Rest,
    /// Calls under way that try a half-open circuit.
    trying: u32,
}

#[derive(Default, Clone, Copy)]
struct Slot {
    number: u64,
    calls: u32,
    failures: u32,
}

/// How the circuit stood when a call began: until when it was open, 0 for closed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pass {
    seen_ms: u64,
    tries: bool,
}

impl Health {
    /// Calls and failures of the last minute.
    pub(super) fn counts(&self, now_ms: u64) -> (u32, u32) {
        let oldest = (now_ms / 10_000).saturating_sub(5);
        let live = self.slots.iter().filter(|slot| slot.number >= oldest);
        live.fold((0, 0), |(calls, failures), slot| {
            (calls + slot.calls, failures + slot.failures)
        })
    }

    pub(super) fn error_rate(&self, now_ms: u64) -> f32 {
        let (calls, failures) = self.counts(now_ms);
        if calls < 10 {
            return 0.0;
        }
        failures as f32 / calls as f32
    }

    pub(super) fn tripped_ms(&self, now_ms: u64) -> u32 {
        if self.circuit.until_ms > now_ms {
            return (self.circuit.until_ms - now_ms) as u32;
        }
        if self.trying > 0 { 100 } else { 0 }
    }

    pub(super) fn begin(&mut self, now_ms: u64) -> Pass {
        let seen_ms = self.circuit.until_ms;
        let tries = seen_ms != 0 && seen_ms <= now_ms;
        self.trying += u32::from(tries);
        Pass { seen_ms, tries }
    }

    /// The first byte came.
    pub(super) fn answered(&mut self, pass: Pass, now_ms: u64, first_byte_ms: u64) {
        let new = first_byte_ms as f32;
        self.first_byte_ms = match self.first_byte_ms {
            0.0 => new,
            mean => mean + (new - mean) * 0.1,
        };
        self.refused(pass, now_ms);
    }

    /// A key was refused: the channel itself is there.
    pub(super) fn refused(&mut self, pass: Pass, now_ms: u64) {
        self.trying -= u32::from(pass.tries);
        self.slot(now_ms).calls += 1;
        self.in_a_row = 0;
        // What began before the circuit opened says nothing about how it is now.
        if pass.seen_ms != 0 && pass.seen_ms == self.circuit.until_ms {
            self.circuit = Rest::default();
            self.slots = Default::default();
        }
    }

    pub(super) fn failed(&mut self, pass: Pass, now_ms: u64) {
        self.trying -= u32::from(pass.tries);
        let slot = self.slot(now_ms);
        slot.calls += 1;
        slot.failures += 1;
        let opens = if pass.seen_ms == 0 {
            self.in_a_row += 1;
            let (calls, failures) = self.counts(now_ms);
            self.in_a_row >= 3 || (calls >= 20 && failures * 2 >= calls)
        } else {
            pass.seen_ms <= now_ms
        };
        // Of many calls that find out the same one opens it.
        if opens && pass.seen_ms == self.circuit.until_ms {
            self.circuit.begin(now_ms);
            self.in_a_row = 0;
        }
    }

    fn slot(&mut self, now_ms: u64) -> &mut Slot {
        let number = now_ms / 10_000;
        let slot = &mut self.slots[number as usize % 6];
        if slot.number != number {
            *slot = Slot {
                number,
                ..Slot::default()
            };
        }
        slot
    }
}
