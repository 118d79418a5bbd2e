//! The candidates of a route hook, and their way into a guest's memory.
//!
//! bindgen's record would be written field by field, each with a look-up of the guest's memory:
//! fifty candidates took 3 of the 5 microseconds that a whole route hook may take. Here the memory is
//! looked up once for all of them. Never changes what a guest sees: the record is that of
//! `wit/`, which is checked for every instance.

use std::mem::MaybeUninit;

use wasmtime::component::__internal::{InterfaceType, LowerContext};
use wasmtime::component::{ComponentType, Lower};

/// A channel that could serve a call, with what was measured of it.
#[derive(Debug, Clone, Copy, PartialEq, ComponentType)]
#[component(record)]
pub struct Candidate {
    /// The channel's number.
    pub channel: u32,
    /// As configured; higher is preferred.
    pub priority: u32,
    /// As configured; the share among channels of the same priority.
    pub weight: u32,
    /// Failures over calls in the sliding window, 0 to 1; 0 below the minimum sample.
    #[component(name = "error-rate")]
    pub error_rate: f32,
    /// Calls in that window.
    pub samples: u32,
    /// Mean time to the first byte, milliseconds; 0 where not measured.
    #[component(name = "first-byte-ms")]
    pub first_byte_ms: f32,
    /// Mean time to the last byte of whole replies, milliseconds; 0 where not measured.
    #[component(name = "total-ms")]
    pub total_ms: f32,
    /// Output tokens per second after the first byte, a mean; 0 where not measured.
    #[component(name = "tokens-per-second")]
    pub tokens_per_second: f32,
    /// Calls under way on the channel now.
    #[component(name = "in-flight")]
    pub in_flight: u32,
    /// Keys of the channel that are neither cooling down nor disabled.
    #[component(name = "usable-keys")]
    pub usable_keys: u32,
    /// The share of the keys' known rate limits that is still free, 0 to 1.
    pub headroom: f32,
    /// For how many more milliseconds the circuit breaker keeps the channel out; 0 for not.
    #[component(name = "tripped-ms")]
    pub tripped_ms: u32,
    /// Per million input tokens in millionths of the currency unit; negative where not known.
    #[component(name = "input-price")]
    pub input_price: f32,
    /// Per million output tokens in millionths of the currency unit; negative where not known.
    #[component(name = "output-price")]
    pub output_price: f32,
}

const FIELDS: usize = 14;
const FIELD_BYTES: usize = 4;
const CANDIDATE_BYTES: usize = FIELDS * FIELD_BYTES;
const _: () = assert!(Candidate::SIZE32 == CANDIDATE_BYTES);

impl Candidate {
    /// As it lies in a guest's memory: the fields in the order of the record, without gaps, as all
    /// have the same size.
    fn write(&self, to: &mut [u8; CANDIDATE_BYTES]) {
        let fields: [[u8; FIELD_BYTES]; FIELDS] = [
            self.channel.to_le_bytes(),
            self.priority.to_le_bytes(),
            self.weight.to_le_bytes(),
            self.error_rate.to_le_bytes(),
            self.samples.to_le_bytes(),
            self.first_byte_ms.to_le_bytes(),
            self.total_ms.to_le_bytes(),
            self.tokens_per_second.to_le_bytes(),
            self.in_flight.to_le_bytes(),
            self.usable_keys.to_le_bytes(),
            self.headroom.to_le_bytes(),
            self.tripped_ms.to_le_bytes(),
            self.input_price.to_le_bytes(),
            self.output_price.to_le_bytes(),
        ];
        to.copy_from_slice(fields.as_flattened());
    }
}

// SAFETY: `Lower` asks that what is written is the type's form in the canonical ABI. `write` is that,
// and the type is checked, as by the derived `ComponentType`. Its code has no unsafe operation: memory
// is reached through a checked slice, and `linear_lower_to_flat`, which would have to fill `to`, fails.
#[expect(unsafe_code, reason = "wasmtime's derived one is too slow; see above")]
unsafe impl Lower for Candidate {
    fn linear_lower_to_flat<T>(
        &self,
        _: &mut LowerContext<'_, T>,
        _: InterfaceType,
        _: &mut MaybeUninit<Self::Lower>,
    ) -> wasmtime::Result<()> {
        Err(wasmtime::Error::msg("a candidate goes in a list only"))
    }

    fn linear_lower_to_memory<T>(
        &self,
        guest: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        offset: usize,
    ) -> wasmtime::Result<()> {
        Self::linear_store_list_to_memory(guest, ty, offset, std::slice::from_ref(self))
    }

    fn linear_store_list_to_memory<T>(
        guest: &mut LowerContext<'_, T>,
        _: InterfaceType,
        offset: usize,
        candidates: &[Self],
    ) -> wasmtime::Result<()> {
        let memory = guest.as_slice_mut().get_mut(offset..).unwrap_or_default();
        let (places, _) = memory.as_chunks_mut::<CANDIDATE_BYTES>();
        let Some(places) = places.get_mut(..candidates.len()) else {
            return Err(wasmtime::Error::msg("no room for the candidates"));
        };
        for (candidate, place) in candidates.iter().zip(places) {
            candidate.write(place);
        }
        Ok(())
    }
}
