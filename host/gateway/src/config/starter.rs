//! The channels of someone who has written no settings yet: one for each provider whose usual
//! environment variable is set.

use weir_base::Secret;

use super::compile::default_url;
use super::model::{Channel, ChannelKey};
use super::sources::Environment;
use super::types::{Globs, StickyBy};
use super::written::{BalanceSource, Breaker, ChannelDialect, Fake, Http2, KeyStrategy};

/// Variable, channel, dialect, and the models that it serves beside others.
const PROVIDERS: [(&str, &str, ChannelDialect, &[&str]); 3] = [
    (
        "OPENAI_API_KEY",
        "openai",
        ChannelDialect::Openai,
        &[
            "gpt-*",
            "chatgpt-*",
            "o1*",
            "o3*",
            "o4*",
            "codex-*",
            "text-embedding-*",
            "dall-e-*",
            "whisper-*",
            "tts-*",
            "omni-moderation-*",
            "sora-*",
            "computer-use-*",
        ],
    ),
    (
        "ANTHROPIC_API_KEY",
        "anthropic",
        ChannelDialect::Anthropic,
        &["claude-*"],
    ),
    (
        "GEMINI_API_KEY",
        "gemini",
        ChannelDialect::Gemini,
        &["gemini-*", "gemma-*", "imagen-*", "veo-*", "learnlm-*"],
    ),
];

/// A channel for each provider whose key is in `environment`, and if there is none, the built-in
/// `fake` one. A provider that is alone serves every model, since none has to be told apart.
pub fn starter_channels(environment: &Environment) -> Vec<Channel> {
    let key = |variable| {
        environment
            .get(variable)
            .filter(|key| !key.trim().is_empty())
    };
    let found: Vec<_> = PROVIDERS
        .into_iter()
        .filter_map(|provider| Some((provider, key(provider.0)?.trim())))
        .collect();
    let alone = found.len() == 1;
    let mut channels = Vec::new();
    for ((_, name, dialect, models), key) in found {
        let models = models.iter().map(|model| (*model).to_owned()).collect();
        let models = Globs::new(models).ok().filter(|_| !alone);
        let mut channel = plain(name, dialect);
        channel.keys = vec![ChannelKey::plain(Secret::new(key))];
        channel.models = models.unwrap_or_else(Globs::everything);
        channels.push(channel);
    }
    if channels.is_empty() {
        let mut channel = plain("fake", ChannelDialect::Fake);
        channel.fake = Some(Fake::default());
        channels.push(channel);
    }
    channels
}

fn plain(name: &str, dialect: ChannelDialect) -> Channel {
    Channel {
        name: name.into(),
        dialect,
        base_url: default_url(dialect),
        keys: Vec::new(),
        key_strategy: KeyStrategy::RoundRobin,
        sticky_by: StickyBy::Key,
        tenants: Globs::everything(),
        models: Globs::everything(),
        model_map: Default::default(),
        labels: Default::default(),
        priority: 0,
        weight: 100,
        disabled: false,
        headers: Vec::new(),
        stream_usage: true,
        http2: Http2::Auto,
        first_byte_timeout_ms: None,
        balance: BalanceSource::Auto,
        lacks: None,
        timeouts: Vec::new(),
        proxy: None,
        tls: None,
        cascade: false,
        prefill: None,
        breaker: Breaker::default(),
        fake: None,
    }
}
