//! What outlives every snapshot of a channel: its number, and what has been measured of it.
//!
//! Never forgets: it grows only with names that were ever configured.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::Channel;
use crate::pipeline::health::Health;

/// All channels that there ever were, by name.
#[derive(Debug, Default)]
pub(in crate::reload) struct ChannelRegistry {
    health: HashMap<Arc<str>, Arc<Health>>,
    numbers: HashMap<Arc<str>, Numbered>,
    last: u32,
}

#[derive(Debug)]
struct Numbered {
    number: u32,
    settings: Channel,
}

impl ChannelRegistry {
    /// What has been measured of the channel of this name.
    pub(super) fn health(&mut self, name: &Arc<str>) -> Arc<Health> {
        Arc::clone(self.health.entry(Arc::clone(name)).or_default())
    }

    /// The number of a channel: the same as before where its settings are, else a new one. Keys do
    /// not count: another key is another way in, not another channel.
    pub(super) fn number(&mut self, channel: &Channel) -> u32 {
        let settings = Channel {
            keys: Vec::new(),
            ..channel.clone()
        };
        match self.numbers.get(&channel.name) {
            Some(known) if same(&known.settings, &settings) => known.number,
            _ => {
                self.last = self.last.wrapping_add(1);
                let number = self.last;
                let numbered = Numbered { number, settings };
                self.numbers.insert(Arc::clone(&channel.name), numbered);
                number
            }
        }
    }
}

/// Whether two channels differ at most in their keys, in how these are taken, in when the channel is
/// left alone or not used at all, and in how its account is looked at.
fn same(a: &Channel, b: &Channel) -> bool {
    // Spelt out, so that a new setting cannot be forgotten here.
    let Channel {
        name,
        dialect,
        base_url,
        keys: _,
        key_strategy: _,
        sticky_by: _,
        models,
        tenants,
        model_map,
        labels,
        priority,
        weight,
        disabled: _,
        lacks: _,
        headers,
        stream_usage,
        http2,
        first_byte_timeout_ms,
        balance: _,
        fake,
        timeouts,
        proxy,
        tls,
        cascade,
        breaker: _,
        prefill: _,
    } = a;
    *name == b.name
        && *dialect == b.dialect
        && *base_url == b.base_url
        && *models == b.models
        && *tenants == b.tenants
        && *model_map == b.model_map
        && *labels == b.labels
        && *priority == b.priority
        && *weight == b.weight
        && *headers == b.headers
        && *stream_usage == b.stream_usage
        && *http2 == b.http2
        && *first_byte_timeout_ms == b.first_byte_timeout_ms
        && *fake == b.fake
        && *timeouts == b.timeouts
        && *proxy == b.proxy
        && *tls == b.tls
        && *cascade == b.cascade
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sources, load};

    fn channel(settings: &str) -> Channel {
        let text = format!("[[channel]]\nname = 'a'\ndialect = 'openai'\n{settings}");
        let config = load(&Sources::of_text(&text)).unwrap().config;
        config.channels.into_iter().next().unwrap()
    }

    #[test]
    fn a_channel_keeps_its_number_while_its_settings_stay() {
        let mut registry = ChannelRegistry::default();
        let first = registry.number(&channel(""));
        assert_eq!(registry.number(&channel("keys = ['plain:sk-1']")), first);
        let other = Channel {
            name: "b".into(),
            ..channel("")
        };
        let second = registry.number(&other);
        assert_ne!(second, first);
        let changed = [
            "priority = 1",
            "labels = { region = 'eu' }",
            "headers = { x-team = 'a' }",
            "headers = { x-team = 'b' }",
            "models = ['m']",
            "base_url = 'http://127.0.0.1:1/v1'",
        ];
        let mut seen = vec![first, second];
        for settings in changed {
            let number = registry.number(&channel(settings));
            assert!(!seen.contains(&number), "{settings}");
            assert_eq!(registry.number(&channel(settings)), number);
            seen.push(number);
        }
        assert_eq!(registry.number(&other), second);
    }
}
