//! Which channel and key made what a provider keeps, so that calls that name it go back there.
//!
//! Kept in the store of the policies, under names that no policy can have: bounded, in memory, written
//! behind the calls' back every second and read at the start. What belongs to another tenant is
//! told apart, because one provider account serves all of them.

use std::sync::Arc;

use weir_base::Operation;
use weir_counters::KeyValue;

use super::call::Call;
use super::channel::Channel;
use crate::config;
use crate::keys::ProviderKey;

/// No policy's name holds a space.
const ANSWERS: &str = "pins of answers";
const OBJECTS: &str = "pins of objects";
/// Between the parts of a value; none of them holds it.
const SEPARATOR: char = '\n';

/// Where something is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// The channel's name.
    pub channel: String,
    /// The key's fingerprint in hexadecimal digits; empty for a channel without keys.
    pub key: String,
    /// Whose it is.
    pub tenant: String,
}

/// Who made what.
#[derive(Debug)]
pub struct Pins {
    values: Arc<KeyValue>,
}

impl Pins {
    /// Kept among these values.
    pub fn new(values: Arc<KeyValue>) -> Self {
        Self { values }
    }

    /// Remembers that `id` was made for `call` by this channel and key. Where there is no room, it is
    /// not remembered.
    pub fn note(
        &self,
        call: &Call,
        id: &str,
        channel: &Channel,
        key: Option<&ProviderKey>,
        settings: &config::Pins,
    ) {
        let (namespace, ttl_ms) = match call.operation {
            Operation::Chat => (ANSWERS, settings.answer_ttl_ms),
            _ => (OBJECTS, settings.object_ttl_ms),
        };
        if ttl_ms == 0 {
            return;
        }
        let fingerprint = key.map(|key| hex::encode(key.fingerprint));
        let tenant = &*call.key.tenant.id;
        let parts = [&*channel.name, fingerprint.as_deref().unwrap_or(""), tenant];
        let value = parts.join(&SEPARATOR.to_string());
        if let Err(error) = self
            .values
            .set(namespace, id, value.as_bytes(), Some(ttl_ms))
        {
            tracing::debug!(%error, "where a provider keeps something is not remembered");
        }
    }

    /// Who made `id`.
    pub fn find(&self, id: &str) -> Option<Pin> {
        let value = [ANSWERS, OBJECTS]
            .iter()
            .find_map(|namespace| self.values.get(namespace, id))?;
        let mut parts = std::str::from_utf8(&value).ok()?.split(SEPARATOR);
        Some(Pin {
            channel: parts.next()?.to_owned(),
            key: parts.next()?.to_owned(),
            tenant: parts.next()?.to_owned(),
        })
    }
}
