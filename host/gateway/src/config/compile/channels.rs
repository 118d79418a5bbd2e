//! `[[channel]]`.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue, Uri};

use super::{check_unique, resolve};
use crate::config::model::Channel;
use crate::config::report::Report;
use crate::config::setting::At;
use crate::config::types::{HeaderText, header_name};
use crate::config::written::{self, ChannelDialect};

pub(super) fn compile(
    channels: Vec<At<written::Channel>>,
    report: &mut Report<'_>,
) -> Vec<Channel> {
    check_unique(
        "channel",
        channels.iter().map(|channel| &channel.value.name),
        report,
    );
    channels
        .into_iter()
        .map(|channel| compile_one(channel.value, report))
        .collect()
}

fn compile_one(channel: written::Channel, report: &mut Report<'_>) -> Channel {
    check_fake(&channel, report);
    let name = channel.name.value.0.clone();
    if channel.keys.is_empty() && channel.base_url.is_none() && !is_fake(&channel) {
        // A server of one's own may need no key; the providers themselves all do.
        report.warning(format!("the channel {name} has no keys"));
    }
    // What is out of use may miss its keys: that can be why it is.
    let used = channel.keys.iter().filter(|_| !channel.disabled);
    let keys = used.filter_map(|key| resolve(key, report)).collect();
    let fake = is_fake(&channel).then(|| channel.fake.map(|fake| fake.value).unwrap_or_default());
    Channel {
        name,
        dialect: channel.dialect,
        base_url: channel
            .base_url
            .map(|url| url.value)
            .or_else(|| default_url(channel.dialect)),
        keys,
        models: channel.models,
        model_map: model_map(channel.model_map, report),
        labels: channel.labels,
        priority: channel.priority,
        weight: channel.weight,
        disabled: channel.disabled,
        headers: headers(&channel.headers, report),
        stream_usage: channel.stream_usage,
        http2: channel.http2,
        first_byte_timeout_ms: channel.first_byte_timeout_ms,
        balance: channel.balance,
        fake,
    }
}

fn is_fake(channel: &written::Channel) -> bool {
    channel.dialect == ChannelDialect::Fake
}

fn check_fake(channel: &written::Channel, report: &mut Report<'_>) {
    if let Some(fake) = &channel.fake
        && !is_fake(channel)
    {
        let dialect = channel.dialect.as_str();
        fake.error(
            report,
            format!("is only for the dialect \"fake\", not for \"{dialect}\""),
        );
    }
    if let Some(url) = &channel.base_url
        && is_fake(channel)
    {
        url.error(
            report,
            "has no meaning with the dialect \"fake\", which sends nothing anywhere",
        );
    }
}

/// The provider's own address.
pub(in crate::config) fn default_url(dialect: ChannelDialect) -> Option<Uri> {
    Some(Uri::from_static(match dialect {
        ChannelDialect::Openai => "https://api.openai.com/v1",
        ChannelDialect::Anthropic => "https://api.anthropic.com",
        ChannelDialect::Gemini => "https://generativelanguage.googleapis.com",
        ChannelDialect::Fake => return None,
    }))
}

fn model_map(
    written: BTreeMap<String, At<String>>,
    report: &mut Report<'_>,
) -> BTreeMap<String, String> {
    for (model, target) in &written {
        if target.value.is_empty() {
            target.error(report, format!("the model {model:?} is mapped to nothing"));
        }
    }
    written
        .into_iter()
        .map(|(model, target)| (model, target.value))
        .collect()
}

fn headers(
    written: &BTreeMap<String, At<HeaderText>>,
    report: &mut Report<'_>,
) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers = Vec::new();
    for (name, text) in written {
        match header_name(name) {
            Ok(name) => headers.extend(text.value.value().map(|value| (name, value))),
            Err(message) => text.error(report, message),
        }
    }
    headers
}
